import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { listAlerts } from '../../src/store/alerts.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import { isSigned, startReceiver } from '../support/webhook-receiver.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const clock = systemClock();
const log = pino({ level: 'silent' });
const T0 = Date.parse(`${new Date().toISOString().slice(0, 10)}T00:00:00Z`);

const receiver = async (t: TestContext, answer: Parameters<typeof startReceiver>[0]) => {
  const started = await startReceiver(answer);
  t.after(() => started.close());
  return started;
};
const folder = (t: TestContext, loop: string, webhooks: string[]) => {
  const made = suiteFolder(
    {
      's.yaml': `suite: ${loop}\nloop: ${loop}\ndataset: q\nsample: { runs_per_day: 5000 }\nschedule: "0 0 1 1 *"\n`,
    },
    { webhooks },
  );
  t.after(() => made.remove());
  made.write('g.jsonl', '{"input":"q","expected":"yes"}');
  return made;
};
const golden = (at: ReturnType<typeof suiteFolder>) =>
  importGolden({ store: server.store, clock }, { path: join(at.directory, 'g.jsonl'), dataset: 'q' });
const start = async (t: TestContext, config: Config) => {
  const evals = await startEvals({ config, store: server.store, clock, log });
  t.after(() => evals.close());
  return evals;
};
/** `n` runs from number `from` on: right nine times in ten, or half the time; the checker always passes. */
const play = (loop: string, from: number, n: number, model: 'good' | 'bad') =>
  insertRuns(
    server.store,
    Array.from({ length: n }, (_, i) => ({
      loop,
      run: `r-${String(from + i).padStart(5, '0')}`,
      at: T0 + (from + i) * 1000,
      input: 'q',
      output: i % (model === 'good' ? 10 : 2) === 0 ? 'no' : 'yes',
      model: `m-${model}`,
      pass: true,
    })),
  );
const rowsOf = (loop: string) =>
  server.store.query<{ state: string }>(
    'SELECT state FROM loopscope.alerts WHERE loop = {loop:String} ORDER BY at, state',
    { loop },
  );

test('a silent failure is one firing and one resolved alert, each told once and signed, whatever restarts', async (t) => {
  const loop = 'bump';
  const hook = await receiver(t, (n) => (n < 2 ? 503 : 204));
  const at = folder(t, loop, [hook.url]);
  await golden(at);

  await play(loop, 0, 300, 'good');
  let evals = await start(t, at.config);
  await evals.idle();
  assert.deepEqual(await listAlerts(server.store, { loop }), []);

  await play(loop, 300, 100, 'bad');
  await evals.idle();
  const [alert, ...others] = await listAlerts(server.store, { loop });
  assert.equal(others.length, 0);
  assert.equal(alert!.state, 'firing');
  assert.equal(alert!.kind, 'golden_drop');
  assert.deepEqual(alert!.cause, { dimension: 'model', from: 'm-good', to: 'm-bad' });
  assert.ok(Math.abs(alert!.change_at_run - 300) <= 15, String(alert!.change_at_run));
  assert.equal(alert!.resolved_at, null);

  // The receiver failed twice and then took it; the same message each time.
  assert.deepEqual(
    hook.received.map((r) => r.answered),
    [503, 503, 204],
  );
  assert.ok(hook.received.every((r) => isSigned(r, 'hook-secret')));
  assert.ok(!isSigned(hook.received[0]!, 'another'));
  assert.equal(new Set(hook.received.map((r) => r.headers['idempotency-key'])).size, 1);
  const body = JSON.parse(hook.received[2]!.body) as Record<string, unknown>;
  assert.deepEqual(body['alert'], alert);
  assert.deepEqual([body['loop'], body['kind'], body['state']], [loop, 'golden_drop', 'firing']);
  assert.match(String(body['text']), /model, from m-good to m-bad.*loopscope alerts --loop bump/);
  const metrics = await (await fetch(`${evals.url}/metrics`)).text();
  assert.match(metrics, /webhook_failures_total\{receiver="[^"?]*"\} 2/);
  assert.doesNotMatch(metrics, /token/);

  // A restart finds the same again and says nothing; more of the same is no news.
  await evals.close();
  evals = await start(t, at.config);
  await evals.idle();
  await play(loop, 400, 20, 'bad');
  await evals.idle();
  assert.equal(hook.taken().length, 1);
  assert.equal((await rowsOf(loop)).length, 1);

  await play(loop, 420, 300, 'good');
  await evals.idle();
  const [resolved] = await listAlerts(server.store, { loop });
  assert.equal(resolved!.state, 'resolved');
  assert.equal(resolved!.alert_id, alert!.alert_id);
  assert.ok(Date.parse(resolved!.resolved_at!) > T0 + 420_000);
  assert.deepEqual(
    hook.taken().map((r) => (JSON.parse(r.body) as { state: string }).state),
    ['firing', 'resolved'],
  );
  await evals.close();
  evals = await start(t, at.config);
  await evals.idle();
  assert.deepEqual(
    (await rowsOf(loop)).map((r) => r.state),
    ['firing', 'resolved'],
  );
  assert.equal(hook.taken().length, 2);
});

test('a receiver that is away delays neither scores nor other receivers, and gets its message after a restart', async (t) => {
  const loop = 'away';
  let isBack = false;
  const away = await receiver(t, () => (isBack ? 200 : 'hang'));
  const here = await receiver(t, () => 200);
  const at = folder(t, loop, [away.url, here.url]);
  await golden(at);
  await play(loop, 0, 200, 'good');
  await play(loop, 200, 100, 'bad');
  const first = await start(t, at.config);
  // It fires for bump's receivers no more than for these: only changes of the last days are owed to the new ones.
  const mine = (r: { body: string }) => (JSON.parse(r.body) as { loop: string }).loop === loop;
  const idle = first.idle().catch(() => {});
  await until('the one that is here is told', () => here.taken().some(mine));
  await until('the one that is away was tried', () => away.received.length > 0);
  await play(loop, 300, 5, 'bad');
  await until('scoring goes on', async () => {
    const [row] = await server.store.query<{ n: number }>(
      'SELECT count() AS n FROM loopscope.eval_scores WHERE loop = {loop:String}',
      { loop },
    );
    return row!.n === 305;
  });
  await first.close();
  await idle;

  isBack = true;
  const second = await start(t, at.config);
  await second.idle();
  assert.equal(away.taken().filter(mine).length, 1);
  assert.equal(here.taken().filter(mine).length, 1);
  const deliveries = await server.store.query<{ receiver: string }>(
    'SELECT receiver FROM loopscope.alert_deliveries ORDER BY receiver',
  );
  assert.ok(deliveries.every((d) => !d.receiver.includes('token')));
});

test('a loop whose scores stay as they are makes no alert', async (t) => {
  const loop = 'steady';
  const at = folder(t, loop, []);
  await golden(at);
  await play(loop, 0, 400, 'bad');
  const evals = await start(t, at.config);
  await evals.idle();
  assert.deepEqual(await listAlerts(server.store, { loop }), []);
});
