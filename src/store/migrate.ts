import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import type { Store } from './client.ts';

/**
 * Brings the schema up to date: numbered SQL files, each applied once and remembered with its checksum.
 * The files name no engine and no cluster; `{{engine:X}}` and `{{on_cluster}}` are filled in here, so that
 * one node and a cluster share them.
 *
 * Two processes may start together. Creating a table is atomic in ClickHouse, so `migrations_lock` is the
 * mutex. Its holder touches it before each statement; one that has not for `LOCK_STALE_S` died and is overtaken.
 * That is safe even if it was only slow, because every statement is written to be repeatable (`IF NOT EXISTS`).
 */
export interface Migration {
  id: number;
  name: string;
  checksum: string;
  statements: string[];
}

const DIRECTORY = join(import.meta.dirname, 'migrations');
const LOCK_STALE_S = 5;
const LOCK_POLL_MS = 50;

/** The migrations of this version of the program, in order. */
export function readMigrations(database: string, directory: string = DIRECTORY): Migration[] {
  return readdirSync(directory)
    .filter((file) => /^\d{4}_\w+\.sql$/.test(file))
    .sort()
    .map((file) => {
      const text = readFileSync(join(directory, file), 'utf8');
      return {
        id: Number(file.slice(0, 4)),
        name: file.slice(5, -4),
        checksum: createHash('sha256').update(text).digest('hex').slice(0, 16),
        statements: statements(text).map((sql) => render(sql, database)),
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

const render = (sql: string, database: string) =>
  sql
    .replaceAll('{{database}}', database)
    .replaceAll('{{on_cluster}}', '')
    .replace(/\{\{engine:([^}]+)\}\}/g, '$1');

/**
 * Applies what is missing and returns the names of what it applied.
 * Throws `schema_newer` when the database was migrated by a later version, `schema_changed` when a file that
 * was applied has been edited since.
 */
export async function migrate(store: Store, clock: Clock, directory?: string): Promise<string[]> {
  const db = store.database;
  const migrations = readMigrations(db, directory);
  await store.command(`CREATE DATABASE IF NOT EXISTS ${db} ENGINE = Atomic`);
  await store.command(`CREATE TABLE IF NOT EXISTS ${db}.migrations
    (id UInt32, name String, checksum String, applied_at DateTime64(3)) ENGINE = MergeTree ORDER BY id
    SETTINGS non_replicated_deduplication_window = 1000`);
  if (pending(migrations, await applied(store)).length === 0) return [];

  await lock(store, clock);
  try {
    const todo = pending(migrations, await applied(store));
    for (const { id, name, checksum, statements } of todo) {
      for (const sql of statements) {
        await store.command(`INSERT INTO ${db}.migrations_lock SELECT now()`);
        await store.command(sql);
      }
      const row = { id, name, checksum, applied_at: new Date(clock.now()).toISOString() };
      await store.insert('migrations', [row], `migration-${id}`);
    }
    return todo.map((m) => m.name);
  } finally {
    // Should even this fail, the lock goes stale by itself; the error worth telling is the one above.
    await unlock(store).catch(() => undefined);
  }
}

type Applied = Pick<Migration, 'id' | 'name' | 'checksum'>;

const applied = (store: Store) =>
  store.query<Applied>(`SELECT id, name, checksum FROM ${store.database}.migrations ORDER BY id`);

function pending(migrations: readonly Migration[], done: readonly Applied[]): Migration[] {
  const known = new Map(migrations.map((m) => [m.id, m]));
  for (const { id, name, checksum } of done) {
    const ours = known.get(id);
    if (!ours)
      throw new LoopscopeError(
        'schema_newer',
        `The database has migration ${id} (${name}), which this version of loopscope does not know. Upgrade loopscope, or point it at another database.`,
      );
    if (ours.checksum !== checksum)
      throw new LoopscopeError(
        'schema_changed',
        `Migration ${id} (${name}) was applied with checksum ${checksum}, but the file now has ${ours.checksum}. Restore the file and put the change in a new migration.`,
      );
  }
  const ids = new Set(done.map((m) => m.id));
  return migrations.filter((m) => !ids.has(m.id));
}

async function lock(store: Store, clock: Clock): Promise<void> {
  const db = store.database;
  for (;;) {
    try {
      await store.command(`CREATE TABLE ${db}.migrations_lock (at DateTime) ENGINE = Memory`);
      return;
    } catch (error) {
      if (!(error instanceof LoopscopeError && /\bTABLE_ALREADY_EXISTS\b/.test(error.message))) throw error;
    }
    if ((await lockAge(store)) > LOCK_STALE_S) await unlock(store);
    else await clock.sleep(LOCK_POLL_MS);
  }
}

const unlock = (store: Store) => store.command(`DROP TABLE IF EXISTS ${store.database}.migrations_lock SYNC`);

/** Seconds since the lock was made or last touched; -1 when there is none any more. */
async function lockAge(store: Store): Promise<number> {
  try {
    const [touched] = await store.query<{ age: number }>(
      `SELECT dateDiff('second', greatest(
         (SELECT max(at) FROM ${store.database}.migrations_lock),
         (SELECT max(metadata_modification_time) FROM system.tables
          WHERE database = {db:String} AND name = 'migrations_lock')), now()) AS age`,
      { db: store.database },
    );
    return touched?.age ?? -1;
  } catch (error) {
    if (error instanceof LoopscopeError && /\bUNKNOWN_TABLE\b/.test(error.message)) return -1;
    throw error;
  }
}
