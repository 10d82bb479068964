import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { End } from './steps.ts';

export interface ChildSettings {
  clickhouseUrl: string;
  /** Where the spool is. */
  folder: string;
  port: number;
  /** Bound of the spool; a segment is an eighth of it. */
  bytesMax?: number;
  /** The operation on disk at which it ends itself. */
  end?: End;
}

/** A process that has loaded the collector and waits for the word to start it. */
export interface Standby {
  process: ChildProcess;
  exited: Promise<unknown>;
  /** Resolves with the collector's address when it listens; `undefined` when the process ended before. */
  start(): Promise<string | undefined>;
  /** What it said last, once it has ended; `undefined` when it said nothing more. */
  lastLine(): Promise<string | undefined>;
}

const CHILD = join(import.meta.dirname, 'collector-child.ts');

/** Code compiled by the first process is there for the others: starts are most of what a campaign costs. */
const compileCache = mkdtempSync(join(tmpdir(), 'loopscope-compiled-'));
process.once('exit', () => rmSync(compileCache, { recursive: true, force: true }));

/** Most of a process's start is loading code; one that stands by makes a restart as fast as the spool's recovery. */
export async function standBy(settings: ChildSettings): Promise<Standby> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
  });
  const exited = once(child, 'exit');
  child.stdin.on('error', () => {}); // it is dead, and `exited` says so
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const loaded = await lines.next();
  if (loaded.done)
    throw new Error(`the collector's process ended with ${(await exited)[0]} before it was asked to start`);
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

/** A collector that is killed again and again, and is back at once on the same port and folder. */
export class MortalCollector {
  url = '';
  private readonly settings: ChildSettings;
  private current: Standby | undefined;
  private next: Promise<Standby> | undefined;

  constructor(settings: ChildSettings) {
    this.settings = settings;
  }

  async start(): Promise<void> {
    this.current = await (this.next ?? standBy(this.settings));
    const url = await this.current.start();
    if (url === undefined) throw new Error('the collector ended instead of starting');
    this.url = url;
    this.settings.port = Number(new URL(url).port);
    this.next = standBy(this.settings);
  }

  async kill(): Promise<void> {
    this.current?.process.kill('SIGKILL');
    await this.current?.exited;
  }

  async close(): Promise<void> {
    await this.kill();
    const spare = await this.next?.catch(() => undefined);
    spare?.process.kill('SIGKILL');
    await spare?.exited;
  }
}
