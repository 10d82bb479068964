import type { Store } from './client.ts';

/** Rows of a database by table. */
export type TableRows = Readonly<Record<string, number>>;

/**
 * How many rows the tables of `database` have. Where a table folds rows into one in its own time, as many are counted as
 * would be left: then a count only grows, as long as nothing is removed. `{}` where there is no such database.
 */
export async function tableRows(store: Store, database: string): Promise<TableRows> {
  const tables = await store.query<{ name: string; engine: string }>(
    `SELECT name, engine FROM system.tables
     WHERE database = {database:String} AND engine LIKE '%MergeTree' AND match(name, '^\\\\w+$') ORDER BY name`,
    { database },
  );
  if (tables.length === 0) return {};
  const counts = tables.map(
    ({ name, engine }) =>
      `SELECT '${name}' AS name, count() AS n FROM ${database}.${name} ${/^(Replicated)?MergeTree$/.test(engine) ? '' : 'FINAL'}`,
  );
  const rows = await store.query<{ name: string; n: number }>(counts.join(' UNION ALL '));
  return Object.fromEntries(rows.map(({ name, n }) => [name, n]).sort());
}
