import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { rename } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pino from 'pino';
import { type Clock, systemClock } from '../../src/clock.ts';
import { type Chunk, TABLES } from '../../src/span/batch.ts';
import type { Insert } from '../../src/spool/batch.ts';
import type { Delivery } from '../../src/spool/deliver.ts';
import { type Files, nodeFiles, type OpenFile } from '../../src/spool/files.ts';
import { openSpool, type Spool, type SpoolOptions } from '../../src/spool/spool.ts';

/** Time that passes, and waits that take next to none. */
export const hastyClock = (): Clock => ({
  ...systemClock(),
  sleep: (ms, signal) => systemClock().sleep(Math.min(ms, 1), signal),
});

export const digestOf = (id: string) => createHash('sha256').update(id).digest('hex');

/** A request of a message and some spans, all named after `id`. */
export function requestOf(id: string, spans = 1, padding = 0): Chunk[] {
  const rows = (n: number) =>
    Buffer.from(
      Array.from(
        { length: n },
        (_, i) => `${JSON.stringify({ id: `${id}/${i}`, x: 'é'.repeat(padding) })}\n`,
      ).join(''),
    );
  return [
    { table: 'messages', format: 'JSONEachRow', rows: 1, partitions: [], bytes: rows(1) },
    { table: 'otel_traces', format: 'JSONEachRow', rows: spans, partitions: [1], bytes: rows(spans) },
  ];
}

/** Keeps what it is sent, once for one token, as ClickHouse does. */
export class MemoryStore {
  readonly counts = new Map<string, number>();
  readonly inserts: Insert[] = [];
  private readonly tokens = new Set<string>();
  private readonly messages = new Set<string>();
  honoursTokens = true;
  /** What it answers instead of storing, or (`lost`) after it. */
  mood: (insert: Insert) => 'well' | 'away' | 'lost' | 'rejects' = () => 'well';

  readonly deliver = async (insert: Insert): Promise<Delivery> => {
    await new Promise(setImmediate);
    const mood = this.mood(insert);
    if (mood === 'away') return { kind: 'unavailable', message: 'away' };
    if (mood === 'rejects') return { kind: 'rejected', message: 'bad data' };
    if (!this.tokens.has(insert.token) || !this.honoursTokens) {
      this.tokens.add(insert.token);
      this.inserts.push(insert);
      for (const line of Buffer.concat(insert.bodies).toString().split('\n').filter(Boolean)) {
        const { id } = JSON.parse(line) as { id: string };
        if (insert.table === 'messages') this.messages.add(id);
        else this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
        if (insert.table === 'otel_traces' && id.endsWith('/0') && !this.messages.has(id))
          throw new Error(`${id} came before its message`);
      }
    }
    return mood === 'lost' ? { kind: 'unavailable', message: 'no answer' } : { kind: 'stored' };
  };
}

export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'loopscope-spool-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const openTestSpool = (
  folder: string,
  store: MemoryStore,
  options: Partial<SpoolOptions> = {},
): Promise<Spool> =>
  openSpool({
    folder,
    clock: hastyClock(),
    log: pino({ level: 'silent' }),
    commitMs: 1,
    durability: 'power_loss',
    bytesMax: 1_000_000_000,
    ageMsMax: 86_400_000,
    tables: TABLES,
    recentBytesMax: 500, // some records are delivered from memory, others are read back
    deliver: store.deliver,
    ...options,
  });

/**
 * A disk with a memory of what was forced to it. An operation can fail, or end the process before, in the middle of or
 * after it; a power cut then takes back what was not forced.
 */
export class TestDisk {
  readonly files: Files;
  operations = 0;
  crashed = false;
  failed: string[] = [];
  private readonly plan: DiskPlan;
  private readonly handles = new Set<OpenFile>();
  /** Contents as they were when last forced, of files written since. */
  private readonly durable = new Map<string, Buffer>();
  /** How to take back what was done to a folder since it was last forced, newest last. */
  private readonly undo: { folder: string; run: () => void }[] = [];

  constructor(plan: DiskPlan) {
    this.plan = plan;
    this.files = this.wrap();
  }

  private opened(file: OpenFile): OpenFile {
    this.handles.add(file);
    return file;
  }

