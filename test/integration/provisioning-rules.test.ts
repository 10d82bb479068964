import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { A } from '../../src/span/attributes.ts';
import { appendAlert } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import { alertRules, firing, queryAsGrafana, ruleSql } from '../support/alert-rules.ts';
import { startTestStore } from '../support/store.ts';

/** Fixed, so that every rule looks at the same hours. */
const NOW = Date.UTC(2026, 8, 30, 12);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let server: Awaited<ReturnType<typeof startTestStore>>;
let store: Store;
before(async () => {
  server = await startTestStore();
  store = server.store;
  for (const loop of ['silent', 'loud', 'healed', 'retiring', 'calm', 'unmeasured', 'spender'])
    await store.insert('registry_versions', [
      {
        loop,
        version: 'v1',
        content: JSON.stringify({ loop, owner: `owner of ${loop}` }),
        seen_at: iso(DAY),
      },
    ]);
});
after(() => server?.close());

const iso = (agoMs: number) => new Date(NOW - agoMs).toISOString();

/** What a rule fires for. */
async function fires(uid: string): Promise<Record<string, string>[]> {
  const rule = alertRules().find((one) => one.uid === uid);
  assert.ok(rule, uid);
  return firing(rule, await queryAsGrafana(server.url, ruleSql(rule, NOW)));
}

let spans = 0;
const span = (agoMs: number, loop: string, attributes: Record<string, string>, more: object = {}) => ({
  Timestamp: iso(agoMs),
  TraceId: loop.padEnd(32, '0'),
  SpanId: String(++spans).padStart(16, '0'),
  ServiceName: 'loopscope',
  SpanAttributes: { [A.loop]: loop, [A.runId]: `${loop}-${spans}`, ...attributes },
  Duration: 1_000_000_000,
  StatusCode: 'Unset',
  ...more,
});

const run = (agoMs: number, loop: string, pass: boolean) =>
  span(agoMs, loop, { [A.record]: 'run', [A.verdictPass]: String(pass) });

const call = (
  agoMs: number,
  loop: string,
  costUsd: number,
  more: Record<string, string> = {},
  error = false,
) =>
  span(
    agoMs,
    loop,
    {
      [A.record]: 'call',
      [A.provider]: 'openai',
      [A.requestModel]: 'gpt-4.1',
      [A.costUsd]: String(costUsd),
      ...more,
    },
    error ? { StatusCode: 'Error' } : {},
  );

const alert = (loop: string, kind: string, state: 'firing' | 'resolved', agoMs: number, evidence = {}) =>
  appendAlert(store, {
    at: NOW - agoMs,
    alert: {
      alert_id: `${loop}/${kind}`,
      loop,
      kind,
      state,
      started_at: iso(2 * HOUR),
      change_at: iso(3 * HOUR),
      change_at_run: 100,
      resolved_at: null,
      cause: null,
      evidence,
    },
  });

const reading = (role: string, metric: string, agoMs: number, value: number) => ({
  ResourceAttributes: { 'service.instance.id': `${role}-1` },
  ServiceName: `loopscope-${role}`,
  MetricName: metric,
  TimeUnix: Math.floor((NOW - agoMs) / 1000),
  Value: value,
});

test('every rule gives text and one number to whoever reads dashboards, and fires for nothing where nothing is', async () => {
  const rules = alertRules();
  assert.equal(rules.length, 8);
  for (const rule of rules) {
    const table = await queryAsGrafana(server.url, ruleSql(rule, NOW));
    const { columns } = table;
    const numbers = columns.filter(({ type }) => /^(Nullable\()?(U?Int|Float)\d+\)?$/.test(type));
    assert.deepEqual(
      numbers.map(({ name }) => name),
      ['value'],
      rule.uid,
    );
    for (const { name, type } of columns)
      assert.ok(
        name === 'value' || /^(LowCardinality\()?String\)?$/.test(type),
        `${rule.uid}: ${name} is ${type}`,
      );
    assert.deepEqual(firing(rule, table), [], rule.uid);
  }
});

test('a loop that fails while its checker passes is one page, whatever else its change moved; no other loop is any', async () => {
  await store.insert('otel_traces', [
    ...[30, 60, 90].map((ago) => run(ago * MINUTE, 'silent', true)),
    // What it did before the change says nothing.
    ...[30, 60, 90].map((ago) => run(DAY + ago * MINUTE, 'silent', false)),
    ...[30, 60, 90].map((ago) => run(ago * MINUTE, 'loud', false)),
    ...['healed', 'calm', 'retiring'].flatMap((loop) => [30, 60].map((ago) => run(ago * MINUTE, loop, true))),
  ]);
  await alert('silent', 'golden_drop', 'firing', 2 * HOUR);
  await alert('silent', 'no_effect', 'firing', HOUR);
  await alert('loud', 'golden_drop', 'firing', 2 * HOUR);
  await alert('healed', 'golden_drop', 'firing', 2 * HOUR);
  await alert('healed', 'golden_drop', 'resolved', HOUR);
  await alert('calm', 'unmeasured', 'firing', HOUR);
  await alert('retiring', 'checker_drift', 'firing', HOUR);
  assert.deepEqual(await fires('loopscope-silent-failure'), [{ loop: 'silent', owner: 'owner of silent' }]);
  await alert('silent', 'golden_drop', 'resolved', 0);
  await alert('silent', 'no_effect', 'resolved', 0);
  assert.deepEqual(await fires('loopscope-silent-failure'), []);
});

