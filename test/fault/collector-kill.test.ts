import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../src/clock.ts';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runTraceId } from '../../src/span/ids.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/**
 * `kill -9` of the collector under load, again and again, against a real ClickHouse. Senders keep a ledger: a request is
 * sent until it is acknowledged, as OpenTelemetry's exporters do. Every span of it must then be there, once.
 * `LOOPSCOPE_CYCLES` makes it longer, `LOOPSCOPE_SEED` other moments.
 */
const CYCLES = Number(process.env['LOOPSCOPE_CYCLES'] ?? 20);
const SEED = Number(process.env['LOOPSCOPE_SEED'] ?? 1);
const SENDERS = 4;
const SPANS_PER_REQUEST = 5;
const CHILD = join(import.meta.dirname, '../support/collector-child.ts');

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
const folder = mkdtempSync(join(tmpdir(), 'loopscope-kill-'));
let child: ChildProcess | undefined;
before(async () => {
  clickhouse = await startTestStore();
});
after(async () => {
  child?.kill('SIGKILL');
  await clickhouse?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function startChild(port: number): Promise<string> {
  child = spawn(process.execPath, [CHILD, clickhouse.url, join(folder, 'spool'), String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await Promise.race([
    once(child.stdout!, 'data'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`the collector ended with ${code}`))),
  ])) as [Buffer];
  return line.toString().trim();
}

function bodyOf(traceId: string): string {
  const attributes = Object.entries({ [A.loop]: 'killed', [A.runId]: traceId, [A.record]: 'call' }).map(
    ([key, stringValue]) => ({ key, value: { stringValue } }),
  );
  const spans = Array.from({ length: SPANS_PER_REQUEST }, (_, i) => ({
    traceId,
    spanId: recordSpanId(traceId, String(i)),
    name: 'chat',
    startTimeUnixNano: '1700000000000000000',
    endTimeUnixNano: '1700000001000000000',
    attributes,
  }));
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
}

test(`a collector killed ${CYCLES} times loses and doubles no acknowledged span (seed ${SEED})`, async () => {
  const random = seededRandom(SEED);
  let url = await startChild(0);
  const { port } = new URL(url);
  const acknowledged: string[] = [];
  let retries = 0;
  let stop = false;

  const sender = async (name: string) => {
    for (let n = 0; !stop; n++) {
      const traceId = runTraceId('killed', `${name}-${n}`);
      const body = bodyOf(traceId);
      for (;;) {
        const status = await fetch(`${url}/v1/traces`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        }).then(
          (response) => response.status,
          () => 0,
        );
        if (status === 200) break;
        assert.ok(status === 0 || status === 503, String(status));
        retries++;
        await delay(20);
      }
      acknowledged.push(traceId);
    }
  };
  const senders = Promise.all(Array.from({ length: SENDERS }, (_, i) => sender(`s${i}`)));
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    // Now in the middle of work, now while it starts and delivers what was left.
    await delay(random() * (cycle % 3 ? 400 : 30));
    const ended = once(child!, 'exit');
    child!.kill('SIGKILL');
    await ended;
    url = await startChild(Number(port));
  }
  await delay(200);
  stop = true;
  await senders;
  await until(
    'all is delivered',
    async () => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      if (/^loopscope_collector_spool_records 0$/m.test(metrics)) return true;
      throw new Error(
        (await (await fetch(`${url}/readyz`)).text()) + metrics.match(/^\w+_spool_.*$/gm)?.join(' '),
      );
    },
    15_000,
  );
  const rows = await clickhouse.store.query<{ TraceId: string; spans: number; ids: number }>(
    `SELECT TraceId, count() AS spans, uniqExact(SpanId) AS ids FROM loopscope.otel_traces
     WHERE Loop = 'killed' GROUP BY TraceId`,
  );
  const stored = new Map(rows.map((row) => [row.TraceId, row]));
  assert.ok(
    acknowledged.length > CYCLES * 5 && retries > 0,
    `${acknowledged.length} requests, ${retries} retries`,
  );
  const lost = acknowledged.filter((id) => (stored.get(id)?.ids ?? 0) < SPANS_PER_REQUEST);
  const doubled = rows.filter((row) => row.spans !== row.ids);
  assert.deepEqual({ lost, doubled }, { lost: [], doubled: [] });
  const [run] = await clickhouse.store.query<{ calls: number }>(
    "SELECT sum(calls) AS calls FROM loopscope.runs WHERE loop = 'killed'",
  );
  assert.equal(run!.calls, stored.size * SPANS_PER_REQUEST, 'what views make of it is not doubled either');
  process.stderr.write(
    `# ${CYCLES} kills, ${acknowledged.length * SPANS_PER_REQUEST} spans, ${retries} retries\n`,
  );
});
