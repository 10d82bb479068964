import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import { requireBackupName, requireSingle } from './backup.ts';
import { backupFolder, onDisk, runTask, type TaskProgress } from './backup-task.ts';
import type { Store } from './client.ts';
import { readMigrations } from './schema.ts';
import { type TableRows, tableRows } from './table-rows.ts';

/**
 * A backup is restored into a database that has nothing, or beside the one in use, and counted then. Nothing is ever
 * written over: what is replaced is first put aside under another name.
 */
export interface Restored extends TaskProgress {
  name: string;
  database: string;
  /** Where what was there before is now; `undefined` where there was nothing. */
  putAside: string | undefined;
  rows: TableRows;
  /** Tables that have fewer rows than the backup was made with. */
  short: { table: string; rows: number; expected: number }[];
}

export interface RestoreOptions {
  name: string;
  /** A database of its own, to look at; the one in use without it. */
  into?: string | undefined;
  /** Puts aside what is there. */
  replace?: boolean;
  onProgress?: (progress: TaskProgress) => void;
}

/**
 * Restores a backup. Throws `bad_input`, `not_found`, `database_not_empty` and `backup_failed`; in all cases but the
 * last nothing has changed.
 */
export async function restore(store: Store, clock: Clock, options: RestoreOptions): Promise<Restored> {
  const { name, into = store.database, replace = false, onProgress = () => {} } = options;
  requireSingle(store);
  requireBackupName(name);
  if (!/^[A-Za-z_]\w{0,99}$/.test(into))
    throw new LoopscopeError('bad_input', `Expected the name of a database, found "${into}".`);
  await backupFolder(store);
  const there = await tableRows(store, into);
  const hasRows = Object.entries(there).some(([table, rows]) => rows > 0 && table !== 'migrations');
  if (hasRows && !replace)
    throw new LoopscopeError(
      'database_not_empty',
      `The database ${into} has rows, and a backup is restored into an empty one only. --into NAME restores it beside, to look at; --replace puts aside what is there (stop the roles first).`,
    );
  const from = (database: string) =>
    `RESTORE DATABASE ${store.database} AS ${database} FROM ${onDisk('name')}`;
  const putAside = hasRows ? `${into}_until_${stamp(clock.now())}` : undefined;
  if (Object.keys(there).length > 0) {
    // Whether there is such a backup is known before anything gives way to it.
    const trial = `${into}_trial_${stamp(clock.now())}`;
    try {
      await runTask(store, clock, `${from(trial)} SETTINGS structure_only = 1`, { name }, () => {});
    } finally {
      await store.command(`DROP DATABASE IF EXISTS ${trial} SYNC`);
    }
    if (putAside !== undefined) await putAsideAs(store, into, putAside);
    else await store.command(`DROP DATABASE ${into} SYNC`);
  }
  const done = await runTask(store, clock, from(into), { name }, onProgress);
  if (into !== store.database) await remakeViews(store, into);
  const rows = await tableRows(store, into);
  const expected = await expectedRows(store, into, name);
  const short = Object.entries(expected)
    .map(([table, expected]) => ({ table, rows: rows[table] ?? 0, expected }))
    .filter(({ rows, expected }) => rows < expected);
  return { name, database: into, putAside, rows, short, ...done };
}

/**
 * Renames a database. Its views name their tables in full, and those that fill tables would go on to do so in the
 * database that takes its place.
 */
async function putAsideAs(store: Store, database: string, name: string): Promise<void> {
  const filling = await store.query<{ view: string }>(
    `SELECT name AS view FROM system.tables WHERE database = {database:String} AND engine = 'MaterializedView'`,
    { database },
  );
  for (const { view } of filling) await store.command(`DROP TABLE ${database}.\`${view}\` SYNC`);
  await store.command(`RENAME DATABASE ${database} TO ${name}`);
  await remakeViews(store, name);
}

/** Makes the views for reading anew, of the tables beside them: neither RENAME nor RESTORE … AS (which loses aliases) does. */
async function remakeViews(store: Store, database: string): Promise<void> {
  const there = await store.query<{ view: string }>(
    `SELECT name AS view FROM system.tables WHERE database = {database:String} AND engine = 'View'`,
    { database },
  );
  const names = new Set(there.map(({ view }) => view));
  // Of a view that a later migration made anew the newest form, in the order in which these were made.
  const newest = new Map<string, string>();
  for (const { statements } of readMigrations(database))
    for (const sql of statements) {
      const view = /^CREATE (?:OR REPLACE )?VIEW (?:IF NOT EXISTS )?\w+\.(\w+)/.exec(sql)?.[1];
      if (view === undefined || !names.has(view)) continue;
      newest.delete(view);
      newest.set(view, sql);
    }
  for (const [view, sql] of newest) {
    await store.command(`DROP TABLE IF EXISTS ${database}.${view} SYNC`);
    await store.command(sql);
  }
}

/** What the backup says of itself. Throws `backup_failed` where that is missing: then it was not made by `backUp`. */
async function expectedRows(store: Store, database: string, name: string): Promise<TableRows> {
  const [row] = await store.query<{ rows: TableRows }>(
    `SELECT rows FROM ${database}.backups WHERE name = {name:String} AND state = 'started' ORDER BY at DESC LIMIT 1`,
    { name },
  );
  if (row) return row.rows;
  throw new LoopscopeError(
    'backup_failed',
    `The backup "${name}" was restored into ${database}, but it does not say how many rows it should have: it was not made by \`loopscope backup ${name}\`.`,
  );
}

/** The time as a part of a name. */
const stamp = (now: number) => new Date(now).toISOString().replace(/\D/g, '').slice(0, 14);
