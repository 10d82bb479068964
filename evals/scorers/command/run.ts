import { spawn } from 'node:child_process';
import { memoryBytes } from './memory.ts';

/** Runs one command to its end, whatever it does: within a time, with bounded output, leaving none of its group behind. */

export interface Execution {
  argv: readonly string[];
  stdin: string;
  cwd: string;
  env: Record<string, string>;
  timeoutMs: number;
  /** Of all its processes together; looked at every so often. */
  memoryBytesMax: number;
  signal: AbortSignal;
}

export type End =
  | { how: 'exited'; code: number }
  | { how: 'killed'; by: string }
  | { how: 'timeout' }
  | { how: 'output_limit' }
  | { how: 'memory_limit' }
  | { how: 'stopped' }
  | { how: 'not_started'; why: string };

export interface Ended {
  end: End;
  /** The last of each. */
  stdout: string;
  stderr: string;
}

/** Both streams together; more ends the command. */
export const OUTPUT_BYTES_MAX = 4_000_000;
const TAIL_BYTES_MAX = 64_000;
/** What was written before the end is read so long; a stray that holds the pipe open is not waited for. */
const DRAIN_MS = 1_000;
const MEMORY_EVERY_MS = 50;

export function run({ argv, stdin, cwd, env, timeoutMs, memoryBytesMax, signal }: Execution): Promise<Ended> {
  return new Promise((resolve) => {
    const [program, ...args] = argv;
    // A group of its own, so that all of it can be ended at once.
    const child = spawn(program!, args, { cwd, env, detached: true, stdio: 'pipe' });
    const tails = { stdout: new Tail(), stderr: new Tail() };
    let end: End | undefined;
    let bytes = 0;

    const killGroup = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // nobody is left of it
      }
    };
    const endBy = (why: End) => {
      end ??= why;
      killGroup();
    };
    const timer = setTimeout(() => endBy({ how: 'timeout' }), timeoutMs);
    const watch = setInterval(() => {
      if (child.pid !== undefined && memoryBytes(child.pid) > memoryBytesMax) endBy({ how: 'memory_limit' });
    }, MEMORY_EVERY_MS);
    const onAbort = () => endBy({ how: 'stopped' });
    signal.addEventListener('abort', onAbort, { once: true });

    let isOver = false;
    const over = () => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      clearInterval(watch);
      signal.removeEventListener('abort', onAbort);
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      resolve({ end: end!, stdout: tails.stdout.text(), stderr: tails.stderr.text() });
    };

    for (const name of ['stdout', 'stderr'] as const)
      child[name].on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        tails[name].add(chunk);
        if (bytes > OUTPUT_BYTES_MAX) endBy({ how: 'output_limit' });
      });
    child.stdin.on('error', () => {}); // it may read none of it
    child.stdin.end(stdin);
    child.once('error', (error) => {
      end ??= { how: 'not_started', why: error.message };
      over();
    });
    child.once('exit', (code, by) => {
      end ??= code === null ? { how: 'killed', by: by ?? 'a signal' } : { how: 'exited', code };
      killGroup();
      setTimeout(over, DRAIN_MS).unref();
    });
    child.once('close', over);
    if (signal.aborted) onAbort();
  });
}

/** The last bytes of a stream. */
class Tail {
  private chunks: Buffer[] = [];
  private bytes = 0;

  add(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
    if (this.bytes < 2 * TAIL_BYTES_MAX) return;
    const kept = Buffer.concat(this.chunks).subarray(-TAIL_BYTES_MAX);
    this.chunks = [kept];
    this.bytes = kept.length;
  }

  text(): string {
    return Buffer.concat(this.chunks).subarray(-TAIL_BYTES_MAX).toString('utf8');
  }
}
