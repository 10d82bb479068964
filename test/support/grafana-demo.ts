import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { StatusDocument } from '../../src/cli/fleet-report.ts';
import type { Result } from './grafana-frames.ts';

const MAIN = join(import.meta.dirname, '../../demo/main.ts');

export interface DemoAtRest {
  /** What `status` says, right after the story is told. */
  loops: StatusDocument['loops'];
  /** The loop that fails silently. */
  truth: { loop: string };
  /** A query as the reader of dashboards. Throws with ClickHouse's words where it is refused. */
  read(sql: string): Promise<Result>;
  close(): Promise<void>;
}

/** The demo, its story told and everything still up. */
export async function startDemo(): Promise<DemoAtRest> {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-dashboards-'));
  const child = spawn(process.execPath, [MAIN, '--json'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  const close = async () => {
    child.kill('SIGINT');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  let story = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    story += text;
  });
  const line = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([text]) => text as string),
    exited.then(() => undefined),
  ]);
  const url = /clickhouse=(\S+)/.exec(story)?.[1];
  if (line === undefined || url === undefined) {
    await close();
    throw new Error(`the demo ended early: ${story}`);
  }
  const { loops, truth } = JSON.parse(line) as Pick<DemoAtRest, 'loops' | 'truth'>;
  return { loops, truth, read: (sql) => readAt(url, sql), close };
}

async function readAt(url: string, sql: string): Promise<Result> {
  const settings = new URLSearchParams({
    user: 'grafana',
    default_format: 'JSON',
    output_format_json_quote_64bit_integers: '0',
  });
  const answer = await fetch(`${url}/?${settings}`, { method: 'POST', body: sql });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text.slice(0, 1_000));
  return JSON.parse(text) as Result;
}
