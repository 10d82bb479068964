import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pino from 'pino';
import type { Collector } from '../../collector/collector.ts';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runTraceId } from '../../src/span/ids.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { type Embedded, startEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { freePorts } from '../../src/store/server-host.ts';
import { runCli } from '../support/cli.ts';
import { startTestCollector } from '../support/collector.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { until } from '../support/until.ts';

/**
 * A ClickHouse that is lost with all it had, and what is there when its backups are restored: the steps of one story, in
 * order.
 */
const clock = systemClock();
const log = pino({ level: 'silent' });
const NOON = Date.parse(`${new Date().toISOString().slice(0, 10)}T00:00:00Z`) - 12 * 3_600_000;

const dataDir = mkdtempSync(join(tmpdir(), 'loopscope-backup-'));
const suites = suiteFolder({
  's.yaml': 'suite: s\nloop: kept\ndataset: d\nscorer: exact\nschedule: "* * * * *"\n',
});
let ports: number[];
let server: Embedded;
let store: Store;
let collector: Collector;
/** Why the collector keeps what it takes for now. */
let held: string | undefined;

const startServer = async () => {
  const [httpPort, nativePort] = ports as [number, number];
  server = await startEmbedded({ dataDir, httpPort, nativePort, memoryBytesMax: 2_000_000_000, clock, log });
};
before(async () => {
  ports = await freePorts(2);
  await startServer();
  store = openStore({ url: server.url });
  await migrate(store, clock);
  collector = await startTestCollector({ store, whyStoreUnready: () => held });
});
after(async () => {
  await collector?.close();
  await store?.close();
  await server?.close();
  suites.remove();
  rmSync(dataDir, { recursive: true, force: true });
});

const cli = async (...argv: string[]) => {
  const result = await runCli(['--json', ...argv], { env: { LOOPSCOPE_CLICKHOUSE_URL: server.url } });
  return { ...result, json: result.stdout === '' ? undefined : JSON.parse(result.stdout) };
};

