import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from '../../src/config.ts';
import { contentHash, inputHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runSpanId, runTraceId } from '../../src/span/ids.ts';
import type { Store } from '../../src/store/client.ts';

/** Runs put straight into the tables, as the collector would store them, and folders with suites for them. */
export interface TestRun {
  loop: string;
  run: string;
  /** Milliseconds since the epoch. */
  at: number;
  input?: string;
  /** Without it the run's answer is not kept. */
  output?: string;
  item?: string;
  model?: string;
  pass?: boolean;
  /** Without an explicit end; default is an ended run. */
  open?: boolean;
}

/** Stores the contents first and then the spans, as the collector does. */
export async function insertRuns(store: Store, runs: readonly TestRun[]): Promise<void> {
  const contents = [...new Set(runs.flatMap((run) => run.output ?? []))];
  await store.insert(
    'messages',
    contents.map((content) => ({ hash: contentHash(content), role: 'assistant', content })),
    randomUUID(),
  );
  await store.insert('otel_traces', runs.flatMap(spansOf), randomUUID());
}

function spansOf({ loop, run, at, input, output, item, model = 'm-1', pass, open }: TestRun) {
  const TraceId = runTraceId(loop, run);
  const root = runSpanId(TraceId);
  const span = (record: string, offsetMs: number, attributes: Record<string, string>) => ({
    Timestamp: new Date(at + offsetMs).toISOString(),
    TraceId,
    SpanId: record === 'run' ? root : recordSpanId(TraceId, record),
    ParentSpanId: record === 'run' ? '' : root,
    SpanName: record,
    SpanKind: 'Internal',
    ServiceName: 'loopscope',
    SpanAttributes: { [A.loop]: loop, [A.runId]: run, [A.record]: record, ...attributes },
    Duration: 1_000_000,
    StatusCode: 'Unset',
  });
  const call = span('call', 1, {
    [A.agentRole]: 'maker',
    [A.agentName]: 'maker',
    [A.requestModel]: 'm',
    [A.responseModel]: model,
    ...(input === undefined ? {} : { [A.inputHash]: inputHash(input) }),
    ...(output === undefined ? {} : { [A.outputTextHash]: contentHash(output) }),
    ...(item === undefined ? {} : { [A.itemId]: item }),
  });
  const verdict = span('verdict', 2, {
    [A.verdictPass]: String(pass),
    [A.checkerName]: 'parses',
    [A.checkerVersion]: 'v1',
  });
  return [call, ...(pass === undefined ? [] : [verdict]), ...(open ? [] : [span('run', 0, {})])];
}

/** A folder with suites in it, and the settings that point at it, ports free and webhooks as given. */
export function suiteFolder(
  suites: Record<string, string>,
  {
    webhooks = [],
    env = {},
    extra = '',
  }: { webhooks?: string[]; env?: Record<string, string>; extra?: string } = {},
): { directory: string; config: Config; write(file: string, text: string): void; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'loopscope-evals-'));
  mkdirSync(join(directory, 'suites'));
  const write = (file: string, text: string) => writeFileSync(join(directory, file), text);
  for (const [file, text] of Object.entries(suites)) write(join('suites', file), text);
  const receivers = webhooks.map((url) => `{ url: "${url}", secret_env: HOOK }`).join(', ');
  write(
    'loopscope.yaml',
    `evals: { port: 0, detect_every_s: 0.2, run_idle_s: 3600 }\nalerts: { webhooks: [${receivers}] }\n${extra}`,
  );
  return {
    directory,
    config: loadConfig(join(directory, 'loopscope.yaml'), { HOOK: 'hook-secret', ...env }),
    write,
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
