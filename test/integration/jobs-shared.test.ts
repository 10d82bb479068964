import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import { startReceiver } from '../support/webhook-receiver.ts';

/** Evals processes that share a Redis, as parts of this one. */

const clock = systemClock();
const log = pino({ level: 'silent' });
const SUITES = ['shared-a', 'shared-b', 'shared-c', 'shared-d'];
const JOBS = 3;

test('each due job runs in one of the processes, one tells of alerts, and both go on when Redis was away', {
  skip: redisMissing,
}, async (t) => {
  const redis = await TestRedis.start();
  t.after(() => redis.close());
  const server = await startTestStore();
  t.after(() => server.close());
  const hook = await startReceiver(() => 204);
  t.after(() => hook.close());
  const at = suiteFolder(
    Object.fromEntries([
      ...SUITES.map((name) => [
        `${name}.yaml`,
        `suite: ${name}\nloop: ${name}\ndataset: d\nschedule: "* * * * * *"\n`,
      ]),
      ['lacking.yaml', 'suite: lacking\nloop: lacking\ndataset: nowhere\n'],
    ]),
    { webhooks: [hook.url], env: { LOOPSCOPE_REDIS_URL: redis.url } },
  );
  t.after(() => at.remove());
  at.write('g.jsonl', '{"input":"q","expected":"yes"}');
  const { store } = server;
  await importGolden({ store, clock }, { path: join(at.directory, 'g.jsonl'), dataset: 'd' });
  const hourAgo = clock.now() - 3_600_000;
  const run = (loop: string) => ({ loop, run: 'r-1', at: hourAgo, input: 'q', output: 'yes' });
  await insertRuns(store, [...SUITES, 'lacking'].map(run));
  await store.insert(
    'eval_jobs',
    [0, 1, 2, 3].map((quarter) => {
      const due_at = new Date(hourAgo - quarter * 900_000).toISOString();
      return { suite: 'lacking', due_at, at: due_at, state: 'failed', message: 'no golden data' };
    }),
  );
  const jobs = () =>
    store.query<{ suite: string; starts: number; ends: number; scored: number }>(
      `SELECT suite, countIf(state = 'started') AS starts, countIf(state != 'started') AS ends, sum(scored) AS scored
       FROM loopscope.eval_jobs WHERE suite != 'lacking' GROUP BY suite, due_at ORDER BY suite, due_at`,
    );
  const config = { ...at.config, evals: { ...at.config.evals, lease_s: 3 } };
  const evals = [
    await startEvals({ config, store, clock, log }),
    await startEvals({ config, store, clock, log }),
  ];
  t.after(() => Promise.all(evals.map((one) => one.close())));

  await until(
    'jobs of all suites came to their end',
    async () => {
      const over = (await jobs()).filter(({ ends }) => ends > 0);
      return SUITES.every((suite) => over.filter((job) => job.suite === suite).length >= JOBS);
    },
    30_000,
  );
  assert.ok(
    (await jobs()).every(({ starts, ends }) => starts === 1 && ends <= 1),
    'a job has one owner',
  );
  assert.equal(
    (await jobs()).reduce((sum, { scored }) => sum + scored, 0),
    SUITES.length,
  );
  await until('the alert is told', () => hook.taken().length > 0);

  await redis.kill();
  const readiness = async (url: string) => (await fetch(`${url}/readyz`)).status;
  for (const { url } of evals)
    await until('a process says that it has no queue', async () => (await readiness(url)) === 503);
  await redis.restart();
  for (const { url } of evals)
    await until('and that it has one again', async () => (await readiness(url)) === 200);
  const before = (await jobs()).length;
  await until('jobs run again', async () => (await jobs()).length > before + SUITES.length, 30_000);
  assert.equal(
    hook.taken().filter((message) => /"loop":"lacking"/.test(message.body)).length,
    1,
    'what was told before is not told again by the other',
  );
});
