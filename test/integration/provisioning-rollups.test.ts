import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { A } from '../../src/span/attributes.ts';
import type { Store } from '../../src/store/client.ts';
import { readMigrations } from '../../src/store/migrate.ts';
import { startTestStore } from '../support/store.ts';

const TABLES = [
  'calls_by_minute',
  'calls_by_hour',
  'latency_by_minute',
  'latency_by_hour',
  'attempts_by_minute',
  'outcomes_by_minute',
  'own_counts_by_5_minutes',
  'own_gauges_by_5_minutes',
] as const;

let server: Awaited<ReturnType<typeof startTestStore>>;
let store: Store;
before(async () => {
  server = await startTestStore();
  store = server.store;
});
after(() => server?.close());

let spans = 0;
/** A row of otel_traces; `at` is in seconds after noon. */
const span = (at: number, attributes: Record<string, string>, more: object = {}) => ({
  Timestamp: new Date(Date.UTC(2026, 0, 1, 12, 0, at)).toISOString(),
  TraceId: 'a'.repeat(32),
  SpanId: String(++spans).padStart(16, '0'),
  ServiceName: 'loopscope',
  SpanAttributes: attributes,
  Duration: 2_000_000_000,
  StatusCode: 'Unset',
  ...more,
});

const of = (loop: string) => ({ [A.loop]: loop, [A.runId]: `${loop}-1` });

const call = (loop: string, at: number, more: Record<string, string> = {}, row: object = {}) =>
  span(
    at,
    {
      ...of(loop),
      [A.record]: 'call',
      [A.agentName]: 'maker',
      [A.agentRole]: 'maker',
      [A.provider]: 'openai',
      [A.requestModel]: 'gpt-4.1',
      ...more,
    },
    row,
  );

const USED = {
  [A.inputTokens]: '100',
  [A.outputTokens]: '10',
  [A.costUsd]: '0.5',
  [A.timeToFirstChunk]: '0.25',
};

const one = async <Row>(sql: string): Promise<Row> => {
  const rows = await store.query<Row>(sql);
  assert.equal(rows.length, 1, sql);
  return rows[0]!;
};

const callsOf = (table: string, where: string) =>
  one<object>(
    `SELECT sum(c.calls) AS calls, sum(c.errors) AS errors, sum(c.cost_usd) AS cost, sum(c.input_tokens) AS input,
       sum(c.calls_without_usage) AS without_usage, sum(c.calls_without_cost) AS without_cost,
       quantileTDigestMerge(0.5)(c.duration) AS p50, ifNotFinite(quantileTDigestMerge(0.5)(c.first_chunk), NULL) AS first
     FROM loopscope.${table} AS c WHERE ${where}`,
  );

test('calls add up by minute and hour; what nobody said is counted and is no 0', async () => {
  await store.insert('otel_traces', [
    call('adds', 0, USED),
    call('adds', 59, { ...USED, [A.costUsd]: '' }),
    call('adds', 61, USED),
    call('adds', 3_700, { [A.errorType]: 'http_503' }, { StatusCode: 'Error' }),
  ]);
  const all = {
    calls: 4,
    errors: 1,
    cost: 1,
    input: 300,
    without_usage: 0,
    without_cost: 1,
    p50: 2,
    first: 0.25,
  };
  for (const table of ['calls_by_minute', 'calls_by_hour'])
    assert.deepEqual(await callsOf(table, "loop = 'adds'"), all, table);
  // By model there is no loop: all that was called so far is this.
  for (const table of ['latency_by_minute', 'latency_by_hour']) {
    const { calls, cost, p50, first } = all;
    assert.deepEqual(
      await one(
        `SELECT sum(c.calls) AS calls, sum(c.cost_usd) AS cost, quantileTDigestMerge(0.5)(c.duration) AS p50,
           quantileTDigestMerge(0.5)(c.first_chunk) AS first FROM loopscope.${table} AS c`,
      ),
      { calls, cost, p50, first },
      table,
    );
  }
  const minute = await callsOf('calls_by_minute', "loop = 'adds' AND minute = '2026-01-01 12:00:00'");
  assert.deepEqual(minute, { ...all, calls: 2, errors: 0, cost: 0.5, input: 200 });
  const hour = await callsOf('calls_by_hour', "loop = 'adds' AND hour = '2026-01-01 13:00:00'");
  assert.deepEqual(hour, {
    calls: 1,
    errors: 1,
    cost: null,
    input: null,
    without_usage: 0,
    without_cost: 0,
    p50: 2,
    first: null,
  });
});

