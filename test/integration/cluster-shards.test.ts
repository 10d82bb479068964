import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { applyRetention, readRetention } from '../../src/store/retention.ts';
import { inFolder, runCli } from '../support/cli.ts';
import { CLUSTER, TestCluster } from '../support/cluster.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { runRows } from '../support/span-rows.ts';
import { until } from '../support/until.ts';

/**
 * Two servers, each a shard, without replicas: spans come in on either side, and whoever asks either sees the fleet.
 */
const clock = systemClock();
const log = pino({ level: 'silent' });
const NOON = Date.parse(`${new Date().toISOString().slice(0, 10)}T00:00:00Z`) - 12 * 3_600_000;

let cluster: TestCluster;
let stores: readonly [Store, Store];
before(async () => {
  cluster = await TestCluster.start();
  stores = cluster.shards.map(({ store }) => store) as unknown as [Store, Store];
  for (const store of stores) await migrate(store, clock);
});
after(() => cluster?.close());

/** As a collector stores spans: into the shard that it talks to. */
const deliver = (store: Store, rows: readonly object[], token: string, table = 'otel_traces') =>
  store.insertRaw(
    table,
    'JSONEachRow',
    [Buffer.from(rows.map((row) => JSON.stringify(row)).join('\n'))],
    token,
  );

const count = async (store: Store, from: string, where = 'true') => {
  const [row] = await store.query<{ n: number }>(`SELECT count() AS n FROM ${from} WHERE ${where}`);
  return row!.n;
};

const cli = async (argv: readonly string[], shard: 0 | 1) => {
  const result = await inFolder((folder) => {
    writeFileSync(
      join(folder, 'loopscope.yaml'),
      JSON.stringify({
        clickhouse: { url: cluster.shards[shard]!.url, cluster: CLUSTER.name, replicated: false },
      }),
    );
    return runCli(['--config', join(folder, 'loopscope.yaml'), '--json', ...argv]);
  });
  assert.equal(result.stderr, '');
  return JSON.parse(result.stdout);
};

test('a run whose spans lie on both shards is one run, whichever server is asked', async () => {
  const facts = { loop: 'split', run: 'r1', at: NOON, pass: true, effects: [true, false], costUsd: 0.25 };
  const [call, ...rest] = runRows(facts);
  await deliver(stores[0], [call!, rest.at(-1)!], 'split-a');
  await deliver(stores[1], rest.slice(0, -1), 'split-b');
  assert.equal(await count(stores[0], 'loopscope_local.otel_traces', `Loop = 'split'`), 2);
  assert.equal(await count(stores[1], 'loopscope_local.otel_traces', `Loop = 'split'`), 3);
  for (const shard of [0, 1] as const) {
    const { runs } = await cli(['runs', '--loop', 'split'], shard);
    assert.equal(runs.length, 1);
    assert.equal(runs[0].state, 'ended');
    assert.equal(runs[0].checker_pass, true);
    assert.equal(runs[0].effects, 2);
    assert.equal(runs[0].cost_usd, 0.25);
  }
  const { loops } = await cli(['status'], 0);
  const row = loops.find((l: { loop: string }) => l.loop === 'split');
  assert.equal(row.runs, 1);
  assert.equal(row.checker_pass_rate, 1);
  const { models } = await cli(['models', '--loop', 'split'], 1);
  assert.equal(models.length, 1);
  assert.equal(models[0].served_model, 'gpt-4-0314');
  const trace = JSON.stringify(await cli(['trace', 'r1'], 1));
  for (const span of [call!, ...rest])
    assert.ok(trace.includes(String(span['SpanId'])), String(span['SpanName']));
});

test('every table and view of the documented names can be read, whichever server is asked', async () => {
  for (const store of stores) {
    const names = await store.query<{ name: string }>(
      `SELECT name FROM system.tables WHERE database = 'loopscope' AND engine IN ('Distributed', 'View')`,
    );
    assert.ok(names.length > 20);
    for (const { name } of names) await store.query(`SELECT * FROM loopscope.${name}`);
  }
});

test('what a delivery repeats on its shard is there once, and in what is derived from it', async () => {
  const rows = runRows({ loop: 'repeated', run: 'r1', at: NOON, costUsd: 0.5, score: 1 });
  for (let i = 0; i < 3; i++) await deliver(stores[1], rows, 'repeated');
  assert.equal(await count(stores[0], 'loopscope.otel_traces', `Loop = 'repeated'`), rows.length);
  const [run] = await stores[0].query<{ cost_usd: number; calls: number }>(
    `SELECT cost_usd, calls FROM loopscope.runs WHERE loop = 'repeated'`,
  );
  assert.deepEqual(run, { cost_usd: 0.5, calls: 1 });
  assert.equal(await count(stores[0], 'loopscope.eval_scores', `loop = 'repeated'`), 1);
});

test('a row that is inserted by name is stored once, although it is repeated through another server', async () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({
    loop: `by-name-${i}`,
    version: '1',
    content: '{}',
    seen_at: new Date(NOON).toISOString(),
  }));
  for (const store of [...stores, ...stores]) await store.insert('registry_versions', rows, 'by-name');
  for (const store of stores)
    assert.equal(await count(store, 'loopscope.registry_versions', `loop LIKE 'by-name-%'`), rows.length);
  const [first, second] = await Promise.all(
    stores.map((store) => count(store, 'loopscope_local.registry_versions', `loop LIKE 'by-name-%'`)),
  );
  assert.equal(first! + second!, rows.length);
  assert.ok(first! > 0 && second! > 0, `${first} and ${second}: both shards have some`);
});

