import type { Clock } from '../../src/clock.ts';
import { batchLength, type Insert, insertsOf } from './batch.ts';
import type { Cursor, CursorFile } from './cursor.ts';
import type { Digests, Taken } from './digests.ts';
import { type Files, readRange, using } from './files.ts';
import type { Segment, SpoolLog } from './log.ts';
import { type Found, findRecords } from './record.ts';
import { SEGMENT_HEADER_BYTES } from './segment.ts';
import type { SetAside, SetAsideReason } from './set-aside.ts';

/** What became of an insert. */
export type Delivery =
  | { kind: 'stored' }
  /** Another time, perhaps: it is tried for ever. */
  | { kind: 'unavailable'; message: string }
  /** Not this data, at any time. */
  | { kind: 'rejected'; message: string };

export interface DeliverOptions {
  files: Files;
  clock: Clock;
  deliver: (insert: Insert) => Promise<Delivery>;
  digests: Digests;
  setAside: SetAside;
  onSetAside: (reason: SetAsideReason | 'duplicate', records: number) => void;
  onError: (error: unknown) => void;
}

/** A record waits this long for company. */
const DELAY_MS = 50;
/** Read at once; a larger record is read by itself. */
const WINDOW_BYTES = 10_000_000;
const BACKOFF_MS = { first: 100, max: 5_000 };

/**
 * The reading side: from the cursor on, batch by batch, one at a time.
 *
 *   decide on a batch → save it in the cursor → insert it until ClickHouse has it → move the cursor → next
 *
 * - The cursor that says "sent" is durable before the first byte is sent, so a batch has one set of bounds for ever.
 * - A segment is removed after a cursor past it is durable.
 * - Nothing ends the loop but `stop`: a failing disk or store is tried again, a bad record goes out of the way.
 */
export class Deliverer {
  private readonly options: DeliverOptions;
  private readonly log: SpoolLog;
  private readonly cursorFile: CursorFile;
  private cursor: Cursor;
  /** The cursor in memory is ahead of the one on disk. */
  private dirty = false;
  private readonly repeated: ReadonlySet<number>;
  private taken: Taken[];
  private readonly done: { segment: Segment; taken: Taken[] }[] = [];
  private planned: { range: [number, number]; finds: Found[] } | undefined;
  private readonly stopping = new AbortController();
  private nap: AbortController | undefined;
  private more = Promise.withResolvers<void>();
  private readonly flushes = new Set<{ segment: number; offset: number; done: PromiseWithResolvers<void> }>();
  private failures = 0;
  private delivering = false;
  private running: Promise<void> | undefined;
  pendingRecords: number;
  /** When the oldest record that is being delivered was taken. */
  oldestMs: number | undefined;
  /** Why ClickHouse takes nothing now. */
  trouble: string | undefined;

  constructor(
    options: DeliverOptions,
    log: SpoolLog,
    cursorFile: CursorFile,
    start: { cursor: Cursor; delivered: Taken[]; repeated: ReadonlySet<number>; pendingRecords: number },
  ) {
    this.options = options;
    this.log = log;
    this.cursorFile = cursorFile;
    this.cursor = start.cursor;
    this.taken = start.delivered;
    this.repeated = start.repeated;
    this.pendingRecords = start.pendingRecords;
  }

  /** There is something new. */
  committed(records: number): void {
    this.pendingRecords += records;
    this.more.resolve();
  }

  /** Resolves when all that is committed now is delivered or set aside; rejects with the signal's reason. */
  flush(signal?: AbortSignal): Promise<void> {
    const last = this.log.segments.at(-1);
    if (!last || this.isPast(last.number, last.committed)) return Promise.resolve();
    const flush = { segment: last.number, offset: last.committed, done: Promise.withResolvers<void>() };
    this.flushes.add(flush);
    signal?.addEventListener('abort', () => {
      this.flushes.delete(flush);
      flush.done.reject(signal.reason);
    });
    this.nap?.abort();
    return flush.done.promise;
  }

  start(): void {
    this.running = this.run();
  }

