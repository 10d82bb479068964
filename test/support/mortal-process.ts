import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A process that has loaded its code and waits for the word to start. */
export interface Standby {
  process: ChildProcess;
  exited: Promise<unknown>;
  /** Resolves with its address when it listens; `undefined` when the process ended before. */
  start(): Promise<string | undefined>;
  /** What it said last, once it has ended; `undefined` when it said nothing more. */
  lastLine(): Promise<string | undefined>;
}

/** Most of a process's start is loading code; one that stands by makes a restart as fast as the spool's recovery. */
export async function standBy(script: string, settings: object): Promise<Standby> {
  const child = spawn(process.execPath, [join(import.meta.dirname, script), JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  child.stdin.on('error', () => {}); // it is dead, and `exited` says so
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const loaded = await lines.next();
  if (loaded.done) throw new Error(`${script} ended with ${(await exited)[0]} before it was asked to start`);
  const nextLine = async () => {
    const line = await lines.next();
    return line.done ? undefined : line.value;
  };
  return {
    process: child,
    exited,
    start: () => {
      child.stdin.write('start\n');
      return nextLine();
    },
    lastLine: nextLine,
  };
}

/** A server in a process of its own that is killed again and again, and is back at once on the same port. */
export class MortalProcess<Settings extends { port: number }> {
  url = '';
  private readonly script: string;
  private readonly settings: Settings;
  private current: Standby | undefined;
  private next: Promise<Standby> | undefined;

  /** `script`, beside this file, prints its address when it is told to start. */
  constructor(script: string, settings: Settings) {
    this.script = script;
    this.settings = settings;
  }

  async start(): Promise<void> {
    this.current = await (this.next ?? standBy(this.script, this.settings));
    const url = await this.current.start();
    if (url === undefined) throw new Error(`${this.script} ended instead of starting`);
    this.url = url;
    this.settings.port = Number(new URL(url).port);
    this.next = standBy(this.script, this.settings);
  }

  async kill(): Promise<void> {
    this.current?.process.kill('SIGKILL');
    await this.current?.exited;
  }

  /** Makes it hang: its connections stay open and it does nothing. */
  pause(): void {
    this.current?.process.kill('SIGSTOP');
  }

  resume(): void {
    this.current?.process.kill('SIGCONT');
  }

  async close(): Promise<void> {
    await this.kill();
    const spare = await this.next?.catch(() => undefined);
    spare?.process.kill('SIGKILL');
    await spare?.exited;
  }
}
