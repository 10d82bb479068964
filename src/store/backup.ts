import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import { backupFolder, onDisk, runTask, type TaskProgress } from './backup-task.ts';
import type { Store } from './client.ts';
import { type TableRows, tableRows } from './table-rows.ts';

/**
 * Backups of all that is stored, while everybody goes on writing. What is in the tables when it begins is in it; what
 * comes in its first moments may be, in whole or in part. A table's memory of which inserts it has seen is not: see
 * deploy/README.md for what that means.
 */
export interface Backup extends TaskProgress {
  name: string;
  base: string | undefined;
  folder: string;
  rows: TableRows;
}

export interface BackupOptions {
  name: string;
  /** An earlier backup that this one only holds the difference to. */
  base?: string | undefined;
  onProgress?: (progress: TaskProgress) => void;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** Makes a backup. Throws `bad_input` for a name that is none, `backup_exists`, `not_found` for the base, `backup_failed`. */
export async function backUp(store: Store, clock: Clock, options: BackupOptions): Promise<Backup> {
  const { name, base, onProgress = () => {} } = options;
  requireSingle(store);
  for (const given of [name, ...(base === undefined ? [] : [base])]) requireBackupName(given);
  const folder = await backupFolder(store);
  const rows = await tableRows(store, store.database);
  if (Object.keys(rows).length === 0)
    throw new LoopscopeError('not_found', `There is no database ${store.database} to back up.`);
  const note = (state: string, bytes: number, message = '') =>
    store.insert('backups', [
      { name, base: base ?? '', state, at: new Date(clock.now()).toISOString(), rows, bytes, message },
    ]);
  await note('started', 0);
  try {
    const whole = `BACKUP DATABASE ${store.database} TO ${onDisk('name')}`;
    const statement = base === undefined ? whole : `${whole} SETTINGS base_backup = ${onDisk('base')}`;
    const done = await runTask(store, clock, statement, { name, base }, onProgress);
    await note('done', done.bytes);
    return { name, base, folder, rows, ...done };
  } catch (error) {
    await note('failed', 0, (error as Error).message).catch(() => undefined); // the error worth telling is the one above
    throw error;
  }
}

export interface MadeBackup {
  name: string;
  base: string;
  state: 'started' | 'done' | 'failed';
  /** Milliseconds since the epoch. */
  at: number;
  bytes: number;
  message: string;
}

/** Backups that were made of this database, as they ended, the newest first. */
export const listBackups = (store: Store): Promise<MadeBackup[]> =>
  store.query<MadeBackup>(
    `SELECT name, argMax(b.base, b.at) AS base, argMax(b.state, (b.at, b.state != 'started')) AS state,
       toUnixTimestamp64Milli(max(b.at)) AS at, max(b.bytes) AS bytes, argMax(b.message, b.at) AS message
     FROM ${store.database}.backups AS b GROUP BY name ORDER BY at DESC LIMIT 1000`,
  );

/** Throws `bad_input`. */
export function requireBackupName(name: string): void {
  if (!NAME.test(name))
    throw new LoopscopeError(
      'bad_input',
      `Expected a backup's name of letters, digits, ".", "_" and "-", found "${name}".`,
    );
}

/** Throws `config_invalid` for a cluster: what of it is saved where, its operators decide. */
export function requireSingle({ cluster, database, localDatabase }: Store): void {
  if (cluster)
    throw new LoopscopeError(
      'config_invalid',
      `This backs up a single server, and clickhouse.cluster is set. Of a cluster: BACKUP DATABASE ${localDatabase}, DATABASE ${database} ON CLUSTER '${cluster.name}' TO a place that all servers reach (S3, for one).`,
    );
}
