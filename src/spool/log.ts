import type { Clock } from '../clock.ts';
import type { Chunk } from './chunk.ts';
import type { Files, OpenFile } from './files.ts';
import { RecentRecords } from './recent.ts';
import {
  encodeHeader,
  encodePayload,
  type Payload,
  RECORD_BYTES_MAX,
  RECORD_HEADER_BYTES,
  type Salt,
  saltOf,
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
  /** Told after each commit: there is something to deliver. */
  onCommit: (records: number) => void;
  onError: (error: unknown) => void;
}

interface Waiting {
  digest: string;
  chunks: readonly Chunk[];
  payload: Payload;
  done: PromiseWithResolvers<void>;
}

export class SpoolLog {
  /** Segments that are not done with, in order. */
  readonly segments: Segment[];
  private readonly options: LogOptions;
  private readonly salt: Salt;
  private nextNumber: number;
  private nextSequence: number;
  private current: { segment: Segment; file: OpenFile } | undefined;
  /** What was committed last, for who reads it at once. */
  readonly recent: RecentRecords;
  private readonly scratch = new Scratch();
  private waiting: Waiting[] = [];
  private waitingSize = 0;
  private busy = false;
  private committing: Promise<void> | undefined;
  private lastCommitAt = Number.NEGATIVE_INFINITY;

  constructor(options: LogOptions, found: { segments: Segment[]; nextNumber: number; nextSequence: number }) {
    this.options = options;
    this.salt = saltOf(options.spoolId);
    this.recent = new RecentRecords(options.recentBytesMax);
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

  /** Resolves when the request is durable. Rejects with the disk's error; then it is not, and may come again. */
  append(digest: string, chunks: readonly Chunk[], payload: Payload): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.waiting.push({ digest, chunks, payload, done });
    this.waitingSize += payload.length + RECORD_HEADER_BYTES;
    if (!this.busy) this.committing = this.commitAll();
    return done.promise;
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

  private async commitAll(): Promise<void> {
    const { clock, commitMs, onError } = this.options;
    this.busy = true;
    while (this.waiting.length > 0) {
      const pause = Math.min(commitMs, this.lastCommitAt + commitMs - clock.now());
      if (pause > 0) await clock.sleep(pause);
      else await new Promise(setImmediate); // who comes in this turn of the event loop is written in one go
      this.lastCommitAt = clock.now();
      const group = this.takeGroup();
      try {
        await this.commit(group);
        for (const { done } of group) done.resolve();
      } catch (error) {
        onError(error);
        await this.abandon();
        for (const { done } of group) done.reject(error);
      }
    }
    this.busy = false;
  }

  /** As many as fit into what is left of a segment; at least one. */
  private takeGroup(): Waiting[] {
    const { segmentBytesMax } = this.options;
    let room = segmentBytesMax - (this.current?.segment.committed ?? SEGMENT_HEADER_BYTES);
    const n = this.waiting.findIndex(({ payload }, i) => {
      room -= payload.length + RECORD_HEADER_BYTES;
      return i > 0 && room < 0;
    });
    const group = this.waiting.splice(0, n < 0 ? this.waiting.length : n);
    for (const { payload } of group) this.waitingSize -= payload.length + RECORD_HEADER_BYTES;
    return group;
  }

  private async commit(group: readonly Waiting[]): Promise<void> {
    const { segment, file } = await this.openSegment();
    const timeMs = Math.max(0, Math.floor(this.options.clock.now()));
    const records = group.map(({ digest, chunks, payload }) => {
      const record = { sequence: this.nextSequence++, timeMs, digest };
      return { record: { ...record, chunks }, header: encodeHeader(record, payload, this.salt), payload };
    });
    const bytes = this.scratch.concat(records.flatMap(({ header, payload }) => [header, ...payload.parts]));
    await file.write(bytes, segment.committed);
    await file.datasync();
    for (const { record, header, payload } of records) {
      const from = segment.committed;
      segment.committed += header.length + payload.length;
      this.recent.add(segment.number, { kind: 'record', from, to: segment.committed, record });
    }
    this.options.onCommit(group.length);
    if (segment.committed >= this.options.segmentBytesMax) await this.seal();
  }

  private async openSegment(): Promise<{ segment: Segment; file: OpenFile }> {
    if (this.current) return this.current;
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
  private async abandon(): Promise<void> {
    if (!this.current) return;
    const { segment, file } = this.current;
    await file.truncate(segment.committed).catch(this.options.onError);
    await this.seal();
  }
}

/** The payload of a request, or `undefined` when it is larger than a record may be. */
export function payloadOf(chunks: readonly Chunk[]): Payload | undefined {
  const size = chunks.reduce((sum, chunk) => sum + chunk.bytes.length, 0);
  return size > RECORD_BYTES_MAX - 65_536 ? undefined : encodePayload(chunks);
}