/** A loop's calls, sent as any OpenTelemetry SDK does; taken when this returns. */
async function send(loop: string, from: number, to: number): Promise<void> {
  const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  const spans = Array.from({ length: to - from }, (_, i) => {
    const traceId = runTraceId(loop, `r-${from + i}`);
    const startTimeUnixNano = `${NOON + from + i}000000`;
    return {
      traceId,
      spanId: recordSpanId(traceId, 'call'),
      name: 'chat m',
      startTimeUnixNano,
      endTimeUnixNano: startTimeUnixNano,
      attributes: [
        text(A.loop, loop),
        text(A.runId, `r-${from + i}`),
        text(A.record, 'call'),
        text(A.costUsd, '1'),
      ],
    };
  });
  const response = await fetch(`${collector.url}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] }),
  });
  assert.equal(response.status, 200);
}

const sent = async (loop: string) => {
  const [row] = await store.query(
    `SELECT count() AS runs, sum(cost_usd) AS cost, (SELECT count() FROM loopscope.otel_traces WHERE Loop = {loop:String}) AS spans
     FROM loopscope.runs WHERE loop = {loop:String}`,
    { loop },
  );
  return row;
};
const exactly = (runs: number) => ({ runs, cost: runs, spans: runs });

/** All rows of all tables but the one that tells of backups, which goes on being written. */
async function everything(database: string): Promise<Record<string, unknown[]>> {
  const tables = await store.query<{ name: string; engine: string }>(
    `SELECT name, engine FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'
       AND name != 'backups' ORDER BY name`,
    { database },
  );
  const rows: Record<string, unknown[]> = {};
  for (const { name, engine } of tables)
    rows[name] = (
      await store.query(`SELECT * FROM ${database}.${name} ${engine === 'MergeTree' ? '' : 'FINAL'}`)
    )
      .map((row) => JSON.stringify(row))
      .sort();
  return rows;
}

const scores = () =>
  store.query<{ run_id: string; n: number }>(
    `SELECT run_id, count() AS n FROM loopscope.eval_scores WHERE loop = 'kept' GROUP BY run_id`,
  );

async function scoreAll(runs: number): Promise<void> {
  const evals = await startEvals({ config: suites.config, store, clock, log });
  await until('every run to be scored', async () => (await scores()).length === runs, 60_000);
  await evals.idle();
  await evals.close();
}

const keptRuns = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => ({
    loop: 'kept',
    run: `r-${from + i}`,
    at: NOON + (from + i) * 1000,
    input: 'q',
    output: 'yes',
    pass: true,
  }));

let saved: Record<string, unknown[]>;

test('a backup is made while everything runs, and another holds the difference to it', async () => {
  suites.write('g.jsonl', '{"input":"q","expected":"yes"}\n');
  await importGolden({ store, clock }, { path: join(suites.directory, 'g.jsonl'), dataset: 'd' });
  await insertRuns(store, keptRuns(0, 6));
  await send('sent', 0, 40);
  await collector.flush();
  const monday = await cli('backup', 'monday');
  assert.equal(monday.code, 0, monday.stderr);
  assert.equal(monday.json.folder, join(dataDir, 'backups/'));
  assert.equal(monday.json.rows.otel_traces, 40 + 18);
  assert.ok(monday.json.bytes > 0);

  await send('sent', 40, 60);
  await collector.flush();
  await scoreAll(6);
  saved = await everything('loopscope');
  const tuesday = await cli('backup', 'tuesday', '--base', 'monday');
  assert.equal(tuesday.code, 0, tuesday.stderr);
  assert.equal(tuesday.json.rows.otel_traces, 60 + 18);
  const { json } = await cli('backup', '--list');
  assert.deepEqual(
    json.backups.map((b: { name: string; base: string; state: string }) => [b.name, b.base, b.state]),
    [
      ['tuesday', 'monday', 'done'],
      ['monday', '', 'done'],
    ],
  );
});

test('a backup is never written over, and needs the base that it names', async () => {
  const again = await cli('backup', 'monday');
  assert.equal(again.code, 1);
  assert.match(again.stderr, /There is a backup "monday" already\. Choose another name/);
  const baseless = await cli('backup', 'wednesday', '--base', 'sunday');
  assert.equal(baseless.code, 1);
  assert.match(
    baseless.stderr,
    /Expected a backup "wednesday" and its base "sunday" on the server's disk "backups"/,
  );
  assert.match((await cli('backup', '../monday')).stderr, /Expected a backup's name/);
  const [failed] = (await cli('backup', '--list')).json.backups;
  assert.deepEqual([failed.name, failed.state], ['wednesday', 'failed']);
});

test('restored into an empty server, every table has the rows that it had', async () => {
  await server.close();
  rmSync(join(dataDir, 'clickhouse'), { recursive: true });
  held = 'the rows are compared first';
  await send('sent', 60, 75);
  await startServer();
  const restored = await cli('restore', 'tuesday');
  assert.equal(restored.code, 0, restored.stderr);
  assert.deepEqual(restored.json.short, []);
  assert.equal(restored.json.put_aside, null);
  const now = await everything('loopscope');
  assert.deepEqual(Object.keys(now), Object.keys(saved));
  for (const [table, rows] of Object.entries(saved)) assert.deepEqual(now[table], rows, table);
  assert.deepEqual(await migrate(store, clock), [], 'and the schema that it had');
});

test('what waited in the spool is stored then, once, and evals go on where they were', async () => {
  held = undefined;
  await collector.flush();
  assert.deepEqual(await sent('sent'), exactly(75));
  await insertRuns(store, keptRuns(6, 9));
  await scoreAll(9);
  assert.deepEqual(
    (await scores()).filter(({ n }) => n !== 1),
    [],
    'no run is scored twice',
  );
});

test('a database with rows in it is not restored into; beside it a backup can be looked at', async () => {
  const refused = await cli('restore', 'monday');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /has rows, and a backup is restored into an empty one only\. --into NAME/);
  const beside = await cli('restore', 'monday', '--into', 'look');
  assert.equal(beside.code, 0, beside.stderr);
  const [looked] = await store.query(
    `SELECT count() AS runs, sum(cost_usd) AS cost FROM look.runs WHERE loop = 'sent'`,
  );
  assert.deepEqual(looked, { runs: 40, cost: 40 });
  assert.deepEqual(await sent('sent'), exactly(75));
});

test('what is replaced is put aside, and only for a backup that is there', async () => {
  const nothing = await cli('restore', 'sunday', '--replace');
  assert.match(nothing.stderr, /Expected a backup "sunday"/);
  assert.deepEqual(await sent('sent'), exactly(75));
  const replaced = await cli('restore', 'monday', '--replace');
  assert.equal(replaced.code, 0, replaced.stderr);
  assert.deepEqual(await sent('sent'), exactly(40));
  const [aside] = await store.query(
    `SELECT count() AS spans, (SELECT count() FROM ${replaced.json.put_aside}.runs WHERE loop = 'sent') AS runs
     FROM ${replaced.json.put_aside}.otel_traces WHERE Loop = 'sent'`,
  );
  assert.deepEqual(aside, { spans: 75, runs: 75 });
  // A server that starts anew takes views by what they name.
  await server.close();
  await startServer();
  await send('sent', 40, 45);
  await collector.flush();
  assert.deepEqual(await sent('sent'), exactly(45), 'what was put aside no longer takes part');
});

test('a backup that lacks rows it should have says of which table, and one that is damaged that it is', async () => {
  const rows = { run_ends: 1_000_000 };
  await store.insert('backups', [{ name: 'short', state: 'started', at: new Date().toISOString(), rows }]);
  await store.command(`BACKUP DATABASE loopscope TO Disk('backups', 'short')`);
  const short = await cli('restore', 'short', '--into', 'shorter');
  assert.equal(short.code, 1);
  assert.deepEqual(short.json.short, [{ table: 'run_ends', rows: 6, expected: 1_000_000 }]);

  const spans = join(dataDir, 'backups', 'short', 'data', 'loopscope', 'otel_traces');
  const part = join(spans, readdirSync(spans)[0]!);
  for (const file of readdirSync(part).filter((name) => /\.bin$/.test(name)))
    truncateSync(join(part, file), 1);
  const damaged = await cli('restore', 'short', '--into', 'damaged');
  assert.equal(damaged.code, 1);
  assert.match(damaged.stderr, /was not made or restored whole/);
});
