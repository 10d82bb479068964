import type { Store } from './client.ts';

export interface ServerFacts {
  version: string;
  /** The server's wall clock, milliseconds since the epoch. */
  nowMs: number;
  /** Migrations that were applied; none where there is no schema yet. */
  migrations: { id: number; checksum: string }[];
}

/** What a ClickHouse says of itself. Throws `store_unavailable` where it does not answer. */
export async function serverFacts(store: Store): Promise<ServerFacts> {
  const [server] = await store.query<{ version: string; nowMs: number; hasSchema: number }>(
    `SELECT version() AS version, toUnixTimestamp64Milli(now64(3)) AS nowMs,
       (SELECT count() FROM system.tables WHERE database = {db:String} AND name = 'migrations') AS hasSchema`,
    { db: store.database },
  );
  const { version, nowMs, hasSchema } = server!;
  const migrations =
    hasSchema === 0
      ? []
      : await store.query<{ id: number; checksum: string }>(
          `SELECT id, any(checksum) AS checksum FROM ${store.database}.migrations GROUP BY id ORDER BY id`,
        );
  return { version, nowMs, migrations };
}
