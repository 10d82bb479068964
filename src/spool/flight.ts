import { insertKey, insertsOf } from './batch.ts';
import type { Range } from './cursor.ts';
import type { Taken } from './digests.ts';
import { type Delivery, type InsertionOptions, insertAll } from './insertion.ts';
import type { Batch } from './planner.ts';
import type { Find, RecordFind } from './scan.ts';

/**
 * A batch on its way to ClickHouse.
 *
 *   planned → sending → answered → settled
 *              (or, refused: replaced by its halves)
 */
export class Flight {
  readonly range: Range;
  state: 'planned' | 'sending' | 'answered' | 'settled' = 'planned';
  /** What the batches after it may refer to is in ClickHouse, or will never be. */
  contentStored = false;
  trouble: string | undefined;
  outcome: Exclude<Delivery, { kind: 'unavailable' }> | undefined;
  /** Missing until it is read, and again when it is settled: then its bytes are needed no more. */
  private batch: Batch | undefined;
  private readonly stored: string[];
  private readonly isResumed: boolean;
  /** Left of a settled one. */
  delivered: { taken: readonly Taken[]; sequence: number | undefined } = { taken: [], sequence: undefined };

  /** Without `batch` it is one that an earlier process decided on, and perhaps sent. */
  constructor(range: Range, batch?: Batch) {
    this.range = range;
    this.batch = batch;
    this.isResumed = batch === undefined;
    this.stored = [...range.stored];
  }

  get isRead(): boolean {
    return this.batch !== undefined || this.state === 'settled';
  }

  /** What it holds in memory. */
  get bytes(): number {
    return this.batch ? this.range.to - this.range.from : 0;
  }

  get finds(): readonly Find[] {
    return this.batch?.finds ?? [];
  }

  get records(): readonly RecordFind[] {
    return this.batch?.records ?? [];
  }

  async read(read: (range: Range) => Promise<Batch>): Promise<void> {
    this.batch = await read(this.range);
  }

  /** Never rejects. `spool` is the first part of its tokens, `tables` the order of its inserts. */
  async send(
    spool: string,
    tables: readonly string[],
    options: Pick<InsertionOptions, 'clock' | 'deliver' | 'stopping'>,
    contentOfEarlier: () => Promise<void>,
  ): Promise<void> {
    const { segment, from, to } = this.range;
    this.state = 'sending';
    const inserts = insertsOf(
      this.records.map((f) => f.record),
      `${spool}-${segment}-${from}-${to}`,
      tables,
      this.range.stored,
    );
    const outcome = await insertAll(inserts, {
      ...options,
      isResumed: this.isResumed,
      before: async ({ table }) => {
        if (table === tables[0]) return;
        this.contentStored = true;
        await contentOfEarlier();
      },
      onStored: (insert) => this.stored.push(insertKey(insert)),
      onTrouble: (message) => {
        this.trouble = message;
      },
    });
    if (!outcome) return;
    this.outcome = outcome;
    this.state = 'answered';
    if (outcome.kind === 'stored') this.contentStored = true;
  }

  /** For one that was refused: two of half the records, without the inserts that were stored. */
  halves(): [Flight, Flight] {
    const { segment, from, to } = this.range;
    const middle = this.records[this.records.length >> 1]!.from;
    const part = (a: number, b: number) => {
      const isWithin = (f: Find) => f.from >= a && f.from < b;
      const range = { segment, from: a, to: b, stored: this.stored };
      const half = new Flight(range, {
        range,
        finds: this.finds.filter(isWithin),
        records: this.records.filter(isWithin),
      });
      half.contentStored = this.contentStored;
      return half;
    };
    return [part(from, middle), part(middle, to)];
  }

  /** Nothing is left to do for it but to let the cursor pass. */
  settle(): void {
    this.delivered = {
      taken: this.records.map(({ record: { digest, timeMs } }) => ({ digest, timeMs })),
      sequence: this.records.at(-1)?.record.sequence,
    };
    this.batch = undefined;
    this.contentStored = true;
    this.state = 'settled';
  }
}
