import type { Store } from './client.ts';

/** Golden data as stored: a dataset has versions, named by their content; the one imported last is in force. */

export interface GoldenRow {
  item_id: string;
  input_hash: string;
  input: string;
  expected: string;
  tags: string[];
}

export interface Dataset {
  dataset: string;
  version: string;
  items: number;
  /** ISO 8601. */
  imported_at: string;
}

/** The items of the version in force, as runs look for them. */
export interface GoldenIndex {
  version: string;
  byItem: ReadonlyMap<string, GoldenRow>;
  byInput: ReadonlyMap<string, GoldenRow>;
}

const NEWEST = (db: string) => `
  SELECT g.dataset AS dataset, argMax(g.version, (g.imported_at, g.version)) AS version, max(g.imported_at) AS imported_at
  FROM ${db}.golden_items AS g GROUP BY g.dataset`;

/** Every dataset with its version in force, by name. */
export async function listDatasets(store: Store): Promise<Dataset[]> {
  const rows = await store.query<Dataset>(
    `SELECT n.dataset AS dataset, n.version AS version, uniqExact(i.item_id) AS items,
            toUnixTimestamp64Milli(max(n.imported_at)) AS imported_at
     FROM (${NEWEST(store.database)}) AS n
     JOIN ${store.database}.golden_items AS i ON i.dataset = n.dataset AND i.version = n.version
     GROUP BY n.dataset, n.version ORDER BY n.dataset`,
  );
  return rows.map((row) => ({ ...row, imported_at: new Date(Number(row.imported_at)).toISOString() }));
}

/** Version in force of a dataset; `undefined` when it has none. */
export async function newestVersion(store: Store, dataset: string): Promise<string | undefined> {
  const [row] = await store.query<{ version: string }>(
    `SELECT version FROM (${NEWEST(store.database)}) WHERE dataset = {dataset:String}`,
    { dataset },
  );
  return row?.version;
}

/** Puts a version in force. The caller made sure that it is not the one in force already. */
export async function insertVersion(
  store: Store,
  { dataset, version, importedAt }: { dataset: string; version: string; importedAt: number },
  items: readonly GoldenRow[],
): Promise<void> {
  const imported_at = new Date(importedAt).toISOString();
  await store.insert(
    'golden_items',
    items.map((item) => ({ dataset, version, ...item, imported_at })),
    `golden/${dataset}/${version}/${importedAt}`,
  );
}

/** The version in force, ready to be met by runs; `undefined` when the dataset has none. */
export async function loadIndex(store: Store, dataset: string): Promise<GoldenIndex | undefined> {
  const version = await newestVersion(store, dataset);
  if (version === undefined) return undefined;
  const rows = await store.query<GoldenRow>(
    `SELECT item_id, input_hash, input, expected, tags FROM ${store.database}.golden_items
     WHERE dataset = {dataset:String} AND version = {version:String} LIMIT 1 BY item_id`,
    { dataset, version },
  );
  return {
    version,
    byItem: new Map(rows.map((row) => [row.item_id, row])),
    byInput: new Map(rows.map((row) => [row.input_hash, row])),
  };
}