  /** Resolves when it touches no file any more. An insert that hangs is left to itself: its outcome is not looked at. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.more.resolve();
    if (!this.delivering) await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        if (this.cursor.ranges.length > 0 || (await this.plan())) await this.deliverFirst();
        else await this.rest();
        this.failures = 0;
      } catch (error) {
        this.options.onError(error);
        await this.backOff();
      }
    }
  }

  private async rest(): Promise<void> {
    if (this.dirty) await this.save(this.cursor);
    await this.removeDelivered();
    await this.more.promise;
    this.more = Promise.withResolvers();
    if (this.flushes.size > 0 || this.stopping.signal.aborted) return;
    this.nap = new AbortController();
    await this.options.clock
      .sleep(DELAY_MS, AbortSignal.any([this.nap.signal, this.stopping.signal]))
      .catch(() => {}); // somebody waits
    this.nap = undefined;
  }

  /** Decides on the next batch and writes it down; `false` when there is nothing to deliver. */
  private async plan(): Promise<boolean> {
    for (;;) {
      const segment = this.log.segments.find((s) => s.number >= this.cursor.segment);
      if (!segment) return false;
      if (segment.number > this.cursor.segment) this.moveTo(segment.number);
      if (this.cursor.offset < segment.committed) {
        const finds = await this.look(segment);
        const batch = finds.slice(0, batchLength(finds));
        const range: [number, number] = [this.cursor.offset, batch.at(-1)!.to];
        await this.save({ ...this.cursor, ranges: [range] });
        this.planned = { range, finds: batch };
        return true;
      }
      if (!segment.sealed) return false;
      this.done.push({ segment, taken: this.taken });
      this.moveTo(segment.number + 1);
      await this.save(this.cursor);
      await this.removeDelivered();
    }
  }

  private moveTo(number: number): void {
    this.cursor = { ...this.cursor, segment: number, offset: SEGMENT_HEADER_BYTES, ranges: [] };
    this.taken = [];
    this.dirty = true;
    this.wakeFlushes();
  }

  /** What is there from the cursor on; at least one find, at most a window's worth. */
  private async look(segment: Segment): Promise<Exclude<Found, { kind: 'more' }>[]> {
    const from = this.cursor.offset;
    const end = segment.committed;
    for (let to = Math.min(end, from + WINDOW_BYTES); ; ) {
      const finds: Exclude<Found, { kind: 'more' }>[] = [];
      let needed = 0;
      for (const f of await this.read(segment, from, to, to >= end)) {
        if (f.kind === 'more') needed = f.bytes;
        else finds.push(f);
      }
      if (finds.length > 0) return finds;
      to = Math.min(end, from + Math.max(needed, 2 * (to - from)));
    }
  }

  /** The finds in a range; offsets are the segment's. */
  private async read(segment: Segment, from: number, to: number, complete: boolean): Promise<Found[]> {
    const bytes = await using(this.options.files.open(segment.path), (file) => readRange(file, from, to));
    const finds = [...findRecords(bytes, complete)].map((f) =>
      f.kind === 'more' ? f : { ...f, from: f.from + from, to: f.to + from },
    );
    // A file that lost its end under us: there is nothing to read there, now or later.
    if (complete && bytes.length < to - from) finds.push({ kind: 'corrupt', from: from + bytes.length, to });
    return finds;
  }

  private async deliverFirst(): Promise<void> {
    const [range] = this.cursor.ranges as [[number, number]];
    const segment = this.log.segments.find((s) => s.number === this.cursor.segment);
    if (!segment) {
      this.options.onSetAside('corrupt', 1);
      this.advance(range, []);
      return;
    }
    const known = this.planned?.range[0] === range[0] && this.planned.range[1] === range[1];
    const finds = known ? this.planned!.finds : await this.read(segment, range[0], range[1], true);
    const records = this.fresh(finds);
    this.oldestMs = records[0]?.record.timeMs;
    const place = `${this.cursor.spoolId}-${segment.number}-${range[0]}-${range[1]}`;
    const outcome = await this.insertAll(
      insertsOf(
        records.map((f) => f.record),
        place,
      ),
    );
    if (outcome === undefined) return; // stopped
    if (outcome.kind === 'rejected' && records.length > 1) {
      const middle = records[Math.floor(records.length / 2)]!.from;
      const [, ...rest] = this.cursor.ranges;
      this.planned = undefined;
      await this.save({ ...this.cursor, ranges: [[range[0], middle], [middle, range[1]], ...rest] });
      return;
    }
    for (const f of finds) {
      if (f.kind === 'corrupt' || f.kind === 'torn') await this.putAside('corrupt', segment, f.from, f.to);
    }
    for (const f of outcome.kind === 'rejected' ? records : [])
      await this.putAside('rejected', segment, f.from, f.to);
    const skipped = finds.filter((f) => f.kind === 'record').length - records.length;
    if (skipped > 0) this.options.onSetAside('duplicate', skipped);
    this.advance(range, records);
  }

