import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = join(import.meta.dirname, '../../src/main.ts');

export interface RoleProcess {
  child: ChildProcess;
  url: string;
  /** Its folder, with the settings in `loopscope.yaml` and its data in `data`. */
  folder: string;
  /** All that it wrote to its log. */
  log(): string;
  /** The processes that it has started and that live. */
  children(): number[];
  /** Resolves with its exit code, `null` after a signal. */
  exited: Promise<number | null>;
  close(): Promise<void>;
}

/** `loopscope ROLE` in a process of its own, with these settings. Throws with its log when it ends before it is ready. */
export async function startRole(
  role: string,
  settings: object,
  env: Record<string, string> = {},
): Promise<RoleProcess> {
  const folder = mkdtempSync(join(tmpdir(), `loopscope-${role}-`));
  const path = join(folder, 'loopscope.yaml');
  writeFileSync(path, JSON.stringify({ data_dir: 'data', ...settings }));
  const child = spawn(process.execPath, [MAIN, role, '--config', path], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const close = async () => {
    child.kill('SIGKILL');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  const line = await Promise.race([
    once(createInterface({ input: child.stdout! }), 'line').then(([text]) => text as string),
    exited.then(() => undefined),
  ]);
  const url = line && new RegExp(`${role}=(\\S+)`).exec(line)?.[1];
  if (!url) {
    await close();
    throw new Error(`${role} ended before it was ready: ${log}`);
  }
  return { child, url, folder, log: () => log, children: () => childrenOf(child.pid!), exited, close };
}

function childrenOf(pid: number): number[] {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return listed.trim().split(/\s+/).filter(Boolean).map(Number);
}
