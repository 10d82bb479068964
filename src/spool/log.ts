import type { Clock } from '../clock.ts';
import type { Chunk } from './chunk.ts';
import type { Files, OpenFile } from './files.ts';
import { RecentRecords } from './recent.ts';
import {
  type Payload,
  RECORD_HEADER_BYTES,
  type Salt,
  type SpoolRecord,
  saltOf,
  writeRecord,
} from './record.ts';
import { Scratch } from './scratch.ts';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentPath } from './segment.ts';

/**
 * The writing side of the log.
 *
 *   segment 7 (sealed)      segment 8 (sealed)      segment 9 (open)
 *   ├──── committed ────┤   ├──── committed ────┤   ├── committed ──┤░ being written ░
 *
 * - Records are written and made durable in groups; `append` resolves for a group when all of it is durable.
 * - `committed` never shrinks, and nobody reads past it. After any failure the segment is sealed there and the next
 *   record goes to a new one: what a failed fsync left on the disk is unknown, and is never built upon.
 * - A sequence number or segment number is used once, also when its write fails.
 */
export interface Segment {
  number: number;
  path: string;
  /** Bytes from the start of the file that are durable. */
  committed: number;
  sealed: boolean;
}

export interface LogOptions {
  files: Files;
  folder: string;
  spoolId: string;
  clock: Clock;
  commitMs: number;
  segmentBytesMax: number;
  recentBytesMax: number;
  /** Told of what is read back when its turn comes, as too much came after it. */
  onLeft: (chunks: readonly Chunk[]) => void;
  /** Told after each commit: there is something to deliver. */
  onCommit: (records: number) => void;
  onError: (error: unknown) => void;
}

/** A request to be written. */
interface Entry {
  digest: string;
  payload: Payload;
}

/** Requests that are written together, and what all of them wait for. */
interface Group {
  entries: Entry[];
  size: number;
  done: PromiseWithResolvers<void>;
}

/** The segment that is written to. */
interface Current {
  segment: Segment;
  file: OpenFile;
}

const sizeOf = ({ payload }: Entry) => payload.length + RECORD_HEADER_BYTES;

export class SpoolLog {
  /** Segments that are not done with, in order. */
  readonly segments: Segment[];
  private readonly options: LogOptions;
  private readonly salt: Salt;
  private nextNumber: number;
  private nextSequence: number;
  private current: Current | undefined;
  /** What was committed last, for who reads it at once. */
  readonly recent: RecentRecords;
  private readonly scratch = new Scratch();
  private readonly waiting: Group[] = [];
  private waitingSize = 0;
  private busy = false;
  private committing: Promise<void> | undefined;
  private lastCommitAt = Number.NEGATIVE_INFINITY;

  constructor(options: LogOptions, found: { segments: Segment[]; nextNumber: number; nextSequence: number }) {
    this.options = options;
    this.salt = saltOf(options.spoolId);
    this.recent = new RecentRecords(options.recentBytesMax, options.onLeft);
    this.segments = found.segments;
    this.nextNumber = found.nextNumber;
    this.nextSequence = found.nextSequence;
  }

  /** Bytes on disk and on the way there. */
  get bytes(): number {
    return this.segments.reduce((sum, s) => sum + s.committed, this.waitingSize);
  }

  /** Of the newest record that is durable, or will be if its write succeeds. */
  get lastSequence(): number {
    return this.nextSequence - 1;
  }

  /**
   * Returns when the request is durable, where the file takes it at once; gives a promise of that where it has to wait.
   * Rejects with the disk's error; then it is not, and may come again.
   */
  append(entry: Entry): undefined | Promise<void> {
    const size = sizeOf(entry);
    const { current } = this;
    if (!this.busy && current?.file.writeNow && size <= this.room) {
      try {
        this.commitNow(current, { entries: [entry], size });
        return undefined;
      } catch (error) {
        this.committing = this.commitAll({ error });
        return Promise.reject(error);
      }
    }
    let group = this.waiting.at(-1);
    if (!group || group.size + size > this.options.segmentBytesMax - SEGMENT_HEADER_BYTES) {
      group = { entries: [], size: 0, done: Promise.withResolvers() };
      this.waiting.push(group);
    }
    group.entries.push(entry);
    group.size += size;
    this.waitingSize += size;
    if (!this.busy) this.committing = this.commitAll();
    return group.done.promise;
  }

  /** Resolves when nothing is being written any more. */
  async idle(): Promise<void> {
    await this.committing;
  }

