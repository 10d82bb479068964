import type { Clock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { Chunk } from '../../src/span/batch.ts';
import type { Store } from '../../src/store/client.ts';
import { takesRows } from './takes-rows.ts';

export interface DeliverOptions {
  store: Store;
  clock: Clock;
  /** Why nothing may be inserted now: tables of another version could refuse good rows as bad. */
  whyUnready?: (() => string | undefined) | undefined;
  /** Told of every insert that was stored. */
  onInsert: (table: string, rows: number, seconds: number) => void;
}

/** Rows that are serialised already, as one insert: of chunks, whose table and format these are. */
export interface RawInsert {
  table: string;
  format: string;
  rows: number;
  bodies: readonly Buffer[];
  token: string;
}

export type Delivery =
  | { kind: 'stored' }
  | { kind: 'unavailable'; message: string }
  | { kind: 'rejected'; message: string };

/** Inserts what the spool holds. A table that takes nothing at all, missing for one, is an outage and not bad data. */
export function deliverTo({
  store,
  clock,
  whyUnready = () => undefined,
  onInsert,
}: DeliverOptions): (insert: RawInsert) => Promise<Delivery> {
  return async ({ table, format, rows, bodies, token }) => {
    const why = whyUnready();
    if (why !== undefined) return { kind: 'unavailable', message: why };
    const start = clock.nowNs();
    try {
      await store.insertRaw(table, format as Chunk['format'], bodies, token);
    } catch (error) {
      const rejected = error instanceof LoopscopeError && error.code === 'store_rejected';
      const message = (error as Error).message;
      return { kind: rejected && (await takesRows(store)) ? 'rejected' : 'unavailable', message };
    }
    onInsert(table, rows, Number(clock.nowNs() - start) / 1e9);
    return { kind: 'stored' };
  };
}
