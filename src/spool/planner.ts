import { BatchBounds } from './batch.ts';
import type { Cursor, Range } from './cursor.ts';
import type { Files } from './files.ts';
import type { Segment, SpoolLog } from './log.ts';
import { type Salt, saltOf } from './record.ts';
import { type Find, type RecordFind, scan } from './scan.ts';
import { SEGMENT_HEADER_BYTES } from './segment.ts';

export interface Batch {
  range: Range;
  /** All that is there. */
  finds: readonly Find[];
  /** What of it is to be delivered: records that were not before. */
  records: readonly RecordFind[];
}

/** A batch that is not full is looked at again when this much is new. */
const LOOK_BYTES = 1_000_000;

/**
 * Reads the log once from front to back and cuts it into batches. A batch that is not full yet stays open, and grows
 * with what is committed meanwhile; it ends at the latest where its segment does.
 */
export class Planner {
  private readonly files: Files;
  private readonly log: SpoolLog;
  private readonly salt: Salt;
  private readonly repeated: ReadonlySet<number>;
  /** Of the last record read; numbers only grow. */
  private sequence: number;
  private range: { segment: number; from: number; to: number };
  private finds: Find[] = [];
  private bounds: BatchBounds;
  private full = false;
  private readonly bytesMax: number | undefined;

  /** `bytesMax`: of a batch, where it is to be less than any may have. */
  constructor(
    files: Files,
    log: SpoolLog,
    cursor: Cursor,
    repeated: ReadonlySet<number>,
    bytesMax: number | undefined,
  ) {
    this.bytesMax = bytesMax;
    this.bounds = new BatchBounds(bytesMax);
    this.files = files;
    this.log = log;
    this.salt = saltOf(cursor.spoolId);
    this.repeated = repeated;
    this.sequence = cursor.sequence;
    const last = cursor.ranges.at(-1);
    const at = last ? last.to : cursor.offset;
    this.range = { segment: last ? last.segment : cursor.segment, from: at, to: at };
  }

  /** Reads a range that was decided on before; ranges have to be read in order, and before `next` is asked. */
  async read(range: Range): Promise<Batch | undefined> {
    const segment = this.log.segments.find((s) => s.number === range.segment);
    if (!segment) return undefined;
    const finds: Find[] = [];
    for await (const f of scan(this.files, segment.path, { ...range, salt: this.salt })) finds.push(f);
    return { range, finds, records: this.fresh(finds) };
  }

  /** Whether there may be a full batch: what `next` looks at when not any size is good enough. */
  get hasMuchUnread(): boolean {
    const segment = this.log.segments.find((s) => s.number >= this.range.segment);
    if (!segment) return false;
    return (
      segment.number > this.range.segment || segment.sealed || segment.committed - this.range.to >= LOOK_BYTES
    );
  }

  /** The next batch if it is full, or, where `anySize` is good enough, if there is anything in it. */
  async next(anySize: boolean): Promise<Batch | undefined> {
    for (;;) {
      const segment = this.log.segments.find((s) => s.number >= this.range.segment);
      if (!segment) return undefined;
      if (segment.number > this.range.segment) this.begin(segment.number, SEGMENT_HEADER_BYTES);
      const unread = segment.committed - this.range.to;
      if (unread > 0 && !this.full && (anySize || segment.sealed || unread >= LOOK_BYTES))
        await this.extend(segment);
      const atEnd = segment.sealed && this.range.to >= segment.committed;
      if (this.finds.length > 0) return anySize || this.full || atEnd ? this.cut() : undefined;
      if (!atEnd) return undefined;
      this.begin(segment.number + 1, SEGMENT_HEADER_BYTES);
    }
  }

  private begin(segment: number, at: number): void {
    this.range = { segment, from: at, to: at };
    this.finds = [];
    this.bounds = new BatchBounds(this.bytesMax);
    this.full = false;
  }

  private async extend(segment: Segment): Promise<void> {
    const { recent } = this.log;
    for (let f = recent.at(segment.number, this.range.to); f; f = recent.at(segment.number, this.range.to))
      if (!this.add(f)) return;
    const unread = { from: this.range.to, to: segment.committed, salt: this.salt };
    for await (const f of scan(this.files, segment.path, unread)) if (!this.add(f)) return;
  }

  /** `false` where the batch is full without it. */
  private add(find: Find): boolean {
    if (!this.bounds.take(find)) {
      this.full = true;
      return false;
    }
    this.finds.push(find);
    this.range.to = find.to;
    return true;
  }

  private cut(): Batch {
    const { range, finds } = this;
    this.begin(range.segment, range.to);
    return { range: { ...range, stored: [] }, finds, records: this.fresh(finds) };
  }

  private fresh(finds: readonly Find[]): RecordFind[] {
    return finds
      .filter((f) => f.kind === 'record')
      .filter(({ record: { sequence } }) => {
        if (sequence <= this.sequence || this.repeated.has(sequence)) return false;
        this.sequence = sequence;
        return true;
      });
  }
}