test('evals score the runs of all shards, each once, with golden data that lies on one', async (t) => {
  const folder = suiteFolder({
    'shards.yaml': 'suite: shards\nloop: scored\ndataset: shards\nscorer: exact\nschedule: "* * * * *"\n',
  });
  t.after(() => folder.remove());
  folder.write('g.jsonl', '{"input":"q","expected":"yes"}\n');
  const path = join(folder.directory, 'g.jsonl');
  await importGolden({ store: stores[0], clock }, { path, dataset: 'shards' });
  const runs = Array.from({ length: 12 }, (_, i) => ({
    loop: 'scored',
    run: `r-${i}`,
    at: NOON + i * 1000,
    input: 'q',
    output: i % 3 === 0 ? 'no' : 'yes',
  }));
  for (const [i, store] of stores.entries())
    await insertRuns(
      { ...store, insert: (table, rows, token) => deliver(store, rows, token!, table) },
      runs.filter((_, n) => n % 2 === i),
    );
  const evals = await startEvals({ config: folder.config, store: stores[1], clock, log });
  t.after(() => evals.close());
  await until(
    'every run to be scored',
    async () => (await count(stores[0], 'loopscope.eval_scores', `loop = 'scored'`)) === 12,
    60_000,
  );
  await evals.idle();
  const rows = await stores[0].query<{ run_id: string; score: number }>(
    `SELECT run_id, score FROM loopscope.eval_scores WHERE loop = 'scored' ORDER BY toUInt32(substring(run_id, 3))`,
  );
  assert.deepEqual(
    rows.map((row) => row.score),
    runs.map(({ output }) => (output === 'yes' ? 1 : 0)),
  );
});

test('how long rows are kept is a matter of the tables that have them', async () => {
  for (const store of stores) {
    const changed = await applyRetention(store, { traces_days: 30 } as Parameters<typeof applyRetention>[1]);
    assert.deepEqual(changed, ['otel_traces', 'otel_traces_trace_id_ts']);
    const days = (await readRetention(store)).find(({ table }) => table === 'otel_traces')!.days;
    assert.equal(days, 30);
  }
});

test('settings that do not fit the server are refused before anything is written', async () => {
  const { url } = cluster.shards[0]!;
  for (const [options, message] of [
    [{}, /is a cluster's, and the settings name none\. Set clickhouse\.cluster/],
    [{ cluster: { name: 'other', replicated: false } }, /knows no cluster "other" \(it knows fleet\)/],
    [{ cluster: { name: 'fleet', replicated: true } }, /has no <macros> shard and replica/],
  ] as const) {
    const store = openStore({ url, ...options });
    await assert.rejects(migrate(store, clock), { code: 'config_invalid', message });
    await store.close();
  }
  const single = openStore({ url, database: 'of_one' });
  await single.command('CREATE DATABASE of_one');
  await single.command('CREATE TABLE of_one.otel_traces (a UInt8) ENGINE = MergeTree ORDER BY a');
  await single.close();
  const store = openStore({ url, database: 'of_one', cluster: CLUSTER });
  await assert.rejects(migrate(store, clock), { code: 'config_invalid', message: /rows of a single server/ });
  await store.close();
});

test('what a cluster with replicas is given is understood by the server, down to every statement', async () => {
  const cluster = { name: 'fleet', replicated: true };
  const sql = readMigrations('loopscope', undefined, cluster).flatMap(({ statements }) => statements);
  // Keeper, which would carry it out, is not here: that the server can read it is what can be known.
  for (const statement of sql) await stores[0].query('SELECT formatQuery({sql:String})', { sql: statement });
  const tables = sql.filter((s) => /^CREATE TABLE/.test(s));
  const [local, spanning] = [/ loopscope_local\.(\w+)/, / loopscope\.(\w+)/].map((of) =>
    tables.flatMap((s) => of.exec(s.split('AS ')[0]!)?.[1] ?? []).sort(),
  );
  assert.deepEqual(local, spanning, 'every table is there twice');
  for (const statement of sql.filter((s) => !/^(INSERT|SELECT)/.test(s)))
    assert.match(statement, / ON CLUSTER 'fleet'/);
  for (const statement of tables) {
    const [, table] = / loopscope(?:_local)?\.(\w+)/.exec(statement)!;
    if (/ loopscope_local\.\w+ ON/.test(statement)) {
      const engine = new RegExp(
        `ENGINE = Replicated\\w*MergeTree\\('/clickhouse/tables/\\{shard\\}/loopscope_local/${table}', '\\{replica\\}'\\)`,
      );
      assert.match(statement, engine);
      assert.match(statement, /\breplicated_deduplication_window = \d+/);
      assert.doesNotMatch(statement, /non_replicated/);
    } else
      assert.match(
        statement,
        new RegExp(`Distributed\\('fleet', 'loopscope_local', '${table}', cityHash64\\(`),
      );
  }
});
