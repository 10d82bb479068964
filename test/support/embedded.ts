import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const PARENT = join(import.meta.dirname, 'embedded-parent.ts');

/** A process that runs the embedded ClickHouse on `dataDir`, once that is up; `pid` is the server's. */
export async function spawnEmbeddedParent(
  dataDir: string,
): Promise<{ process: ChildProcess; url: string; pid: number }> {
  const child = spawn(process.execPath, [PARENT, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  return { process: child, ...(JSON.parse(String(line)) as { url: string; pid: number }) };
}

/** Whether the process runs; one that is dead and waits for its parent to ask does not. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
