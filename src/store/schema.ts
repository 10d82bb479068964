import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Cluster, localDatabaseOf, type Store } from './client.ts';

/**
 * What the migrations say, for one server and for a cluster alike. The files name no engine and no cluster.
 *
 * In a cluster every table is there twice. `<database>_local` has the rows of a shard, and the views that derive rows
 * from rows as they are inserted; `<database>` has a Distributed table of the same name over all of these, and the
 * views for reading. So whoever reads finds everything under the documented names, and need not know of a cluster.
 * What is inserted there goes by the first column of the table's order, so that a repeated insert meets the shard,
 * and the deduplication, that it met before.
 */
export interface Migration {
  id: number;
  name: string;
  checksum: string;
  statements: string[];
}

type Place = Pick<Store, 'database' | 'localDatabase' | 'cluster'>;

const DIRECTORY = join(import.meta.dirname, 'migrations');
/** As long as a collector's spool may hold what it did not hear the answer of. */
const REPLICATED_WINDOW_S = 7 * 86_400;

/** The migrations of this version of the program, in order, as a server or a cluster takes them. */
export function readMigrations(
  database: string,
  directory: string = DIRECTORY,
  cluster?: Cluster | undefined,
): Migration[] {
  const place = { database, localDatabase: localDatabaseOf(database, cluster), cluster };
  return readdirSync(directory)
    .filter((file) => /^\d{4}_\w+\.sql$/.test(file))
    .sort()
    .map((file) => {
      const text = readFileSync(join(directory, file), 'utf8');
      return {
        id: Number(file.slice(0, 4)),
        name: file.slice(5, -4),
        checksum: createHash('sha256').update(text).digest('hex').slice(0, 16),
        statements: statements(text).flatMap((sql) => render(sql, place)),
      };
    });
}

function statements(text: string): string[] {
  return text
    .replace(/--.*$/gm, '')
    .split(/;\s*$/m)
    .map((sql) => sql.trim())
    .filter((sql) => sql !== '');
}

function render(sql: string, place: Place): string[] {
  const { database, localDatabase, cluster } = place;
  if (!cluster) return [fill(sql, place, database)];
  const local = fill(sql, place, localDatabase);
  const spanning = fill(sql, place, database);
  if (/^CREATE TABLE\b/.test(sql)) return [local, distributed(sql, place, cluster)];
  // What is over it of that name stays, and knows it by name.
  if (/^CREATE OR REPLACE TABLE\b/.test(sql)) return [local];
  // What is over it first: nothing may read a table that is gone. Of views that fill tables there is the local one alone.
  if (/^DROP TABLE\b/.test(sql)) return [spanning, local];
  if (/^CREATE MATERIALIZED VIEW\b/.test(sql)) return [local];
  if (/^(CREATE|DROP) VIEW\b/.test(sql)) return [spanning];
  // Of columns both must know; indexes, lifetimes and what is on disk is the local table's.
  if (/^ALTER TABLE\b.* (ADD|MODIFY|DROP|RENAME) COLUMN\b/s.test(sql)) return [local, spanning];
  if (/^ALTER TABLE\b/.test(sql)) return [local];
  // One of all servers applies it and must reach every shard; or each applies it to what it has.
  if (/^INSERT INTO\b/.test(sql)) return [cluster.replicated ? spanning : local];
  return [local];
}

const fill = (sql: string, place: Place, database: string) =>
  sql
    .replaceAll('{{database}}', database)
    .replaceAll('{{on_cluster}}', onCluster(place))
    .replace(/\{\{engine:(\w+)\}\}/g, (_, engine: string) =>
      place.cluster?.replicated ? replicated(engine, keeperPath(sql, database)) : engine,
    )
    .replace(/\bnon_replicated_deduplication_window = (\d+)/g, (kept, inserts: string) =>
      place.cluster?.replicated
        ? `replicated_deduplication_window = ${inserts}, replicated_deduplication_window_seconds = ${REPLICATED_WINDOW_S}`
        : kept,
    );

/** `ON CLUSTER …` where a change of the schema is carried to all servers; `''` where each has its own. */
export const onCluster = ({ cluster }: Pick<Place, 'cluster'>) =>
  cluster?.replicated ? `ON CLUSTER ${quoted(cluster.name)}` : '';

/** Engine of a table whose replicas Keeper keeps equal; the servers fill in their own `{shard}` and `{replica}`. */
const replicated = (engine: string, path: string) =>
  `Replicated${engine}('/clickhouse/tables/{shard}/${path}', '{replica}')`;

/** A table that takes the place of another is there beside it until it is filled, and so needs a path of its own. */
const keeperPath = (sql: string, database: string) =>
  `${database}/${tableOf(sql)}${/^CREATE OR REPLACE\b/.test(sql) ? '/{uuid}' : ''}`;

function distributed(sql: string, place: Place, { name }: Cluster): string {
  const { database, localDatabase } = place;
  const table = tableOf(sql);
  const [, first] = /\bORDER BY \(?\s*(\w+(?:\([^)]*\))?)/.exec(sql) ?? [];
  if (first === undefined) throw new Error(`the order of ${table} is not where it is looked for`);
  return `CREATE TABLE IF NOT EXISTS ${database}.${table} ${onCluster(place)} AS ${localDatabase}.${table}
    ENGINE = Distributed(${quoted(name)}, ${quoted(localDatabase)}, ${quoted(table)}, cityHash64(${first}))`;
}

function tableOf(sql: string): string {
  const [, table] =
    /^CREATE (?:(?:TABLE|MATERIALIZED VIEW) IF NOT EXISTS|OR REPLACE TABLE) \{\{database\}\}\.(\w+)/.exec(
      sql,
    ) ?? [];
  if (table === undefined) throw new Error(`a table is made where none is expected: ${sql.slice(0, 80)}`);
  return table;
}

const quoted = (name: string) => `'${name.replace(/[\\']/g, '\\$&')}'`;

/** Where nobody knows it: the table of what was applied, the same on all servers of a cluster whose changes travel. */
export const migrationsEngine = ({ database, cluster }: Place) =>
  cluster?.replicated
    ? `ReplicatedMergeTree('/clickhouse/tables/${database}/migrations', '{shard}-{replica}') ORDER BY id`
    : 'MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000';
