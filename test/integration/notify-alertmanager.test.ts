import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { type Alert, appendAlert } from '../../src/store/alerts.ts';
import { alertmanagerMissing, type Notified, TestAlertmanager } from '../support/alertmanager.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { alertOf } from '../support/notify.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import { startReceiver } from '../support/webhook-receiver.ts';

/** A real Alertmanager is told of what the evals role finds, whichever of the two is restarted. */

const clock = systemClock();
const log = pino({ level: 'silent' });
const T0 = Date.parse(`${new Date().toISOString().slice(0, 10)}T00:00:00Z`);
const WAIT_MS = 30_000;

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  if (!alertmanagerMissing) server = await startTestStore();
});
after(() => server?.close());

/** An Alertmanager, the pager behind it, and a folder whose evals tell of the loops that have `prefix`. */
async function fixture(t: TestContext, prefix: string) {
  const pager = await startReceiver(() => 200);
  t.after(() => pager.close());
  const alertmanager = await TestAlertmanager.start(pager.origin, ['cause']);
  t.after(() => alertmanager.close());
  const suites = [0, 1].map((i) => [
    `s${i}.yaml`,
    `suite: ${prefix}-${i}\nloop: ${prefix}-${i}\ndataset: q\nsample: { runs_per_day: 5000 }\nschedule: "0 0 1 1 *"\n`,
  ]);
  const at = suiteFolder(Object.fromEntries(suites));
  t.after(() => at.remove());
  at.write(
    'loopscope.yaml',
    `evals: { port: 0, detect_every_s: 0.2, run_idle_s: 3600 }
alerts:
  receivers: { am: { type: alertmanager, urls: ["${alertmanager.url}"], resend_s: 0.5 } }
  routes: [{ loop: "${prefix}-*", receivers: [am] }]
  default: []
  link_url: "https://grafana.example/d/loop?var-loop={loop}"
`,
  );
  const config = loadConfig(join(at.directory, 'loopscope.yaml'), {});
  at.write('g.jsonl', '{"input":"q","expected":"yes"}');
  const notified = () => pager.received.map((r) => JSON.parse(r.body) as Notified);
  const start = async () => {
    const evals = await startEvals({ config, store: server.store, clock, log });
    t.after(() => evals.close());
    return evals;
  };
  return { alertmanager, at, notified, start };
}

/** `n` runs of each loop from number `from` on: right nine times in ten, or half the time; the checker always passes. */
const play = (loops: readonly string[], from: number, n: number, model: 'good' | 'bad') =>
  insertRuns(
    server.store,
    loops.flatMap((loop) =>
      Array.from({ length: n }, (_, i) => ({
        loop,
        run: `r-${String(from + i).padStart(5, '0')}`,
        at: T0 + (from + i) * 1000,
        input: 'q',
        output: i % (model === 'good' ? 10 : 2) === 0 ? 'no' : 'yes',
        model: `m-${model}`,
        pass: true,
      })),
    ),
  );

const told = (notified: readonly Notified[], status: 'firing' | 'resolved') =>
  notified.flatMap(({ alerts }) => alerts.filter((alert) => alert.status === status));

