import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Insert } from './batch.ts';
import type { Cursor, CursorFile, Range } from './cursor.ts';
import type { Digests, Taken } from './digests.ts';
import { type Files, readRange, using } from './files.ts';
import { Flight } from './flight.ts';
import { Flushes } from './flushes.ts';
import { backOff, type Deliver, type Delivery } from './insertion.ts';
import type { SpoolLog } from './log.ts';
import { type Batch, Planner } from './planner.ts';
import { Removal } from './removal.ts';
import { SEGMENT_HEADER_BYTES, segmentPath } from './segment.ts';
import type { SetAside, SetAsideReason } from './set-aside.ts';

export type { Deliver, Delivery } from './insertion.ts';

export interface DeliverOptions {
  files: Files;
  folder: string;
  clock: Clock;
  tables: readonly string[];
  deliver: Deliver;
  batchBytesMax: number | undefined;
  /** A record waits this long for company. */
  companyMs: number;
  digests: Digests;
  setAside: SetAside;
  onSetAside: (reason: SetAsideReason | 'duplicate', records: number) => void;
  onError: (error: unknown) => void;
}

/** With nothing to deliver the cursor is saved after this time; a batch that comes before saves it anyway. */
const SAVE_DELAY_MS = 1_000;
/** Batches that are sent at the same time: ClickHouse takes one insert with one core. */
export const FLIGHTS_MAX = 2;
/** Bounds of what one save writes down, and of what is in memory. */
const PLANNED_MAX = 4;
const PLANNED_BYTES_MAX = 48_000_000;
/** Batches that wait, done, for one before them. */
const BEHIND_MAX = 4 * PLANNED_MAX;

/**
 * The reading side, from the cursor on.
 *
 *   plan batches → save their bounds in the cursor → send, a few at a time → settle → the cursor passes, in order
 *
 * - The cursor that has a batch's bounds is durable before the first byte is sent, so a batch has one set of bounds for
 *   ever. It is saved for several batches at once, and what they leave behind is saved with the next ones: a cursor
 *   that is behind only means that a batch is sent again, under the same tokens.
 * - Batches finish in any order; the cursor passes them in their own. After a crash all that it has not passed are sent
 *   again, as they were.
 * - Content before what refers to it, also across batches: a request need not bring a row of the first table that one
 *   before it brought, so those of a batch are stored before any other row of a later one is sent.
 * - A second batch goes out beside the first only when it is full: while an insert is under way the next one grows.
 * - A segment is removed after a cursor past it is durable.
 * - Nothing ends the loop but `stop`: a failing disk or store is tried again, a bad record goes out of the way.
 */