  /** The same, and closes the open segment. */
  async close(): Promise<void> {
    await this.idle();
    await this.seal();
  }

  /** `failed`: what was written at once, and was not. */
  private async commitAll(failed?: { error: unknown }): Promise<void> {
    const { clock, commitMs } = this.options;
    this.busy = true;
    if (failed) await this.abandon(failed.error);
    while (this.waiting.length > 0) {
      const pause = Math.min(commitMs, this.lastCommitAt + commitMs - clock.now());
      if (pause > 0) await clock.sleep(pause);
      // Who comes in this turn of the event loop is forced in one go.
      else if (!this.current?.file.writeNow) await new Promise(setImmediate);
      this.lastCommitAt = clock.now();
      const group = this.waiting.shift()!;
      this.waitingSize -= group.size;
      try {
        await this.commit(group);
        group.done.resolve();
      } catch (error) {
        await this.abandon(error);
        group.done.reject(error);
      }
    }
    this.busy = false;
  }

  /** Bytes that are left of a segment, the next one where none is open. */
  private get room(): number {
    return this.options.segmentBytesMax - (this.current?.segment.committed ?? SEGMENT_HEADER_BYTES);
  }

  private async commit(group: Group): Promise<void> {
    if (group.size > this.room) await this.seal();
    const current = this.current ?? (await this.openSegment());
    const { segment, file } = current;
    if (file.writeNow) this.commitNow(current, group);
    else {
      const next = this.encode(group);
      await file.write(next.bytes, segment.committed);
      await file.datasync();
      this.committed(segment, next);
    }
    if (this.room <= 0) await this.seal();
  }

  private commitNow({ segment, file }: Current, group: Pick<Group, 'entries' | 'size'>): void {
    const next = this.encode(group);
    file.writeNow!(next.bytes, segment.committed);
    this.committed(segment, next);
  }

  /** The group as it will stand in the file. The bytes are good until the next are asked for. */
  private encode({ entries, size }: Pick<Group, 'entries' | 'size'>): {
    bytes: Buffer;
    records: SpoolRecord[];
    ends: number[];
  } {
    const timeMs = Math.max(0, Math.floor(this.options.clock.now()));
    const bytes = this.scratch.take(size);
    const records: SpoolRecord[] = [];
    const ends: number[] = [];
    let end = 0;
    for (const { digest, payload } of entries) {
      const record = { sequence: this.nextSequence++, timeMs, digest, chunks: payload.chunks };
      end = writeRecord(bytes, end, record, payload, this.salt);
      records.push(record);
      ends.push(end);
    }
    return { bytes: bytes.subarray(0, end), records, ends };
  }

  /** Something stands in the segment from where the last one ended. */
  private committed(segment: Segment, { records, ends }: ReturnType<SpoolLog['encode']>): void {
    const start = segment.committed;
    records.forEach((record, i) => {
      const from = segment.committed;
      segment.committed = start + ends[i]!;
      this.recent.add(segment.number, { kind: 'record', from, to: segment.committed, record });
    });
    this.options.onCommit(records.length);
  }

  private async openSegment(): Promise<Current> {
    const { files, folder, spoolId } = this.options;
    const number = this.nextNumber++;
    const path = segmentPath(folder, number);
    const last = this.segments.at(-1);
    const header = { number, previous: last?.number ?? 0, previousEnd: last?.committed ?? 0, spoolId };
    const file = await files.create(path);
    try {
      await file.write(encodeSegmentHeader(header), 0); // forced with the first records
      await files.syncFolder(folder);
    } catch (error) {
      await file.close().catch(() => {});
      await files.unlink(path).catch(() => {}); // else the next start finds a segment without records
      throw error;
    }
    const segment = { number, path, committed: SEGMENT_HEADER_BYTES, sealed: false };
    this.segments.push(segment);
    this.current = { segment, file };
    return this.current;
  }

  private async seal(): Promise<void> {
    if (!this.current) return;
    const { segment, file } = this.current;
    this.current = undefined;
    segment.sealed = true;
    await file.close().catch(this.options.onError); // all of it is durable already
  }

  /** After a failure: cuts off what was not committed, if the disk lets us, and goes on in a new segment. */
  private async abandon(error: unknown): Promise<void> {
    this.options.onError(error);
    if (!this.current) return;
    const { segment, file } = this.current;
    await file.truncate(segment.committed).catch(this.options.onError);
    await this.seal();
  }
}