  /** What the end of a process does; after the spool's `close`. */
  async closeAll(): Promise<void> {
    for (const file of this.handles) await file.close().catch(() => {});
  }

  /** Takes back what the disk had not promised: all of it, or (`random`) some of the newest. */
  cutPower(random?: () => number): void {
    for (const [path, content] of this.durable) {
      if (!existsSync(path)) continue;
      const now = readFileSync(path);
      if (random && random() < 0.5) {
        // Part of what was appended made it.
        const appended = Math.max(0, now.length - content.length);
        if (now.subarray(0, content.length).equals(content))
          truncateSync(path, content.length + Math.floor(random() * (appended + 1)));
        continue;
      }
      writeFileSync(path, content);
    }
    for (const { run } of this.undo.reverse()) {
      if (random && random() < 0.3) break;
      run();
    }
  }

  private async step<T>(what: string, work: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    if (this.crashed) throw new Error('the process has ended');
    this.operations++;
    const { failAt, failTimes = 1, code = 'EIO', crashAt, moment = 'before' } = this.plan;
    if (failAt !== undefined && this.operations >= failAt && this.operations < failAt + failTimes) {
      this.failed.push(what);
      throw Object.assign(new Error(`${code}: ${what}`), { code });
    }
    if (this.operations !== crashAt) return await work();
    if (moment === 'after') await work();
    if (moment === 'middle') await half?.();
    this.crashed = true;
    throw new Error(`the process ends at ${what}`);
  }

  private wrap(): Files {
    const remember = (path: string) => {
      if (!this.durable.has(path))
        this.durable.set(path, existsSync(path) ? readFileSync(path) : Buffer.alloc(0));
    };
    const wrapFile = (path: string, file: OpenFile): OpenFile => ({
      read: (buffer, position) => this.step('read', () => file.read(buffer, position)),
      write: (bytes, position) => {
        if (!this.crashed) remember(path);
        return this.step(
          'write',
          () => file.write(bytes, position),
          () => file.write(bytes.subarray(0, bytes.length >> 1), position),
        );
      },
      datasync: () =>
        this.step('datasync', async () => {
          await file.datasync();
          this.durable.delete(path);
        }),
      truncate: (length) => {
        if (!this.crashed) remember(path);
        return this.step('truncate', () => file.truncate(length));
      },
      size: () => this.step('size', () => file.size()),
      close: async () => {
        this.handles.delete(file);
        await file.close();
        await this.step('close', async () => {});
      },
    });
    return {
      makeFolder: (path) => this.step('makeFolder', () => nodeFiles.makeFolder(path)),
      list: (folder) => this.step('list', () => nodeFiles.list(folder)),
      create: (path) =>
        this.step('create', async () => {
          const file = this.opened(await nodeFiles.create(path));
          this.undo.push({ folder: dirname(path), run: () => existsSync(path) && unlinkSync(path) });
          return wrapFile(path, file);
        }),
      open: (path) => this.step('open', async () => wrapFile(path, this.opened(await nodeFiles.open(path)))),
      rename: (from, to) =>
        this.step('rename', async () => {
          const content = readFileSync(from);
          await rename(from, to);
          const old = this.durable.get(from);
          this.durable.delete(from);
          if (old) this.durable.set(to, old);
          this.undo.push({
            folder: dirname(to),
            run: () => {
              if (existsSync(to)) unlinkSync(to);
              writeFileSync(from, content);
            },
          });
        }),
      unlink: (path) =>
        this.step('unlink', async () => {
          const content = existsSync(path) ? readFileSync(path) : undefined;
          await nodeFiles.unlink(path);
          this.durable.delete(path);
          this.undo.push({ folder: dirname(path), run: () => content && writeFileSync(path, content) });
        }),
      syncFolder: (path) =>
        this.step('syncFolder', async () => {
          await nodeFiles.syncFolder(path);
          const others = this.undo.filter((u) => u.folder !== path);
          this.undo.splice(0, this.undo.length, ...others);
        }),
    };
  }
}

export interface DiskPlan {
  /** Number of the operation that fails, from 1, how many from there do, and how. */
  failAt?: number;
  failTimes?: number;
  code?: 'EIO' | 'ENOSPC';
  /** Number of the operation at which the process ends. */
  crashAt?: number;
  moment?: 'before' | 'middle' | 'after';
}
