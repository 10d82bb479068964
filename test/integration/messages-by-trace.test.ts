import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import type { LoopscopeError } from '../../src/errors.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { applyRetention, readRetention } from '../../src/store/retention.ts';
import { contentsOf } from '../../src/store/scores.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/** Content of before goes into another order, while others insert. */
const DATABASE = 'm_contents';
const SQL = join(import.meta.dirname, '../../src/store/migrations');
const clock = systemClock();
const migrations = readMigrations(DATABASE);
const messagesOf = (name: string) => migrations.find((m) => m.name === name)!;
const { id, statements } = messagesOf('messages_by_trace');
const isReplace = (sql: string) => sql.startsWith('CREATE OR REPLACE TABLE');

let server: Awaited<ReturnType<typeof startTestStore>>;
let store: Store;
let early: string;
before(async () => {
  server = await startTestStore();
  store = openStore({ url: server.url, database: DATABASE });
  early = await mkdtemp(join(tmpdir(), 'loopscope-early-'));
  for (const file of (await readdir(SQL)).sort().slice(0, id - 1))
    await copyFile(join(SQL, file), join(early, file));
  await migrate(store, clock, early);
});
after(async () => {
  await store?.close();
  await server?.close();
  await rm(early, { recursive: true, force: true });
});

/** The table as it was before, with some content in it. */
async function asBefore(): Promise<void> {
  for (const table of ['messages_arrived_mv', 'messages_arrived', 'messages'])
    await store.command(`DROP TABLE IF EXISTS ${DATABASE}.${table} SYNC`);
  for (const sql of messagesOf('messages').statements) await store.command(sql);
  await store.command(
    `ALTER TABLE ${DATABASE}.migrations DELETE WHERE id >= {id:UInt32} SETTINGS mutations_sync = 2`,
    { id },
  );
  await store.insert('messages', [message('old-1'), message('old-2')]);
}

const message = (hash: string) => ({ hash, role: 'user', content: `what ${hash} says` });

/** What is stored, each hash as often as it is there. */
async function hashes(): Promise<string[]> {
  const rows = await store.query<{ hash: string }>(
    `SELECT hash FROM ${DATABASE}.messages FINAL ORDER BY hash`,
  );
  return rows.map(({ hash }) => hash);
}

async function order(): Promise<string> {
  const [table] = await store.query<{ sorting_key: string }>(
    `SELECT sorting_key FROM system.tables WHERE database = {db:String} AND name = 'messages'`,
    { db: DATABASE },
  );
  return table!.sorting_key;
}

const leftOver = () =>
  store.query(
    `SELECT name FROM system.tables WHERE database = {db:String} AND name LIKE '%messages%' AND name != 'messages'`,
    { db: DATABASE },
  );

test('a migrator killed between any two of its statements loses nothing, and the next ends it', async () => {
  for (let done = 0; done <= statements.length; done++) {
    await asBefore();
    const said = ['old-1', 'old-2'];
    const say = async (hash: string) => {
      await store.insert('messages', [message(hash)]);
      said.push(hash);
    };
    for (const [i, sql] of statements.slice(0, done).entries()) {
      await store.command(sql);
      await say(`killed-${i}`);
    }
    await migrate(store, clock);
    await say('later');
    const when = `after ${done} statements`;
    assert.deepEqual(await hashes(), said.sort(), when);
    assert.equal(await order(), 'trace_id, hash', when);
    assert.deepEqual(await leftOver(), [], when);
  }
});

test('what is inserted while the table is replaced is there afterwards, also by inserts that take long', async () => {
  await asBefore();
  const writing = new AbortController();
  let refused = 0;
  /** As a collector does it: again, until it is told that it is stored. */
  const insisting = async (insert: () => Promise<void>): Promise<void> => {
    for (;;) {
      try {
        return await insert();
      } catch (error) {
        assert.equal((error as LoopscopeError).code, 'store_unavailable', String(error));
        refused++;
      }
    }
  };
  const long = (name: string) =>
    insisting(() =>
      store.command(
        `INSERT INTO ${DATABASE}.messages (hash, role, content)
         SELECT concat({name:String}, toString(number)), 'user', toString(sleepEachRow(1)) FROM numbers(3)
         SETTINGS max_block_size = 1, min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1`,
        { name },
      ),
    );
  let written = 0;
  const write = (async () => {
    for (; !writing.signal.aborted; written++) {
      await insisting(() => store.insert('messages', [message(`live-${written}`)]));
      await clock.sleep(25);
    }
  })();
  const inserts = [long('before-')];
  await areUnderWay(1);
  for (const sql of statements) {
    if (isReplace(sql)) {
      inserts.push(long('within-'));
      await areUnderWay(2);
    }
    await store.command(sql);
  }
  writing.abort();
  await Promise.all([write, ...inserts]);
  assert.ok(refused > 0, 'none was under way');
  const there = new Set(await hashes());
  for (const name of ['before-', 'within-'])
    for (const i of [0, 1, 2]) assert.ok(there.has(`${name}${i}`), `${name}${i}`);
  for (let i = 0; i < written; i++) assert.ok(there.has(`live-${i}`), `live-${i} of ${written}`);
  assert.equal(there.size, 2 + 6 + written);
});

async function areUnderWay(n: number): Promise<void> {
  await until(
    'inserts that take long',
    async () => {
      const running = await store.query(
        `SELECT 1 FROM system.processes WHERE query_kind = 'Insert' AND query LIKE '%sleepEachRow%' AND elapsed > 0.2`,
      );
      return running.length >= n;
    },
    10_000,
  );
}

test('content of before is found by its hash, through an index, and lives as long as is set', async () => {
  await asBefore();
  await applyRetention(store, { messages_days: 30 });
  await migrate(store, clock);
  assert.deepEqual(await contentsOf(store, ['old-2', 'nobody']), new Map([['old-2', 'what old-2 says']]));
  const plan = await store.query<{ explain: string }>(
    `EXPLAIN indexes = 1 SELECT content FROM ${DATABASE}.messages WHERE hash IN ('old-2') LIMIT 1 BY hash`,
  );
  assert.match(plan.map(({ explain }) => explain).join('\n'), /by_hash/);
  // As a collector does when it starts.
  assert.deepEqual(await applyRetention(store, { messages_days: 30 }), ['messages']);
  const kept = (await readRetention(store)).find(({ table }) => table === 'messages');
  assert.equal(kept!.days, 30);
});
