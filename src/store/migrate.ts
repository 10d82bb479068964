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
/** Between making the lock and touching it first there is one query. */
const LOCK_UNTOUCHED_S = 1;
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
        await touch(store);
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
      // In memory: a lock that outlived its server is known by its emptiness.
      await store.command(`CREATE TABLE ${db}.migrations_lock (at DateTime) ENGINE = Memory`);
      return;
    } catch (error) {
      if (!refusedAs(error, 'TABLE_ALREADY_EXISTS')) throw error;
    }
    if (await lockIsStale(store)) await unlock(store);
    else await clock.sleep(LOCK_POLL_MS);
  }
}

/** Says that the holder lives. One that was overtaken has no lock to touch, and goes on: see above. */
async function touch(store: Store): Promise<void> {
  try {
    await store.command(`INSERT INTO ${store.database}.migrations_lock SELECT now()`);
  } catch (error) {
    if (!refusedAs(error, 'UNKNOWN_TABLE')) throw error;
  }
}

const unlock = (store: Store) => store.command(`DROP TABLE IF EXISTS ${store.database}.migrations_lock SYNC`);

async function lockIsStale(store: Store): Promise<boolean> {
  try {
    const [lock] = await store.query<{ touches: number; made_s: number; touched_s: number }>(
      `SELECT
         (SELECT count() FROM ${store.database}.migrations_lock) AS touches,
         dateDiff('second', (SELECT max(at) FROM ${store.database}.migrations_lock), now()) AS touched_s,
         dateDiff('second', metadata_modification_time, now()) AS made_s
       FROM system.tables WHERE database = {db:String} AND name = 'migrations_lock'`,
      { db: store.database },
    );
    if (!lock) return false;
    return lock.touches > 0 ? lock.touched_s > LOCK_STALE_S : lock.made_s > LOCK_UNTOUCHED_S;
  } catch (error) {
    if (refusedAs(error, 'UNKNOWN_TABLE')) return false;
    throw error;
  }
}

/** Whether the server's own name of the refusal is `type`. */
const refusedAs = (error: unknown, type: string) =>
  error instanceof LoopscopeError && (error.cause as { type?: string } | undefined)?.type === type;
