import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MessageRows } from '../../collector/insert/messages.ts';
import { systemClock } from '../../src/clock.ts';
import { applyRetention, readRetention } from '../../src/store/retention.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

type TestStore = Awaited<ReturnType<typeof startTestStore>>;
let clickhouse: TestStore;

before(async () => {
  clickhouse = await startTestStore();
});
after(() => clickhouse?.close());

const DAY_MS = 86_400_000;
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString();

/** Rows of every table that has a lifetime, so many days old. */
async function insertAged(...ages: number[]): Promise<void> {
  const { store } = clickhouse;
  for (const age of ages) {
    const id = `age-${age}`;
    const at = daysAgo(age);
    await store.insert('otel_traces', [{ Timestamp: at, TraceId: id, SpanId: 's', SpanName: id }]);
    await store.insert('messages', [{ hash: id, role: 'user', content: id, stored_at: at.slice(0, 19) }]);
    await store.insert('otel_logs', [{ Timestamp: at, Body: id }]);
    await store.insert('otel_metrics_sum', [{ TimeUnix: at.slice(0, 19), MetricName: id }]);
  }
}

const COLUMN = {
  otel_traces: 'TraceId',
  otel_traces_trace_id_ts: 'TraceId',
  messages: 'hash',
  otel_logs: 'Body',
  otel_metrics_sum: 'MetricName',
};

/** What a table has once it has merged as far as it ever will. */
async function left(table: keyof typeof COLUMN): Promise<string[]> {
  const { store } = clickhouse;
  await until('the background work of an ALTER', async () => {
    const [{ n }] = (await store.query(
      'SELECT count() AS n FROM system.mutations WHERE NOT is_done AND table = {table:String}',
      { table },
    )) as [{ n: number }];
    return n === 0;
  });
  await store.command(`OPTIMIZE TABLE ${store.database}.${table} FINAL`);
  const rows = await store.query<{ id: string }>(
    `SELECT DISTINCT ${COLUMN[table]} AS id FROM ${store.database}.${table} ORDER BY id`,
  );
  return rows.map(({ id }) => id);
}

const inForce = async () =>
  Object.fromEntries((await readRetention(clickhouse.store)).map(({ table, days }) => [table, days]));

test('without a setting rows stay for ever, history that was imported too', async () => {
  await insertAged(1, 20, 1_200);
  assert.deepEqual(await applyRetention(clickhouse.store, {}), []);
  for (const table of Object.keys(COLUMN) as (keyof typeof COLUMN)[])
    assert.deepEqual(await left(table), ['age-1', 'age-1200', 'age-20'], table);
});

test('rows past their days go, also those that were there before the setting; the others stay', async () => {
  const days = { traces_days: 30, messages_days: 10, logs_days: 5 };
  const changed = await applyRetention(clickhouse.store, days);
  assert.deepEqual(changed, ['messages', 'otel_logs', 'otel_traces', 'otel_traces_trace_id_ts']);
  await insertAged(2, 21, 1_201);
  const month = ['age-1', 'age-2', 'age-20', 'age-21'];
  assert.deepEqual(await left('otel_traces'), month);
  assert.deepEqual(await left('otel_traces_trace_id_ts'), month);
  assert.deepEqual(await left('messages'), ['age-1', 'age-2']);
  assert.deepEqual(await left('otel_logs'), ['age-1', 'age-2']);
  assert.equal((await left('otel_metrics_sum')).length, 6, 'no setting, no end');
  const [{ runs }] = (await clickhouse.store.query(
    'SELECT count() AS runs FROM system.mutations WHERE is_done AND latest_fail_reason != {none:String}',
    { none: '' },
  )) as [{ runs: number }];
  assert.equal(runs, 0);
});

test('the same settings change nothing, others do, and none lifts them; an own TTL is left alone', async () => {
  const { store } = clickhouse;
  const days = { traces_days: 30, messages_days: 10, logs_days: 5 };
  assert.deepEqual(await applyRetention(store, days), []);
  assert.deepEqual(await applyRetention(store, { ...days, logs_days: 10_000 }), ['otel_logs']);
  assert.equal((await inForce())['otel_logs'], 10_000);
  assert.deepEqual(await left('otel_logs'), ['age-1', 'age-2'], 'a long time is not over');

  await store.command(
    `ALTER TABLE ${store.database}.otel_metrics_sum MODIFY TTL TimeUnix + toIntervalYear(9)`,
  );
  await applyRetention(store, {});
  assert.ok(Object.values(await inForce()).every((d) => d === undefined));
  const [table] = await store.query<{ engine_full: string }>(
    `SELECT engine_full FROM system.tables WHERE database = {db:String} AND name = 'otel_metrics_sum'`,
    { db: store.database },
  );
  assert.match(table!.engine_full, /toIntervalYear\(9\)/);
});

test('a message that is sent without end is inserted again after an hour, and so has a lifetime that goes on', () => {
  let now = 0;
  const rows = new MessageRows({ ...systemClock(), now: () => now });
  const message = { hash: 'h', role: 'user', content: 'c', traceId: 't' };
  const inserted: number[] = [];
  for (let minute = 0; minute <= 130; minute += 10) {
    now = minute * 60_000;
    if (rows.prepare([message]).length > 0) inserted.push(minute);
    rows.kept([message]);
  }
  assert.deepEqual(inserted, [0, 70]);
});

test('a message lives on from when it was last sent', async () => {
  const { store } = clickhouse;
  await applyRetention(store, { messages_days: 90 });
  for (const age of [91, 1])
    await store.insert('messages', [
      { hash: 'again', role: 'user', content: 'hello', stored_at: daysAgo(age).slice(0, 19) },
    ]);
  assert.ok((await left('messages')).includes('again'));
});
