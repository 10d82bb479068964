import type { Store } from './client.ts';

export interface Storage {
  spans: number;
  /** What the spans take on disk, compressed, with their indexes. */
  spanBytes: number;
  /** All tables together. */
  bytes: number;
}

/** What this server stores and what it takes on disk. Throws `store_unavailable`. */
export async function readStorage(store: Store): Promise<Storage> {
  const [row] = await store.query<Storage>(
    `SELECT sumIf(rows, table = 'otel_traces') AS spans, sumIf(bytes_on_disk, table = 'otel_traces') AS spanBytes,
       sum(bytes_on_disk) AS bytes
     FROM system.parts WHERE active AND database = {db:String}`,
    { db: store.localDatabase },
  );
  return row!;
}
