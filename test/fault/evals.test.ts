import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import { openStore } from '../../src/store/client.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { MortalProcess } from '../support/mortal-process.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import type { EvalsChildSettings } from './evals-child.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const clock = systemClock();
const log = pino({ level: 'silent' });
const T0 = Date.parse(`${new Date().toISOString().slice(0, 10)}T00:00:00Z`);
const RUNS = 450;
const KILLS = 3;

const scored = async (loop: string) => {
  const [row] = await server.store.query<{ scored: number; distinct: number }>(
    'SELECT count() AS scored, uniqExact(run_id) AS distinct FROM loopscope.eval_scores WHERE loop = {loop:String}',
    { loop },
  );
  return row!;
};
const play = (loop: string, n: number) =>
  insertRuns(
    server.store,
    Array.from({ length: n }, (_, i) => ({
      loop,
      run: `r-${i}`,
      at: T0 + i * 1000,
      input: 'q',
      output: 'yes',
    })),
  );

test('killed again and again in the middle of scoring, every run is scored exactly once and every job ends', async (t) => {
  const at = suiteFolder({
    's.yaml': `suite: killed\nloop: killed\ndataset: k\nsample: { runs_per_day: 5000 }\nscorer: { module: slow.ts }\nschedule: "* * * * * *"\n`,
  });
  t.after(() => at.remove());
  at.write(
    'suites/slow.ts',
    `import { setTimeout } from 'node:timers/promises';
     export default async () => { await setTimeout(4); return 1; };`,
  );
  at.write('g.jsonl', '{"input":"q","expected":"yes"}');
  await importGolden({ store: server.store, clock }, { path: join(at.directory, 'g.jsonl'), dataset: 'k' });
  await play('killed', RUNS);

  const evals = new MortalProcess<EvalsChildSettings>('../fault/evals-child.ts', {
    settings: join(at.directory, 'loopscope.yaml'),
    clickhouseUrl: server.url,
    port: 0,
  });
  t.after(() => evals.close());
  for (let kill = 0; kill < KILLS; kill++) {
    const before = (await scored('killed')).scored;
    assert.ok(before < RUNS, 'there is work left to be killed in');
    await evals.start();
    await until('it is in the middle of scoring', async () => (await scored('killed')).scored > before);
    await evals.kill();
  }
  await evals.start();
  await until('all are scored', async () => (await scored('killed')).distinct === RUNS, 15_000);
  const jobs = () =>
    server.store.query<{ ends: number; starts: number }>(
      `SELECT countIf(state != 'started') AS ends, countIf(state = 'started') AS starts
       FROM loopscope.eval_jobs WHERE suite = 'killed' GROUP BY due_at ORDER BY due_at`,
    );
  await until('the jobs that were cut off have ended', async () => {
    const rows = await jobs();
    return rows.filter((job) => job.ends === 0).length <= 1 && rows.some((job) => job.starts > 1);
  });
  await evals.kill();
  assert.deepEqual(await scored('killed'), { scored: RUNS, distinct: RUNS });
  assert.ok(
    (await jobs()).every((job) => job.ends <= 1),
    'no job ended twice',
  );
});

test('while ClickHouse is away the role says so, and goes on by itself when it is back', async (t) => {
  const at = suiteFolder({
    's.yaml': 'suite: gone\nloop: gone\ndataset: gone\nschedule: "* * * * * *"\n',
  });
  t.after(() => at.remove());
  at.write('g.jsonl', '{"input":"q","expected":"yes"}');
  await importGolden(
    { store: server.store, clock },
    { path: join(at.directory, 'g.jsonl'), dataset: 'gone' },
  );
  await play('gone', 3);
  // The same store, behind a door that can be shut.
  let isShut = true;
  const real = openStore({ url: server.url });
  const elsewhere = openStore({ url: 'http://127.0.0.1:1' });
  t.after(() => Promise.all([real.close(), elsewhere.close()]));
  const door = () => (isShut ? elsewhere : real);
  const store: typeof real = {
    ...real,
    query: (...query) => door().query(...query),
    insert: (...rows) => door().insert(...rows),
    ping: () => door().ping(),
  };
  const evals = await startEvals({ config: at.config, store, clock, log });
  t.after(() => evals.close());
  const readiness = async () => (await fetch(`${evals.url}/readyz`)).status;
  assert.equal(await readiness(), 503);
  await assert.rejects(evals.idle(), { code: 'store_unavailable' });
  isShut = false;
  await until('all are scored', async () => (await scored('gone')).scored === 3);
  assert.equal(await readiness(), 200);
});
