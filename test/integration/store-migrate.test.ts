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
    }
  };
  const writers = [1, 2, 3].map(write);
  await until('the first runs', () => written > 3);
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

test('a statement that takes long is not taken for the end of its migrator', async () => {
  const store = fresh('m_long');
  await migrate(store, clock);
  await writeFile(
    join(folder, '9004_long.sql'),
    'SELECT sleepEachRow(1) FROM numbers(3) SETTINGS max_block_size = 1;\n',
  );
  const migrating = migrate(store, clock, folder);
  await until('the holder to touch the lock again', async () => {
    const [lock] = await store.query<{ touches: number }>(
      'SELECT count() AS touches FROM m_long.migrations_lock',
    );
    return lock!.touches > 1;
  });
  assert.deepEqual(await migrating, ['long']);
  await rm(join(folder, '9004_long.sql'));
  await store.close();
});

test('a database of a later version is refused', async () => {
  const store = fresh('m_newer');
  await writeFile(join(folder, '9001_future.sql'), 'SELECT 1;\n');
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
