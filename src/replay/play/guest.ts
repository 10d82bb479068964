import { spawn } from 'node:child_process';
import type { Clock } from '../../clock.ts';
import { childEnvironment } from '../../config.ts';
import { LoopscopeError } from '../../errors.ts';
import { endGroup } from './command-tools.ts';

/**
 * The user's own loop, started in a process group of its own so that it ends with all that it started. What it prints goes to
 * our stderr: stdout is the report's.
 */
export interface GuestOptions {
  command: readonly [string, ...string[]];
  /** The server of the record. */
  url: string;
  run: string;
  replayId: string;
  loop: string;
  itemId: string | null;
  /** Stands in where the loop has no key of its own: SDKs do not start without one. */
  key: string;
  stderr: NodeJS.WritableStream;
  clock: Clock;
  signal: AbortSignal;
}

export interface GuestExit {
  code: number | null;
  signal: string | null;
}

/** How long a loop that is told to end may take. */
const GRACE_MS = 3_000;

/** Runs it to its end; the signal ends it. Throws `usage` where it cannot be started. */
export function runGuest(options: GuestOptions): Promise<GuestExit> {
  const { command, stderr, clock, signal } = options;
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: guestEnv(options),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.pipe(stderr, { end: false });
    child.stderr.pipe(stderr, { end: false });
    const ended = new AbortController();
    const end = () => {
      const { pid } = child;
      if (pid === undefined) return;
      endGroup(pid, 'SIGTERM');
      clock.sleep(GRACE_MS, ended.signal).then(
        () => endGroup(pid),
        () => {},
      );
    };
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    child.on('error', (error) => {
      signal.removeEventListener('abort', end);
      reject(new LoopscopeError('usage', `The loop could not be started: ${error.message}.`));
    });
    // What it left behind would go on against a server that is gone, and holds its output open.
    child.on('exit', () => child.pid !== undefined && endGroup(child.pid));
    child.on('close', (code, by) => {
      signal.removeEventListener('abort', end);
      ended.abort();
      resolve({ code, signal: by });
    });
  });
}

function guestEnv({ url, run, replayId, loop, itemId, key }: GuestOptions) {
  const base = `${url}/loops/${encodeURIComponent(loop)}`;
  return childEnvironment(
    { OPENAI_API_KEY: key, ANTHROPIC_API_KEY: key },
    {
      OPENAI_BASE_URL: `${base}/v1`,
      ANTHROPIC_BASE_URL: `${base}/anthropic`,
      LOOPSCOPE_GATEWAY_URL: url,
      LOOPSCOPE_REPLAY: '1',
      LOOPSCOPE_REPLAY_ID: replayId,
      LOOPSCOPE_RUN: run,
      // What the loop tells of itself by other ways would be told of the run in production.
      OTEL_SDK_DISABLED: 'true',
      CLAUDE_CODE_ENABLE_TELEMETRY: '0',
      ...(itemId !== null && { LOOPSCOPE_ITEM: itemId }),
    },
  );
}