test('what evals ask and what replays do is kept apart from what a loop did', async () => {
  await store.insert('otel_traces', [
    call('origins', 0, USED),
    call('origins', 1, { ...USED, [A.runId]: '', [A.probe]: 'true' }),
    call('origins', 2, { ...USED, [A.runId]: '', [A.record]: 'replay.call' }),
    call('origins', 3, { ...USED, [A.runId]: '' }),
    span(4, { [A.loop]: 'origins', [A.record]: 'replay.effect' }),
    span(5, { [A.loop]: 'origins', [A.record]: 'replay.run', [A.verdictPass]: 'true' }),
  ]);
  assert.deepEqual(
    await store.query(
      "SELECT toString(origin) AS origin, sum(calls) AS calls FROM loopscope.calls_by_hour WHERE loop = 'origins' GROUP BY origin ORDER BY origin",
    ),
    ['none', 'probe', 'replay', 'run'].map((origin) => ({ origin, calls: 1 })),
  );
  assert.deepEqual(
    await store.query("SELECT 1 FROM loopscope.outcomes_by_minute WHERE loop = 'origins'"),
    [],
  );
});

test('runs, verdicts, effects and attempts count where they happened', async () => {
  await store.insert('otel_traces', [
    span(0, { ...of('counts'), [A.record]: 'run' }, { StatusCode: 'Error' }),
    span(0, { ...of('counts'), [A.record]: 'run', [A.outcome]: 'ok' }),
    span(70, { ...of('counts'), [A.record]: 'verdict', [A.verdictPass]: 'true' }),
    call('counts', 70, { [A.verdictPass]: 'false' }),
    span(70, { ...of('counts'), [A.record]: 'effect' }),
    span(70, { ...of('counts'), [A.record]: 'effect', [A.effectAccepted]: 'false' }),
    span(70, {
      ...of('counts'),
      [A.record]: 'attempt',
      [A.attemptTarget]: 'openai',
      [A.attemptOutcome]: 'retried',
    }),
  ]);
  assert.deepEqual(
    await store.query(
      `SELECT toString(minute) AS minute, sum(o.runs) AS runs, sum(o.runs_failed) AS failed, sum(o.verdicts) AS verdicts,
         sum(o.passes) AS passes, sum(o.effects) AS effects, sum(o.effects_rejected) AS rejected
       FROM loopscope.outcomes_by_minute AS o WHERE loop = 'counts' GROUP BY minute ORDER BY minute`,
    ),
    [
      { minute: '2026-01-01 12:00:00', runs: 2, failed: 1, verdicts: 0, passes: 0, effects: 0, rejected: 0 },
      { minute: '2026-01-01 12:01:00', runs: 0, failed: 0, verdicts: 2, passes: 1, effects: 2, rejected: 1 },
    ],
  );
  assert.deepEqual(
    await store.query(
      "SELECT toString(target) AS target, toString(outcome) AS outcome, attempts FROM loopscope.attempts_by_minute WHERE loop = 'counts'",
    ),
    [{ target: 'openai', outcome: 'retried', attempts: 1 }],
  );
});

const COUNTED: Partial<Record<(typeof TABLES)[number], string>> = {
  attempts_by_minute: 'sum(attempts)',
  outcomes_by_minute: 'sum(effects)',
  own_counts_by_5_minutes: 'sum(value)',
  own_gauges_by_5_minutes: 'argMaxMerge(value)',
};

