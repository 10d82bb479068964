import type { SpanBatch, StoreOutcome } from '../../src/span/batch.ts';
import { GroupCommit } from './group.ts';
import { RecentSet } from './recent.ts';
import { Writer, type WriterOptions } from './write.ts';

/** When the spans of concurrent requests go to the store together. */
const GROUP_SPANS_MAX = 10_000;
const GROUP_DELAY_MS = 50;
const FLIGHTS_MAX = 2;

/** Requests remembered by digest, to know one that comes again. */
const REQUESTS_REMEMBERED_MAX = 20_000;
const REQUESTS_REMEMBERED_MS = 600_000;

export interface InsertStage {
  /** Resolves when the batch is stored, or when it is sure that the sender must be told otherwise. */
  add(batch: SpanBatch): Promise<StoreOutcome>;
  /** Resolves when nothing is under way any more. */
  drain(): Promise<void>;
}

/**
 * The last stage: batches to rows, gathered into few inserts.
 *
 * A sender that got no answer, or a 503, sends the same request again. While the first is under way both share its
 * outcome; stored, it is simply confirmed; and where it is in doubt whether any of it was stored, the spans that are
 * already there are left out. So are those of `repeatable` batches, always.
 */
export function startInsert(options: WriterOptions): InsertStage {
  const { clock } = options;
  const writer = new Writer(options);
  const sizeOf = (batch: SpanBatch) => batch.spans.length;
  const plain = new GroupCommit<SpanBatch, StoreOutcome>({
    commit: (batches) => writer.write(batches, false),
    sizeOf,
    sizeMax: GROUP_SPANS_MAX,
    delayMs: GROUP_DELAY_MS,
    flightsMax: FLIGHTS_MAX,
    clock,
  });
  // One at a time: a look at what is stored holds only while nobody else stores the same.
  const checked = new GroupCommit<SpanBatch, StoreOutcome>({
    commit: (batches) => writer.write(batches, true),
    sizeOf,
    sizeMax: 0,
    delayMs: 0,
    flightsMax: 1,
    clock,
  });
  const underWay = new Map<string, Promise<StoreOutcome>>();
  const stored = new RecentSet(REQUESTS_REMEMBERED_MAX, REQUESTS_REMEMBERED_MS, clock);
  const doubtful = new RecentSet(REQUESTS_REMEMBERED_MAX, REQUESTS_REMEMBERED_MS, clock);

  async function commit(batch: SpanBatch): Promise<StoreOutcome> {
    const lane = batch.repeatable || doubtful.has(batch.digest) ? checked : plain;
    const outcome = await lane.add(batch);
    (outcome.kind === 'stored' ? stored : doubtful).add(batch.digest);
    return outcome;
  }

  return {
    add: async (batch) => {
      const { digest, spans } = batch;
      if (spans.length === 0) return { kind: 'stored', repeatedSpans: 0 };
      if (stored.has(digest) && !batch.repeatable) return { kind: 'stored', repeatedSpans: spans.length };
      const first = underWay.get(digest);
      if (first) return await first;
      const outcome = commit(batch).finally(() => underWay.delete(digest));
      underWay.set(digest, outcome);
      return await outcome;
    },
    drain: async () => {
      await Promise.all([plain.drain(), checked.drain()]);
    },
  };
}
