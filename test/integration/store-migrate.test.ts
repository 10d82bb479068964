import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '../../src/clock.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

const MIGRATOR = join(import.meta.dirname, '../support/migrator.ts');
const SQL = join(import.meta.dirname, '../../src/store/migrations');
const clock = systemClock();

let server: Awaited<ReturnType<typeof startTestStore>>;
let folder: string;
before(async () => {
  server = await startTestStore();
  folder = await mkdtemp(join(tmpdir(), 'loopscope-migrations-'));
  for (const file of await readdir(SQL)) await copyFile(join(SQL, file), join(folder, file));
});
after(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

/** A store on a database of its own. */
const fresh = (database: string) => openStore({ url: server.url, database });

const all = () => readMigrations('any').map((m) => m.name);

async function recorded(store: Store): Promise<string[]> {
  const rows = await store.query<{ name: string }>(
    `SELECT name FROM ${store.database}.migrations ORDER BY id`,
  );
  return rows.map((row) => row.name);
}

test('a fresh database gets every migration once; a second time nothing is left to do', async () => {
  const store = fresh('m_fresh');
  assert.deepEqual(await migrate(store, clock), all());
  assert.deepEqual(await migrate(store, clock), []);
  assert.deepEqual(await recorded(store), all());
  await store.close();
});

test('every statement can be repeated: a migrator killed half-way leaves nothing in the way', async () => {
  const store = fresh('m_half');
  await migrate(store, clock);
  await store.command('TRUNCATE TABLE m_half.migrations');
  assert.deepEqual(await migrate(store, clock), all());
  await store.close();
});

test('processes that migrate a fresh database together apply each migration exactly once', async () => {
  const run = promisify(execFile);
  const outputs = await Promise.all(
    Array.from({ length: 3 }, () => run(process.execPath, [MIGRATOR, server.url, 'm_race'])),
  );
  const applied = outputs.flatMap(({ stdout }) => JSON.parse(stdout) as string[]);
  assert.deepEqual(applied.sort(), all().sort());
  const store = fresh('m_race');
  assert.deepEqual(await recorded(store), all());
  assert.deepEqual(await store.query(`SELECT name FROM system.tables WHERE name = 'migrations_lock'`), []);
  await store.close();
});

test('a migrator that was killed with the lock in its hands is overtaken', async () => {
  const store = fresh('m_killed');
  // One more migration that takes long, so that the kill comes in the middle.
  await writeFile(join(folder, '9000_slow.sql'), 'SELECT sleep(3)\n;\nSELECT sleep(3);\n');
  const victim = spawn(process.execPath, [MIGRATOR, server.url, 'm_killed', folder], { stdio: 'ignore' });
  await until('the slow migration', async () => {
    const running = await store.query(
      `SELECT 1 FROM system.processes WHERE query LIKE 'SELECT sleep(3)%' AND query NOT LIKE '%processes%'`,
    );
    return running.length > 0;
  });
  const died = new Promise((resolve) => victim.once('exit', resolve));
  victim.kill('SIGKILL');
  await died;
  assert.equal((await store.query(`SELECT 1 FROM system.tables WHERE name = 'migrations_lock'`)).length, 1);
  await writeFile(join(folder, '9000_slow.sql'), 'SELECT 1;\n');
  assert.deepEqual(await migrate(store, clock, folder), ['slow']);
  assert.deepEqual(await recorded(store), [...all(), 'slow']);
  await rm(join(folder, '9000_slow.sql'));
  await store.close();
});

test('a database of a later version is refused', async () => {
  const store = fresh('m_newer');
  await writeFile(join(folder, '9001_future.sql'), 'SELECT 1;\n');
  await migrate(store, clock, folder);
  await rm(join(folder, '9001_future.sql'));
  await assert.rejects(migrate(store, clock, folder), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'schema_newer');
    assert.match(error.message, /9001 \(future\).*Upgrade loopscope/);
    return true;
  });
  await store.close();
});

test('an applied file that was edited since is refused', async () => {
  const store = fresh('m_changed');
  await writeFile(join(folder, '9002_edited.sql'), 'SELECT 1;\n');
  await migrate(store, clock, folder);
  await writeFile(join(folder, '9002_edited.sql'), 'SELECT 2;\n');
  await assert.rejects(migrate(store, clock, folder), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'schema_changed');
    assert.match(error.message, /9002 \(edited\).*Restore the file/);
    return true;
  });
  await rm(join(folder, '9002_edited.sql'));
  await store.close();
});

test('a statement that the server refuses leaves its migration undone and the lock free', async () => {
  const store = fresh('m_refused');
  await writeFile(join(folder, '9003_wrong.sql'), 'SELECT no_such_column;\n');
  await assert.rejects(migrate(store, clock, folder), { code: 'store_rejected' });
  assert.deepEqual(await recorded(store), all());
  await writeFile(join(folder, '9003_wrong.sql'), 'SELECT 1;\n');
  assert.deepEqual(await migrate(store, clock, folder), ['wrong']);
  await rm(join(folder, '9003_wrong.sql'));
  await store.close();
});