test("the roles' own counts and gauges keep how far each got and how each stood, by five minutes", async () => {
  const reading = (instance: string, at: number, value: number, more: object = {}) => ({
    ResourceAttributes: { 'service.instance.id': instance },
    ServiceName: 'loopscope-gateway',
    MetricName: 'm',
    Attributes: { status: '200' },
    TimeUnix: Date.UTC(2026, 0, 1, 12, 0, at) / 1000,
    Value: value,
    ...more,
  });
  const readings = [
    reading('one', 0, 10),
    reading('one', 290, 30),
    reading('one', 310, 40),
    reading('two', 15, 5),
    reading('two', 15, 7, { Attributes: { status: '503' } }),
    reading('two', 15, 99, { ServiceName: 'somebody-else' }),
  ];
  await store.insert('otel_metrics_sum', readings);
  await store.insert('otel_metrics_gauge', [...readings, reading('one', 280, 50)]);
  const rows = (table: string, value: string) =>
    store.query(
      `SELECT toString(at) AS at, instance, attributes['status'] AS status, ${value} AS value
       FROM loopscope.${table} GROUP BY at, instance, series, status ORDER BY at, instance, status`,
    );
  const expected = [
    { at: '2026-01-01 12:00:00', instance: 'one', status: '200', value: 30 },
    { at: '2026-01-01 12:00:00', instance: 'two', status: '200', value: 5 },
    { at: '2026-01-01 12:00:00', instance: 'two', status: '503', value: 7 },
    { at: '2026-01-01 12:05:00', instance: 'one', status: '200', value: 40 },
  ];
  assert.deepEqual(await rows('own_counts_by_5_minutes', 'max(value)'), expected);
  assert.deepEqual(await rows('own_gauges_by_5_minutes', 'argMaxMerge(value)'), expected);
});

const everything = async () => {
  const sums: Record<string, unknown> = {};
  for (const table of TABLES) {
    const row = await one<{ n: number }>(
      `SELECT ${COUNTED[table] ?? 'sum(calls)'} AS n FROM loopscope.${table}`,
    );
    sums[table] = row.n;
  }
  return sums;
};

test('a block of spans that is inserted again under its token counts once', async () => {
  const block = [call('again', 0, USED), span(0, { ...of('again'), [A.record]: 'effect' })];
  const before = await everything();
  await store.insert('otel_traces', block, 'token-1');
  const once = await everything();
  assert.notDeepEqual(once, before);
  await store.insert('otel_traces', block, 'token-1');
  assert.deepEqual(await everything(), once);
});

test('spans from before the rollups are in them, once, however often the migration begins anew', async () => {
  const { statements } = readMigrations('loopscope').find(({ name }) => name === 'rollups')!;
  const sums = await everything();
  assert.ok(Object.values(sums).every((n) => Number(n) > 0));
  // As a migrator that was killed after its last statement leaves it.
  for (const sql of statements) await store.command(sql);
  assert.deepEqual(await everything(), sums);
  // And one whose database has spans and no rollups.
  for (const table of TABLES) {
    await store.command(`DROP VIEW loopscope.${table}_mv`);
    await store.command(`DROP TABLE loopscope.${table} SYNC`);
  }
  for (const sql of statements) await store.command(sql);
  assert.deepEqual(await everything(), sums);
  await store.insert('otel_traces', [call('later', 0, USED)]);
  assert.equal(((await callsOf('calls_by_hour', "loop = 'later'")) as { calls: number }).calls, 1);
});

test('a view and what fills its table from before are the same query', () => {
  const text = readFileSync(join(import.meta.dirname, '../../src/store/migrations/0015_rollups.sql'), 'utf8');
  const selects = (start: RegExp) =>
    [...text.matchAll(start)].map(([, table, select]) => `${table}: ${select}`).sort();
  const fills = selects(/INSERT INTO \{\{database\}\}\.(\w+)\n(SELECT[^;]+);/g);
  const views = selects(/TO \{\{database\}\}\.(\w+)\nAS (SELECT[^;]+);/g);
  assert.equal(views.length, TABLES.length);
  assert.deepEqual(fills, views);
});