  /** The records that were not delivered before: numbers only grow. */
  private fresh(finds: readonly Found[]): Extract<Found, { kind: 'record' }>[] {
    let last = this.cursor.sequence;
    return finds
      .filter((f) => f.kind === 'record')
      .filter(({ record: { sequence } }) => {
        if (sequence <= last || this.repeated.has(sequence)) return false;
        last = sequence;
        return true;
      });
  }

  /** Until ClickHouse has said something final; `undefined` when it was stopped before. */
  private async insertAll(
    inserts: readonly Insert[],
  ): Promise<Exclude<Delivery, { kind: 'unavailable' }> | undefined> {
    for (const insert of inserts) {
      for (;;) {
        if (this.stopping.signal.aborted) return undefined;
        this.delivering = true;
        const outcome = await this.options.deliver(insert);
        this.delivering = false;
        if (this.stopping.signal.aborted) return undefined; // the folder may be another's by now
        this.trouble = outcome.kind === 'unavailable' ? outcome.message : undefined;
        if (outcome.kind === 'rejected') return outcome;
        if (outcome.kind === 'stored') break;
        await this.backOff();
      }
      this.failures = 0;
    }
    return { kind: 'stored' };
  }

  private async putAside(
    reason: 'corrupt' | 'rejected',
    segment: Segment,
    from: number,
    to: number,
  ): Promise<void> {
    const bytes = await using(this.options.files.open(segment.path), (file) => readRange(file, from, to));
    await this.options.setAside.keep(reason, segment.number, from, bytes);
    this.options.onSetAside(reason, 1);
  }

  private advance(
    range: readonly [number, number],
    records: readonly Extract<Found, { kind: 'record' }>[],
  ): void {
    const [, ...rest] = this.cursor.ranges;
    const sequence = records.at(-1)?.record.sequence ?? this.cursor.sequence;
    this.cursor = { ...this.cursor, offset: range[1], sequence, ranges: rest };
    for (const { record } of records) this.taken.push({ digest: record.digest, timeMs: record.timeMs });
    this.pendingRecords = Math.max(0, this.pendingRecords - records.length);
    this.oldestMs = undefined;
    this.planned = undefined;
    this.dirty = true; // saved together with the next batch, or when there is none
    this.wakeFlushes();
  }

  private async save(cursor: Cursor): Promise<void> {
    await this.cursorFile.save(cursor);
    this.cursor = cursor;
    this.dirty = false;
  }

  /** Removes segments the cursor is past. One that cannot be removed now is tried again, and stops nothing. */
  private async removeDelivered(): Promise<void> {
    const { files, digests, onError } = this.options;
    while (this.done[0]) {
      const { segment, taken } = this.done[0];
      try {
        await digests.keep(segment.number, taken).catch((error: NodeJS.ErrnoException) => {
          onError(error);
          if (error.code !== 'ENOSPC') throw error; // a full disk needs the room more than the memory
        });
        await files.unlink(segment.path);
      } catch (error) {
        onError(error);
        return;
      }
      this.done.shift();
      this.log.segments.splice(this.log.segments.indexOf(segment), 1);
    }
  }

  private isPast(segment: number, offset: number): boolean {
    return this.cursor.segment > segment || (this.cursor.segment === segment && this.cursor.offset >= offset);
  }

  private wakeFlushes(): void {
    for (const flush of this.flushes) {
      if (!this.isPast(flush.segment, flush.offset)) continue;
      this.flushes.delete(flush);
      flush.done.resolve();
    }
  }

  private async backOff(): Promise<void> {
    const { clock } = this.options;
    const ms = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** this.failures++) * (0.5 + clock.random());
    await clock.sleep(ms, this.stopping.signal).catch(() => {}); // stopped
  }
}