test('a model that retires is told of within the month, once, and one that is gone too', async () => {
  const evidence = (model: string, retires_at: string | null) => ({ reason: 'retires', model, retires_at });
  await alert('retiring', 'model_retired', 'firing', HOUR, evidence('gpt-4.1-2025-04-14', '2026-10-14'));
  await alert('calm', 'model_retired', 'firing', HOUR, evidence('far', '2026-12-14'));
  await alert('loud', 'model_retired', 'firing', HOUR, evidence('gone', null));
  const fired = (await fires('loopscope-retirement')).sort((a, b) => a['loop']!.localeCompare(b['loop']!));
  assert.deepEqual(fired, [
    { loop: 'loud', owner: 'owner of loud', model: 'gone', retires_at: '' },
    { loop: 'retiring', owner: 'owner of retiring', model: 'gpt-4.1-2025-04-14', retires_at: '2026-10-14' },
  ]);
});

test('a registered loop that runs and is measured by nobody is a ticket', async () => {
  const scored = (loop: string, agoMs: number) => ({
    loop,
    suite: 's',
    run_id: `${loop}-scored`,
    score: 1,
    scored_at: iso(agoMs),
  });
  await store.insert('otel_traces', [
    run(HOUR, 'unmeasured', true),
    run(HOUR, 'unregistered', true),
    run(40 * HOUR, 'spender', true), // not of the last day
  ]);
  await store.insert('eval_scores', [
    ...['silent', 'loud', 'retiring'].map((loop) => scored(loop, DAY)),
    scored('unmeasured', 8 * DAY),
    { ...scored('unmeasured', DAY), score: null, error: 'timeout' },
  ]);
  await store.insert('labels', [
    { loop: 'healed', run_id: 'r', rater: 'ann', score: 1, withdrawn: 0, labelled_at: iso(DAY) },
  ]);
  // `calm` is told of by Loopscope itself.
  assert.deepEqual(await fires('loopscope-unmeasured'), [
    { loop: 'unmeasured', owner: 'owner of unmeasured' },
  ]);
});

test('a loop that costs three times what it did is a ticket; probes and replays are no cost of it', async () => {
  const days = [2, 3, 4, 5, 6, 7];
  await store.insert('otel_traces', [
    ...days.map((day) => call(day * DAY, 'spender', 1)),
    call(HOUR, 'spender', 4),
    ...days.map((day) => call(day * DAY, 'calm', 1)),
    call(HOUR, 'calm', 2),
    call(HOUR, 'calm', 50, { [A.probe]: 'true', [A.runId]: '' }),
    call(HOUR, 'calm', 50, { [A.record]: 'replay.call', [A.runId]: '' }),
    ...days.map((day) => call(day * DAY, 'loud', 0.01)),
    call(HOUR, 'loud', 0.5), // many times as much, and still nothing
  ]);
  assert.deepEqual(await fires('loopscope-spend'), [{ loop: 'spender', owner: 'owner of spender' }]);
});

test('a collector that is behind, a role that fell silent and jobs that start late are told of by name', async () => {
  const oldest = 'loopscope_collector_spool_oldest_unsent_seconds';
  await store.insert('otel_metrics_gauge', [
    reading('collector', oldest, 4 * MINUTE, 20),
    reading('collector', oldest, MINUTE, 700),
    reading('evals', 'loopscope_evals_series_watched', 20 * MINUTE, 1),
    reading('gateway', 'loopscope_gateway_open_runs', 10_000, 1),
  ]);
  assert.deepEqual(await fires('loopscope-collector-lag'), [{ instance: 'collector-1' }]);
  assert.deepEqual(await fires('loopscope-role-silent'), [{ role: 'evals' }]);
  const job = (suite: string, dueAgoMs: number, lateMs: number) => ({
    suite,
    due_at: iso(dueAgoMs),
    at: iso(dueAgoMs - lateMs),
    state: 'started',
  });
  await store.insert('eval_jobs', [
    job('late', 12 * MINUTE, 0),
    job('late', 11 * MINUTE, 10 * MINUTE),
    job('caught-up', 14 * MINUTE, 10 * MINUTE),
    job('caught-up', 3 * MINUTE, 0),
  ]);
  assert.deepEqual(await fires('loopscope-evals-late'), [{ suite: 'late' }]);
});

test('a provider whose calls fail is a page from twenty calls on', async () => {
  const calls = (provider: string, n: number, errors: number) =>
    Array.from({ length: n }, (_, i) => call(5 * MINUTE, 'calm', 0, { [A.provider]: provider }, i < errors));
  await store.insert('otel_traces', [
    ...calls('down', 20, 10),
    ...calls('fine', 20, 2),
    ...calls('rare', 5, 5),
  ]);
  assert.deepEqual(await fires('loopscope-gateway-errors'), [{ provider: 'down' }]);
});