test('silent failures of one cause arrive once, as one group, and get their resolve', {
  skip: alertmanagerMissing,
}, async (t) => {
  const { alertmanager, at, notified, start } = await fixture(t, 'fell');
  await importGolden({ store: server.store, clock }, { path: join(at.directory, 'g.jsonl'), dataset: 'q' });
  const loops = ['fell-0', 'fell-1'];
  await play(loops, 0, 200, 'good');
  let evals = await start();
  await evals.idle();
  assert.deepEqual(await alertmanager.alerts(), []);

  await play(loops, 200, 60, 'bad');
  await evals.idle();
  await until(
    'the pager to know both',
    () => new Set(told(notified(), 'firing').map((a) => a.labels['loop'])).size === 2,
    WAIT_MS,
  );
  const [shown] = await alertmanager.alerts();
  assert.equal(shown!.labels['alertname'], 'LoopscopeGoldenDrop');
  assert.equal(shown!.labels['severity'], 'page');
  assert.equal(shown!.labels['cause'], 'model: m-good -> m-bad');
  assert.match(
    shown!.annotations['summary']!,
    /^Loop fell-\d no longer does its work: its golden score fell from 0\.\d+ to 0\.\d+/,
  );
  for (const wanted of [
    /It began around 20/,
    /A false alarm comes at most once/,
    /What changed there: model, from m-good to m-bad\./,
  ])
    assert.match(shown!.annotations['description']!, wanted);
  assert.match(shown!.annotations['command']!, /^loopscope alerts --loop fell-\d$/);
  assert.match(shown!.generatorURL!, /^https:\/\/grafana\.example\/d\/loop\?var-loop=fell-\d$/);
  assert.ok(Date.parse(shown!.endsAt) > clock.now() + 240_000, 'it holds through a restart of ours');

  // Restarted, and told of the same again by reminders, nobody is notified twice.
  const before = notified().length;
  await evals.close();
  evals = await start();
  await evals.idle();
  const endsAt = (await alertmanager.alerts())[0]!.endsAt;
  await until('it is reminded', async () => (await alertmanager.alerts())[0]!.endsAt !== endsAt, WAIT_MS);
  assert.equal(notified().length, before);
  assert.deepEqual(
    new Set(notified().map(({ groupLabels }) => groupLabels['cause'])),
    new Set(['model: m-good -> m-bad']),
  );

  await play(loops, 260, 250, 'good');
  await evals.idle();
  await until(
    'the pager to know that both are over',
    () => new Set(told(notified(), 'resolved').map((a) => a.labels['loop'])).size === 2,
    WAIT_MS,
  );
  assert.equal(notified().at(-1)!.status, 'resolved');
  const metrics = await (await fetch(`${evals.url}/metrics`)).text();
  assert.match(metrics, /loopscope_evals_notifications_sent_total\{kind="alertmanager"\} 2\n/);
  const rows = await server.store.query<{ n: number }>(
    `SELECT count() AS n FROM loopscope.alert_deliveries WHERE receiver = 'am' AND receiver_kind = 'alertmanager'`,
  );
  assert.equal(rows[0]!.n, 4, 'reminders leave no rows');
});

test('with Alertmanager away, killed or upgraded, and evals restarted, nothing is lost', {
  skip: alertmanagerMissing,
}, async (t) => {
  const { alertmanager, notified, start } = await fixture(t, 'away');
  const raise = (loop: string, given: Partial<Alert> = {}) => {
    const now = new Date().toISOString();
    const alert = { ...alertOf(loop), alert_id: `am-${loop}`, started_at: now, change_at: now, ...given };
    return appendAlert(server.store, { alert, at: clock.now() });
  };
  const firing = (loop: string) => told(notified(), 'firing').some(({ labels }) => labels['loop'] === loop);
  const resolved = (loop: string) =>
    told(notified(), 'resolved').some(({ labels }) => labels['loop'] === loop);
  let evals = await start();
  await raise('away-first');
  await until('the first is told', () => firing('away-first'), WAIT_MS);

  // Raised while it is dead; evals restarted meanwhile.
  await alertmanager.kill();
  await raise('away-second');
  await until(
    'it was tried',
    async () =>
      /notifications_failed_total\{kind="alertmanager"\} \d/.test(
        await (await fetch(`${evals.url}/metrics`)).text(),
      ),
    WAIT_MS,
  );
  await evals.close();
  evals = await start();
  await alertmanager.restart();
  await until('the second is told', () => firing('away-second'), WAIT_MS);
  await until(
    'it is reminded of the first, which it forgot',
    async () => (await alertmanager.alerts()).some(({ labels }) => labels['loop'] === 'away-first'),
    WAIT_MS,
  );

  // Over while it is upgraded: it kept note of whom it notified, and so tells them.
  await alertmanager.stop();
  const over = {
    state: 'resolved',
    evidence: { ...alertOf('x').evidence, recovered_at: new Date().toISOString() },
  } as const;
  await raise('away-first', over);
  await raise('away-second', over);
  await evals.close();
  await start();
  await alertmanager.restart();
  await until('both are over', () => resolved('away-first') && resolved('away-second'), WAIT_MS);
  const deliveries = await server.store.query<{ alert_id: string; state: string }>(
    `SELECT alert_id, state FROM loopscope.alert_deliveries WHERE alert_id LIKE 'am-away-%' ORDER BY alert_id, delivered_at`,
  );
  assert.deepEqual(
    deliveries.map(({ alert_id, state }) => `${alert_id} ${state}`),
    ['am-away-first firing', 'am-away-first resolved', 'am-away-second firing', 'am-away-second resolved'],
  );
});
