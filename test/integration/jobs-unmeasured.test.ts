import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { type Alert, listAlerts } from '../../src/store/alerts.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import { startReceiver } from '../support/webhook-receiver.ts';

/** A suite that gives no scores when it should is an alert, once, until scores come again. */

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const clock = systemClock();
const log = pino({ level: 'silent' });
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const NOW = clock.now();

const suiteYaml = (name: string, scorer = 'text') =>
  `suite: ${name}\nloop: ${name}\ndataset: ${name}\nscorer: ${scorer}\n`;
const folder = (t: TestContext, name: string, webhooks: string[] = [], scorer?: string) => {
  const made = suiteFolder({ 's.yaml': suiteYaml(name, scorer) }, { webhooks });
  t.after(() => made.remove());
  made.write('g.jsonl', '{"input":"q","expected":"yes"}');
  return made;
};
const golden = (at: ReturnType<typeof suiteFolder>, dataset: string) =>
  importGolden({ store: server.store, clock }, { path: join(at.directory, 'g.jsonl'), dataset });
const start = async (t: TestContext, config: Config) => {
  const evals = await startEvals({ config, store: server.store, clock, log });
  t.after(() => evals.close());
  return evals;
};
/** Jobs that ended every quarter of an hour between `from` and `to`, ago. */
const jobs = (suite: string, from: number, to: number, end: object) =>
  server.store.insert(
    'eval_jobs',
    Array.from({ length: Math.floor((from - to) / (15 * MINUTE_MS)) + 1 }, (_, i) => {
      const due = Math.floor((NOW - from) / (15 * MINUTE_MS) + i) * 15 * MINUTE_MS;
      const at = new Date(due + 1_000).toISOString();
      return { suite, due_at: new Date(due).toISOString(), at, ...end };
    }),
  );
const runs = (loop: string, n: number, ago: number, input = 'q') =>
  insertRuns(
    server.store,
    Array.from({ length: n }, (_, i) => ({
      loop,
      run: `${ago}-${i}`,
      at: NOW - ago + i * 1_000,
      input,
      output: 'yes',
    })),
  );
const alertOf = async (loop: string, state: Alert['state']) => {
  const [alert, ...others] = await listAlerts(server.store, { loop });
  assert.equal(others.length, 0, 'one alert, and no other');
  return alert?.state === state ? alert : undefined;
};
const rowsOf = (loop: string) =>
  server.store.query<{ kind: string; state: string }>(
    'SELECT kind, state FROM loopscope.alerts WHERE loop = {loop:String} ORDER BY at, state',
    { loop },
  );

test('jobs that fail for lack of golden data are one alert, whoever looks, and over when scores come', async (t) => {
  const loop = 'lacking';
  const hook = await startReceiver(() => 204);
  t.after(() => hook.close());
  const at = folder(t, loop, [hook.url]);
  await jobs(loop, 3 * HOUR_MS, HOUR_MS / 2, { state: 'failed', message: 'no golden data.' });
  await runs(loop, 4, 2 * HOUR_MS);
  const evals = await start(t, at.config);
  const other = await start(t, { ...at.config, alerts: { ...at.config.alerts, webhooks: [] } });
  const alert = await until('it is told', () => alertOf(loop, 'firing'));
  assert.equal(alert.kind, 'unmeasured');
  const evidence = alert.evidence as Record<string, unknown>;
  assert.equal(evidence['reason'], 'jobs_failed');
  assert.equal(evidence['suite'], loop);
  assert.equal(evidence['runs_waiting'], 4);
  assert.equal(evidence['last_scored_at'], null);
  assert.ok(Date.parse(alert.change_at) <= NOW - 2 * HOUR_MS);
  await until('the receiver has it', () => hook.taken().length > 0);
  assert.match(
    String((JSON.parse(hook.taken()[0]!.body) as { text: string }).text),
    /Loop lacking is not measured: every job of suite lacking has failed since .*wait for a score: 4\..*loopscope golden list/,
  );
  await other.close();
  await evals.idle();
  assert.equal((await rowsOf(loop)).length, 1);

  await golden(at, loop);
  await evals.idle();
  const resolved = await until('it is over', () => alertOf(loop, 'resolved'));
  assert.equal(resolved.alert_id, alert.alert_id);
  assert.equal(resolved.evidence['resolved_because'], 'measured');
  await evals.idle();
  assert.deepEqual(
    hook.taken().map((message) => (JSON.parse(message.body) as { state: string }).state),
    ['firing', 'resolved'],
  );
  assert.deepEqual(
    (await rowsOf(loop)).map(({ state }) => state),
    ['firing', 'resolved'],
  );
});

test('a start after a long downtime says that nothing was measured, and then catches up', async (t) => {
  const loop = 'downtime';
  const at = folder(t, loop);
  await golden(at, loop);
  await jobs(loop, 6 * HOUR_MS, 5 * HOUR_MS, { state: 'done', scored: 1 });
  await runs(loop, 3, 3 * HOUR_MS);
  const evals = await start(t, at.config);
  const alert = await until('it is told', async () => (await listAlerts(server.store, { loop }))[0]);
  assert.equal(alert.evidence['reason'], 'not_run');
  assert.equal(alert.evidence['runs_waiting'], 3);
  assert.ok(Math.abs(Date.parse(alert.change_at) - (NOW - 5 * HOUR_MS)) < HOUR_MS);
  await evals.idle();
  await until('it is over', () => alertOf(loop, 'resolved'));
});

test('errors in place of all scores are told of', async (t) => {
  const loop = 'erring';
  const at = folder(t, loop, [], '{ module: wild.ts }');
  at.write('suites/wild.ts', `export default () => { throw new Error('cannot tell'); };`);
  await golden(at, loop);
  await jobs(loop, 3 * HOUR_MS, HOUR_MS / 2, { state: 'done', errors: 2 });
  await start(t, at.config);
  const alert = await until('it is told', () => alertOf(loop, 'firing'));
  assert.equal(alert.evidence['reason'], 'scores_failed');
});

test('a loop without runs is idle, one whose runs meet no item is not late, and a new suite gets its time', async (t) => {
  const idle = folder(t, 'no-runs');
  await golden(idle, 'no-runs');
  await jobs('no-runs', 6 * HOUR_MS, 5 * HOUR_MS, { state: 'done' });

  const other = folder(t, 'no-match');
  await golden(other, 'no-match');
  await jobs('no-match', 6 * HOUR_MS, 5 * HOUR_MS, { state: 'done' });
  await runs('no-match', 3, 3 * HOUR_MS, 'something else');

  const young = folder(t, 'young');
  await runs('young', 3, 3 * HOUR_MS);
  for (const at of [idle, other, young]) {
    const evals = await start(t, at.config);
    await evals.idle();
    await evals.close();
  }
  for (const loop of ['no-runs', 'no-match', 'young'])
    assert.deepEqual(await listAlerts(server.store, { loop }), [], loop);
});

test('the alert of a suite that was removed is over', async (t) => {
  const loop = 'removed';
  const at = folder(t, loop);
  await jobs(loop, 3 * HOUR_MS, HOUR_MS / 2, { state: 'failed', message: 'no golden data' });
  await runs(loop, 2, 2 * HOUR_MS);
  await start(t, at.config);
  await until('it is told', () => alertOf(loop, 'firing'));
  at.write('suites/s.yaml', suiteYaml('another'));
  const resolved = await until('it is over', () => alertOf(loop, 'resolved'));
  assert.equal(resolved.evidence['resolved_because'], 'removed');
});