export class Deliverer {
  private readonly options: DeliverOptions;
  private readonly log: SpoolLog;
  private readonly cursorFile: CursorFile;
  private readonly planner: Planner;
  private readonly removal: Removal;
  private readonly flushes = new Flushes();
  /** First part of the tokens. Not the spool's id itself: ClickHouse writes tokens to its logs. */
  private readonly tokenPrefix: string;
  /** Behind what `flights` hold, whose ranges are saved with it. */
  private cursor: Cursor;
  private flights: Flight[];
  /** The cursor on disk is behind: `ranges` lacks some that are not sent yet, `place` is only not as far as it could be. */
  private unsaved: 'nothing' | 'place' | 'ranges' = 'nothing';
  private readonly stopping = new AbortController();
  private nap: AbortController | undefined;
  private more = Promise.withResolvers<void>();
  private content = Promise.withResolvers<void>();
  private running: Promise<void> | undefined;
  pendingRecords: number;

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
    this.flights = start.cursor.ranges.map((range) => new Flight(range));
    this.planner = new Planner(options.files, log, start.cursor, start.repeated, options.batchBytesMax);
    this.removal = new Removal(options, log);
    this.removal.remember(start.cursor.segment, start.delivered);
    this.pendingRecords = start.pendingRecords;
    this.tokenPrefix = createHash('sha256').update(start.cursor.spoolId).digest('hex').slice(0, 16);
  }

  /** When the oldest record that is being delivered was taken. */
  get oldestMs(): number | undefined {
    return this.flights[0]?.records[0]?.record.timeMs;
  }

  /** Why ClickHouse takes nothing now. */
  get trouble(): string | undefined {
    return this.flights.find((f) => f.trouble !== undefined)?.trouble;
  }

  /** There is something new. */
  committed(records: number): void {
    this.pendingRecords += records;
    // While something is being sent, a little more changes nothing, and would be looked at for every commit.
    const isIdle = this.flights.length === 0;
    if (isIdle || (this.sending < FLIGHTS_MAX && this.planner.hasMuchUnread)) this.more.resolve();
  }

  /** Resolves when all that is committed now is delivered or set aside; rejects with the signal's reason. */
  flush(signal?: AbortSignal): Promise<void> {
    const last = this.log.segments.at(-1);
    if (!last || this.isPast(last.number, last.committed)) return Promise.resolve();
    const flushed = this.flushes.wait(last.number, last.committed, signal);
    this.nap?.abort();
    return flushed;
  }

  start(): void {
    this.running = this.run();
  }

  /** Resolves when it touches no file any more. An insert that hangs is left to itself: its outcome is not looked at. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.more.resolve();
    await this.running;
  }

  private async run(): Promise<void> {
    const { clock, onError } = this.options;
    for (let failures = 0; !this.stopping.signal.aborted; ) {
      try {
        await this.step();
        failures = 0;
        await this.rest();
      } catch (error) {
        onError(error);
        await backOff(clock, failures++, this.stopping.signal);
      }
    }
    if (this.unsaved === 'place') await this.save().catch(onError);
  }

  private async step(): Promise<void> {
    for (const flight of this.flights) if (flight.state === 'answered') await this.settle(flight);
    this.pass();
    if (this.sending < FLIGHTS_MAX && this.flights.every((f) => f.state !== 'planned')) await this.plan();
    if (this.unsaved === 'ranges') await this.save();
    await this.send();
  }

  private get sending(): number {
    return this.flights.filter((f) => f.state === 'sending').length;
  }

  /** Halves a batch that was refused; sets aside what cannot be delivered of any other. */
  private async settle(flight: Flight): Promise<void> {
    const isRejected = flight.outcome?.kind === 'rejected';
    if (isRejected && flight.records.length > 1) {
      this.flights = this.flights.flatMap((f) => (f === flight ? flight.halves() : [f]));
      this.unsaved = 'ranges';
      return;
    }
    for (const f of flight.finds) if (f.kind !== 'record') await this.putAside('corrupt', flight.range, f);
    if (isRejected) for (const f of flight.records) await this.putAside('rejected', flight.range, f);
    const skipped = flight.finds.filter((f) => f.kind === 'record').length - flight.records.length;
    if (skipped > 0) this.options.onSetAside('duplicate', skipped);
    flight.settle();
    this.announceContent();
  }

  private async putAside(
    reason: 'corrupt' | 'rejected',
    { segment }: Range,
    { from, to }: { from: number; to: number },
  ): Promise<void> {
    const { files, folder, setAside, onSetAside } = this.options;
    const bytes = await using(files.open(segmentPath(folder, segment)), (file) => readRange(file, from, to));
    await setAside.keep(reason, segment, from, bytes);
    onSetAside(reason, 1);
  }

  /** Moves the cursor past all that is settled from it on, and past segments that end there. */
  private pass(): void {
    let { segment, offset, sequence } = this.cursor;
    while (this.flights[0]?.state === 'settled') {
      const { range, delivered } = this.flights.shift()!;
      segment = range.segment;
      offset = range.to;
      sequence = delivered.sequence ?? sequence;
      this.removal.remember(segment, delivered.taken);
      this.pendingRecords = Math.max(0, this.pendingRecords - delivered.taken.length);
    }
    const last = this.log.segments.at(-1);
    const next = this.flights[0]?.range.segment ?? Number.POSITIVE_INFINITY;
    for (const s of this.log.segments) {
      if (s.number < segment) continue;
      if (s.number > next) break;
      if (s.number > segment) offset = SEGMENT_HEADER_BYTES;
      segment = s.number;
      // The last one waits for the next, whose header tells a start where its records end.
      if (s === last || !s.sealed || s.committed > offset) break;
    }
    if (segment === this.cursor.segment && offset === this.cursor.offset) return;
    this.cursor = { ...this.cursor, segment, offset, sequence };
    if (this.unsaved === 'nothing') this.unsaved = 'place';
    // What could be read when it was counted, and then could not, is waited for no more.
    if (last && this.isPast(last.number, last.committed)) this.pendingRecords = 0;
    this.flushes.wake((...place) => this.isPast(...place));
  }

  /** Decides on the next batches; they are sent when they are saved. */
  private async plan(): Promise<void> {
    for (let n = 0; n < PLANNED_MAX && this.flights.length < BEHIND_MAX; n++) {
      if (this.flights.reduce((sum, f) => sum + f.bytes, 0) >= PLANNED_BYTES_MAX) return;
      const batch = await this.planner.next(this.flights.length === 0);
      if (!batch) return;
      this.flights.push(new Flight(batch.range, batch));
      this.unsaved = 'ranges';
    }
  }

  private async save(): Promise<void> {
    const { segment } = this.cursor;
    await this.cursorFile.save({ ...this.cursor, ranges: this.flights.map((f) => f.range) });
    this.unsaved = 'nothing';
    await this.removal.removeBefore(segment);
  }

  private async send(): Promise<void> {
    const { clock, tables, deliver } = this.options;
    const options = {
      clock,
      deliver: (insert: Insert, isRepeat: boolean) => this.deliverSafely(deliver, insert, isRepeat),
      stopping: this.stopping.signal,
    };
    for (const flight of this.flights) {
      if (this.sending >= FLIGHTS_MAX) return;
      // Refused, it goes out again before what may wait for its messages, and would leave it no place.
      if (flight.state === 'answered') return;
      if (flight.state !== 'planned') continue;
      if (!flight.isRead) await flight.read((range) => this.read(range));
      void flight
        .send(this.tokenPrefix, tables, options, () => this.contentOfEarlier(flight))
        .then(() => {
          this.announceContent();
          this.more.resolve();
        });
    }
  }

  private async deliverSafely(deliver: Deliver, insert: Insert, isRepeat: boolean): Promise<Delivery> {
    try {
      return await deliver(insert, isRepeat);
    } catch (error) {
      this.options.onError(error); // it does not, but a batch that is stuck for ever would say nothing
      return { kind: 'unavailable', message: (error as Error).message };
    }
  }

  private async read(range: Range): Promise<Batch> {
    const batch = await this.planner.read(range);
    if (!batch) this.options.onSetAside('corrupt', 1); // its file is gone
    return batch ?? { range, finds: [], records: [] };
  }

  private async contentOfEarlier(flight: Flight): Promise<void> {
    this.announceContent();
    while (!this.stopping.signal.aborted) {
      const earlier = this.flights.slice(0, this.flights.indexOf(flight));
      if (earlier.every((f) => f.contentStored)) return;
      await this.content.promise;
    }
  }

  private announceContent(): void {
    this.content.resolve();
    this.content = Promise.withResolvers();
  }

  /** Until there is something to do. */
  private async rest(): Promise<void> {
    const isIdle = this.flights.length === 0;
    while (isIdle && (this.unsaved === 'place' || this.hasRemovable)) {
      const isUrgent = this.unsaved === 'place' && this.hasRemovable; // others need the room
      if (!isUrgent && !(await this.nothingComes())) break;
      if (this.unsaved === 'place') await this.save();
      else await this.removal.removeBefore(this.cursor.segment);
    }
    await this.more.promise;
    this.more = Promise.withResolvers();
    // Between two batches there is time for the next one to grow, unless somebody waits or it is full already.
    const isSending = this.sending > 0;
    if (isSending || !this.flushes.isEmpty || this.stopping.signal.aborted || this.planner.hasMuchUnread)
      return;
    this.nap = new AbortController();
    await this.options.clock
      .sleep(this.options.companyMs, AbortSignal.any([this.nap.signal, this.stopping.signal]))
      .catch(() => {}); // somebody waits
    this.nap = undefined;
  }

  private get hasRemovable(): boolean {
    const [first] = this.log.segments;
    return first !== undefined && first.number < this.cursor.segment;
  }

  /** Whether a while passes without anything new. */
  private async nothingComes(): Promise<boolean> {
    const waiting = new AbortController();
    const late = this.options.clock.sleep(SAVE_DELAY_MS, waiting.signal).then(
      () => true,
      () => false,
    );
    const isLate = await Promise.race([late, this.more.promise.then(() => false)]);
    waiting.abort();
    return isLate;
  }

  private isPast(segment: number, offset: number): boolean {
    return this.cursor.segment > segment || (this.cursor.segment === segment && this.cursor.offset >= offset);
  }
}
