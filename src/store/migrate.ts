import { readFileSync } from 'node:fs';
import type { Clock } from '../clock.ts';
import { LoopscopeError } from '../errors.ts';
import { openStore, type Store } from './client.ts';
import { checkPlace } from './place.ts';
import { type Migration, migrationsEngine, onCluster, readMigrations } from './schema.ts';

export { readMigrations };

/**
 * Brings the schema up to date: numbered SQL files, each applied once and remembered with its checksum and the version
 * of the program that applied it. Others may write all the while: what a migration changes, it adds.
 *
 * Processes may start together. Creating a table is atomic in ClickHouse, and in a cluster all servers create in one
 * order, so `migrations_lock` is the mutex. Its holder touches it while it works; one that has not for `LOCK_STALE_S`
 * died and is overtaken. That is safe even if it was only slow, because every statement is written to be repeatable
 * (`IF NOT EXISTS`).
 */

const LOCK_STALE_S = 5;
const LOCK_TOUCH_MS = 1_000;
/** Between making the lock and touching it first there is one query. */
const LOCK_UNTOUCHED_S = 1;
const LOCK_POLL_MS = 50;
/** A migration may have to write a column of all rows. */
const STATEMENT_MS_MAX = 3_600_000;

const { version: PROGRAM } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string };

/**
 * Applies what is missing and returns the names of what it applied.
 * Throws `schema_newer` when the database was migrated by a later version, `schema_changed` when a file that
 * was applied has been edited since, `config_invalid` when it is a cluster's and the settings say otherwise, or the
 * other way round.
 */
export async function migrate(store: Store, clock: Clock, directory?: string): Promise<string[]> {
  const { database, cluster } = store;
  const migrations = readMigrations(database, directory, cluster);
  await checkPlace(store);
  if (!(await isPrepared(store))) await prepare(store);
  if (pending(migrations, await applied(store)).length === 0) return [];

  await lock(store, clock);
  const patient = openStore({ url: store.url, database, cluster, requestTimeoutMs: STATEMENT_MS_MAX });
  try {
    const todo = pending(migrations, await applied(store));
    for (const { id, name, checksum, statements } of todo) {
      for (const sql of statements) await whileTouching(store, clock, () => patient.command(sql));
      const applied_at = new Date(clock.now()).toISOString();
      await store.insert(
        'migrations',
        [{ id, name, checksum, applied_at, program: PROGRAM }],
        `migration-${id}`,
      );
    }
    return todo.map((m) => m.name);
  } finally {
    await patient.close();
    // Should even this fail, the lock goes stale by itself; the error worth telling is the one above.
    await unlock(store).catch(() => undefined);
  }
}

/** Whether it can be said here what was applied. Earlier versions did not say by which program. */
async function isPrepared(store: Store): Promise<boolean> {
  const columns = await store.query(
    `SELECT 1 FROM system.columns WHERE database = {db:String} AND table = 'migrations' AND name = 'program'`,
    { db: store.database },
  );
  return columns.length > 0;
}

async function prepare(store: Store): Promise<void> {
  const { database, localDatabase } = store;
  for (const name of new Set([database, localDatabase]))
    await store.command(`CREATE DATABASE IF NOT EXISTS ${name} ${onCluster(store)} ENGINE = Atomic`);
  const table = `${database}.migrations ${onCluster(store)}`;
  await store.command(`CREATE TABLE IF NOT EXISTS ${table}
    (id UInt32, name String, checksum String, applied_at DateTime64(3), program String)
    ENGINE = ${migrationsEngine(store)}`);
  await store.command(`ALTER TABLE ${table} ADD COLUMN IF NOT EXISTS program String`);
}

type Applied = Pick<Migration, 'id' | 'name' | 'checksum'> & { program: string };

/** Each once: of an overtaken lock both holders may have left a row. */
const applied = (store: Store) =>
  store.query<Applied>(
    `SELECT DISTINCT id, name, checksum, program FROM ${store.database}.migrations ORDER BY id`,
  );

function pending(migrations: readonly Migration[], done: readonly Applied[]): Migration[] {
  const known = new Map(migrations.map((m) => [m.id, m]));
  const strange = done.filter(({ id }) => !known.has(id));
  if (strange.length > 0) throw newer(strange, migrations);
  for (const { id, name, checksum } of done) {
    const ours = known.get(id)!;
    if (ours.checksum !== checksum)
      throw new LoopscopeError(
        'schema_changed',
        `Migration ${id} (${name}) was applied with checksum ${checksum}, but the file now has ${ours.checksum}. Restore the file and put the change in a new migration.`,
      );
  }
  const ids = new Set(done.map((m) => m.id));
  return migrations.filter((m) => !ids.has(m.id));
}

function newer(strange: readonly Applied[], migrations: readonly Migration[]): LoopscopeError {
  const { id, name, program } = strange.at(-1)!;
  const by = program ? `loopscope ${program}` : 'a later loopscope';
  return new LoopscopeError(
    'schema_newer',
    `The database is at migration ${id} (${name}), applied by ${by}; this is loopscope ${PROGRAM}, which knows migrations up to ${migrations.at(-1)!.id}. Upgrade loopscope here too, or point it at another database; going back takes a backup from before the upgrade.`,
  );
}

async function lock(store: Store, clock: Clock): Promise<void> {
  for (;;) {
    try {
      // In memory: a lock that outlived its server is known by its emptiness.
      await store.command(
        `CREATE TABLE ${store.database}.migrations_lock ${onCluster(store)} (at DateTime) ENGINE = Memory`,
      );
      return;
    } catch (error) {
      if (!refusedAs(error, 'TABLE_ALREADY_EXISTS')) throw error;
    }
    if (await lockIsStale(store)) await unlock(store);
    else await clock.sleep(LOCK_POLL_MS);
  }
}

/** Says that the holder lives until the work is done, however long it takes. */
async function whileTouching(store: Store, clock: Clock, work: () => Promise<void>): Promise<void> {
  await touch(store);
  const done = new AbortController();
  const touching = (async () => {
    for (;;) {
      await clock.sleep(LOCK_TOUCH_MS, done.signal);
      await touch(store);
    }
  })().catch(() => undefined); // the work itself says what is wrong
  try {
    await work();
  } finally {
    done.abort();
    await touching;
  }
}

/** One that was overtaken has no lock to touch, and goes on: see above. */
async function touch(store: Store): Promise<void> {
  try {
    await store.command(`INSERT INTO ${store.database}.migrations_lock SELECT now()`);
  } catch (error) {
    if (!refusedAs(error, 'UNKNOWN_TABLE')) throw error;
  }
}

const unlock = (store: Store) =>
  store.command(`DROP TABLE IF EXISTS ${store.database}.migrations_lock ${onCluster(store)} SYNC`);

async function lockIsStale(store: Store): Promise<boolean> {
  const { database, cluster } = store;
  // The holder touches the lock of the server that it talks to.
  const locks = cluster?.replicated
    ? `clusterAllReplicas('${cluster.name}', ${database}.migrations_lock)`
    : `${database}.migrations_lock`;
  try {
    const [lock] = await store.query<{ touches: number; made_s: number; touched_s: number }>(
      `SELECT
         (SELECT count() FROM ${locks}) AS touches,
         dateDiff('second', (SELECT max(at) FROM ${locks}), now()) AS touched_s,
         dateDiff('second', metadata_modification_time, now()) AS made_s
       FROM system.tables WHERE database = {db:String} AND name = 'migrations_lock'`,
      { db: database },
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
