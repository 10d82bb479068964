import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '../../src/clock.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { runRows } from '../support/span-rows.ts';
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
  for (const file of (await readdir(SQL)).sort().slice(0, 1))
    await copyFile(join(SQL, file), join(folder, file));
});
after(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

/** A store on a database of its own. */
const fresh = (database: string) => openStore({ url: server.url, database });

const all = () => readMigrations('any').map((m) => m.name);
/** Those in `folder`, where tests add some of their own. */
const few = () => readMigrations('any', folder).map((m) => m.name);

/** Puts a file beside them, until the test is over. */
async function write(t: TestContext, file: string, text: string): Promise<void> {
  t.after(() => rm(join(folder, file), { force: true }));
  await writeFile(join(folder, file), text);
}

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

test('a migrator that was killed with the lock in its hands is overtaken', async (t) => {
  const store = fresh('m_killed');
  await migrate(store, clock, folder);
  // One more migration that takes long, so that the kill comes in the middle.
  await write(t, '9000_slow.sql', 'SELECT sleep(3)\n;\nSELECT sleep(3);\n');
  const victim = spawn(process.execPath, [MIGRATOR, server.url, 'm_killed', folder], { stdio: 'ignore' });
  await until(
    'the slow migration',
    async () => {
      const running = await store.query(
        `SELECT 1 FROM system.processes WHERE query LIKE 'SELECT sleep(3)%' AND query NOT LIKE '%processes%'`,
      );
      return running.length > 0;
    },
    60_000,
  );
  const died = new Promise((resolve) => victim.once('exit', resolve));
  victim.kill('SIGKILL');
  await died;
  assert.equal((await store.query(`SELECT 1 FROM system.tables WHERE name = 'migrations_lock'`)).length, 1);
  await write(t, '9000_slow.sql', 'SELECT 1;\n');
  assert.deepEqual(await migrate(store, clock, folder), ['slow']);
  assert.deepEqual(await recorded(store), few());
  await store.close();
});

test('what is written while the schema is brought up to date is there afterwards, and counts once', async () => {
  const store = fresh('m_live');
  const early = await mkdtemp(join(tmpdir(), 'loopscope-early-'));
  for (const { id, name } of readMigrations('m_live').slice(0, 4)) {
    const file = `${String(id).padStart(4, '0')}_${name}.sql`;
    await copyFile(join(SQL, file), join(early, file));
  }
  await migrate(store, clock, early);
  const writing = new AbortController();
  let written = 0;
  const write = async (writer: number) => {
    for (let i = 0; !writing.signal.aborted; i++) {
      const run = `r-${writer}-${i}`;
      const rows = runRows({ loop: 'live', run, at: clock.now(), pass: true, costUsd: 1, score: 1 });
      // Each twice, as by a collector that did not hear the answer.
      for (const _ of [1, 2]) await store.insert('otel_traces', rows, run);
      written++;
      await clock.sleep(25); // the pace of a writer: the processor is for the migrations
    }
  };
  const writers = [1, 2].map(write);
  await until('the first runs', () => written > 3, 60_000);
  const before = written;
  assert.deepEqual(await migrate(store, clock), all().slice(4));
  assert.ok(written > before, 'writers were not held up');
  writing.abort();
  await Promise.all(writers);
  const [counted] = await store.query(
    `SELECT count() AS runs, sum(cost_usd) AS cost, sum(checker_pass) AS passed,
       (SELECT count() FROM m_live.eval_scores) AS scores, (SELECT uniqExact(run_id) FROM m_live.run_ends) AS ends
     FROM m_live.runs WHERE state = 'ended'`,
  );
  assert.deepEqual(counted, {
    runs: written,
    cost: written,
    passed: written,
    scores: written,
    ends: written,
  });
  await rm(early, { recursive: true });
  await store.close();
});

test('a statement that takes long is not taken for the end of its migrator', async (t) => {
  const store = fresh('m_long');
  await migrate(store, clock, folder);
  await write(t, '9004_long.sql', 'SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_block_size = 1;\n');
  const migrating = migrate(store, clock, folder);
  await until(
    'the holder to touch the lock again',
    async () => {
      const [lock] = await store.query<{ touches: number }>(
        'SELECT count() AS touches FROM m_long.migrations_lock',
      );
      return lock!.touches > 1;
    },
    60_000,
  );
  assert.deepEqual(await migrating, ['long']);
  await store.close();
});

test('a database of a later version is refused', async (t) => {
  const store = fresh('m_newer');
  await write(t, '9001_future.sql', 'SELECT 1;\n');
  await migrate(store, clock, folder);
  await rm(join(folder, '9001_future.sql'));
  await assert.rejects(migrate(store, clock, folder), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'schema_newer');
    assert.match(
      error.message,
      /at migration 9001 \(future\), applied by loopscope \d+\.\d+\.\d+; this is loopscope \d+\.\d+\.\d+, which knows migrations up to \d+\. Upgrade/,
    );
    return true;
  });
  await store.close();
});

test('a database whose migrations were not signed by a program is read all the same', async () => {
  const store = fresh('m_unsigned');
  await store.command('CREATE DATABASE m_unsigned ENGINE = Atomic');
  await store.command(`CREATE TABLE m_unsigned.migrations (id UInt32, name String, checksum String, applied_at DateTime64(3))
    ENGINE = MergeTree ORDER BY id`);
  await store.command(`INSERT INTO m_unsigned.migrations VALUES (9005, 'unsigned', '', now())`);
  await assert.rejects(migrate(store, clock, folder), {
    code: 'schema_newer',
    message: /at migration 9005 \(unsigned\), applied by a later loopscope; this is loopscope/,
  });
  await store.command('TRUNCATE TABLE m_unsigned.migrations');
  assert.deepEqual(await migrate(store, clock, folder), few());
  await store.close();
});

test('an applied file that was edited since is refused', async (t) => {
  const store = fresh('m_changed');
  await write(t, '9002_edited.sql', 'SELECT 1;\n');
  await migrate(store, clock, folder);
  await write(t, '9002_edited.sql', 'SELECT 2;\n');
  await assert.rejects(migrate(store, clock, folder), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'schema_changed');
    assert.match(error.message, /9002 \(edited\).*Restore the file/);
    return true;
  });
  await store.close();
});

test('a statement that the server refuses leaves its migration undone and the lock free', async (t) => {
  const store = fresh('m_refused');
  await write(t, '9003_wrong.sql', 'SELECT no_such_column;\n');
  await assert.rejects(migrate(store, clock, folder), { code: 'store_rejected' });
  assert.deepEqual(await recorded(store), few().slice(0, -1));
  await write(t, '9003_wrong.sql', 'SELECT 1;\n');
  assert.deepEqual(await migrate(store, clock, folder), ['wrong']);
  await store.close();
});
