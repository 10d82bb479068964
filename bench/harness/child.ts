import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/**
 * Processes that take part in a benchmark. They speak over Node's own channel: the child says once what it is
 * (`ready`), then answers one question at a time. A child whose parent is gone ends itself (child-side.ts).
 */
export interface Child<Ready> {
  pid: number;
  ready: Ready;
  /** Asks for one thing and waits for the answer, for at most `ASK_MS_MAX`. */
  ask<Answer>(question: object): Promise<Answer>;
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>;
}

const READY_MS_MAX = 60_000;
const ASK_MS_MAX = 600_000;
const STOP_MS_MAX = 10_000;

/** The command that holds a process to one core; nothing where the system has none. */
export const canPin = spawnSync('taskset', ['-c', '0', 'true']).status === 0;

export interface ChildOptions {
  /** Core to run on; any where not given, or where the system cannot pin. */
  core?: number;
  /** Handed to the script as JSON in its first argument. */
  settings?: object;
}

/** Starts a script of the benchmarks and returns when it is ready. */
export async function startChild<Ready>(script: string, options: ChildOptions = {}): Promise<Child<Ready>> {
  const command = pinned(options.core, [
    process.execPath,
    script,
    ...(options.settings ? [JSON.stringify(options.settings)] : []),
  ]);
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  try {
    const ready = await nextMessage<Ready>(child, script, READY_MS_MAX);
    return {
      pid: child.pid!,
      ready,
      ask: (question) => {
        const answer = nextMessage<never>(child, script, ASK_MS_MAX);
        child.send(question);
        return answer;
      },
      stop: () => stop(child),
    };
  } catch (error) {
    await stop(child);
    throw error;
  }
}

/** `command` held to `core`, where that can be done. */
export const pinned = (core: number | undefined, command: readonly string[]): string[] =>
  core === undefined || !canPin ? [...command] : ['taskset', '-c', String(core), ...command];

/** Asks a process to end; one that does not is killed. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const deadline = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
  await gone;
  clearTimeout(deadline);
}

function nextMessage<T>(child: ChildProcess, script: string, msMax: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(deadline);
      child.off('message', onMessage).off('exit', onExit).off('error', onError);
      act();
    };
    const onMessage = (message: { error?: string }) =>
      settle(() =>
        message.error === undefined
          ? resolve(message as T)
          : reject(new Error(`${script}: ${message.error}`)),
      );
    const onExit = (code: number | null) => settle(() => reject(new Error(`${script} ended with ${code}`)));
    const onError = (error: Error) => settle(() => reject(error));
    const deadline = setTimeout(
      () => settle(() => reject(new Error(`${script} said nothing for ${msMax / 1000} s`))),
      msMax,
    );
    child.on('message', onMessage).on('exit', onExit).on('error', onError);
  });
}

/** What a process has used so far; `null` where the system does not say (/proc is Linux's). */
export interface Usage {
  /** User and system time of all its threads. */
  cpuS: number | null;
  rssMb: number | null;
  rssPeakMb: number | null;
}

/** Linux counts processor time in hundredths of a second. */
const TICKS_PER_S = 100;

export function usage(pid: number): Usage {
  try {
    // The second field is the program's name in brackets, which may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const mb = (name: string) => {
      const kb = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status);
      return kb ? Number(kb[1]) / 1024 : null;
    };
    return {
      cpuS: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S,
      rssMb: mb('VmRSS'),
      rssPeakMb: mb('VmHWM'),
    };
  } catch {
    return { cpuS: null, rssMb: null, rssPeakMb: null };
  }
}
