import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import pino from 'pino';
import { startEvals } from '../../evals/evals.ts';
import { importGolden } from '../../evals/golden.ts';
import { runSuite } from '../../evals/score.ts';
import { loadSuites } from '../../evals/suite.ts';
import { systemClock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { contentHash, inputHash } from '../../src/records/normalize.ts';
import { lastJobs } from '../../src/store/jobs.ts';
import { loopSeries } from '../../src/store/scores.ts';
import { insertRuns, suiteFolder, type TestRun } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
const folders: ReturnType<typeof suiteFolder>[] = [];
before(async () => {
  server = await startTestStore();
});
after(async () => {
  await server.close();
  for (const folder of folders) folder.remove();
});

const clock = systemClock();
const log = pino({ level: 'silent' });
/** Today at noon, so that no test runs into the next day. */
const T0 = Date.parse(`${new Date().toISOString().slice(0, 10)}T12:00:00Z`);

const folder = (...args: Parameters<typeof suiteFolder>) => {
  const made = suiteFolder(...args);
  folders.push(made);
  return made;
};
const start = async (t: TestContext, config: Config) => {
  const evals = await startEvals({ config, store: server.store, clock, log });
  t.after(() => evals.close());
  return evals;
};
const golden = async (at: ReturnType<typeof suiteFolder>, dataset: string, items: Record<string, string>) => {
  at.write(
    'g.jsonl',
    Object.entries(items)
      .map(([input, expected]) => JSON.stringify({ input, expected }))
      .join('\n'),
  );
  return importGolden({ store: server.store, clock }, { path: join(at.directory, 'g.jsonl'), dataset });
};
const runs = (loop: string, n: number, of: (i: number) => Partial<TestRun>): TestRun[] =>
  Array.from({ length: n }, (_, i) => ({
    loop,
    run: `r-${i}`,
    at: T0 + i * 1000,
    input: 'q',
    output: 'yes',
    ...of(i),
  }));
const scoresOf = (loop: string) =>
  server.store.query<{ run_id: string; score: number | null; error: string }>(
    'SELECT run_id, score, error FROM loopscope.eval_scores WHERE loop = {loop:String} ORDER BY run_id',
    { loop },
  );
const jobsOf = (suite: string) =>
  server.store.query<{ due_at: string; state: string; scored: number; message: string }>(
    'SELECT due_at, state, scored, message FROM loopscope.eval_jobs WHERE suite = {suite:String} ORDER BY due_at, at',
    { suite },
  );

test('a suite scores runs that are over and meet an item, by its id or else by their input', async () => {
  const at = folder({ 's.yaml': 'suite: meet\nloop: meet\ndataset: meet\n' });
  await golden(at, 'meet', { 'Is 7 prime?': 'yes', 'Is 8 prime?': 'no' });
  const [eight] = await server.store.query<{ item_id: string }>(
    `SELECT item_id FROM loopscope.golden_items WHERE dataset = 'meet' AND expected = 'no'`,
  );
  await insertRuns(server.store, [
    { loop: 'meet', run: 'by-input', at: T0, input: ' Is 7  prime?', output: 'Yes' },
    {
      loop: 'meet',
      run: 'by-item',
      at: T0 + 1,
      input: 'something else',
      item: eight!.item_id,
      output: 'yes',
    },
    { loop: 'meet', run: 'item-unknown', at: T0 + 2, input: 'Is 8 prime?', item: 'x', output: 'no' },
    { loop: 'meet', run: 'unmatched', at: T0 + 3, input: 'other', output: 'yes' },
    { loop: 'meet', run: 'not-kept', at: T0 + 4, input: 'Is 7 prime?' },
    { loop: 'meet', run: 'running', at: clock.now(), input: 'Is 7 prime?', output: 'yes', open: true },
    {
      loop: 'meet',
      run: 'gone-quiet',
      at: clock.now() - 7_200_000,
      input: 'Is 7 prime?',
      output: 'no',
      open: true,
    },
  ]);
  const [suite] = loadSuites(at.directory);
  const context = { store: server.store, clock, config: at.config };
  assert.deepEqual(await runSuite(suite!, context), {
    scored: 4,
    errors: 1,
    unmatched: 1,
    overCap: 0,
    mean: 0.5,
    errorCodes: { content_missing: 1 },
  });
  assert.deepEqual(
    (await scoresOf('meet')).map((s) => [s.run_id, s.score, s.error.split(':')[0]]),
    [
      ['by-input', 1, ''],
      ['by-item', 0, ''],
      ['gone-quiet', 0, ''],
      ['item-unknown', 1, ''],
      ['not-kept', null, 'content_missing'],
    ],
  );
  // Again: nothing is scored twice, and errors are not tried for ever.
  assert.deepEqual(await runSuite(suite!, context), {
    scored: 0,
    errors: 0,
    unmatched: 1,
    overCap: 0,
    mean: undefined,
    errorCodes: {},
  });
  // Golden data that comes later still meets the recent run.
  await golden(at, 'meet', { 'Is 7 prime?': 'yes', 'Is 8 prime?': 'no', other: 'yes' });
  const later = await runSuite(suite!, context);
  assert.deepEqual([later.scored, later.unmatched], [1, 0]);
});

test('a suite that is given to another loop scores that loop too, also where run ids are the same', async () => {
  for (const loop of ['moved-from', 'moved-to']) {
    const at = folder({ 's.yaml': `suite: moved\nloop: ${loop}\ndataset: moved\n` });
    await golden(at, 'moved', { 'Is 7 prime?': 'yes' });
    await insertRuns(server.store, [{ loop, run: 'r-1', at: T0, input: 'Is 7 prime?', output: 'yes' }]);
    const [suite] = loadSuites(at.directory);
    await runSuite(suite!, { store: server.store, clock, config: at.config });
    assert.deepEqual(
      (await scoresOf(loop)).map((s) => s.score),
      [1],
    );
  }
});

test('a scorer that fails is an error that is counted, never a score of 0', async (t) => {
  const at = folder({
    's.yaml':
      'suite: wild\nloop: wild\ndataset: wild\nscorer: { module: wild.ts }\nschedule: "* * * * * *"\n',
    'wild.ts': `export default (output: string): number => {
      if (output === 'bad') throw new Error('cannot tell');
      return output === 'two' ? 2 : 0.75;
    };`,
  });
  await golden(at, 'wild', { q: 'yes' });
  await insertRuns(
    server.store,
    runs('wild', 9, (i) => ({ output: ['good', 'bad', 'two'][i % 3]! })),
  );
  const evals = await start(t, at.config);
  await until('all are looked at', async () => (await scoresOf('wild')).length === 9);
  const rows = await scoresOf('wild');
  assert.equal(rows.filter((r) => r.score === 0.75).length, 3);
  assert.equal(rows.filter((r) => r.score === null && /cannot tell/.test(r.error)).length, 3);
  assert.equal(rows.filter((r) => r.score === null && /scorer_invalid/.test(r.error)).length, 3);
  const metrics = await until('the counts are published', async () => {
    const text = await (await fetch(`${evals.url}/metrics`)).text();
    return text.includes('jobs_total{suite="wild",state="done"}') && text;
  });
  assert.match(metrics, /loopscope_evals_scores_total\{suite="wild"\} 3/);
  assert.match(metrics, /loopscope_evals_score_errors_total\{suite="wild",code="scorer_failed"\} 3/);
  assert.match(metrics, /loopscope_evals_score_errors_total\{suite="wild",code="scorer_invalid"\} 3/);
  const series = await loopSeries(server.store, 'wild');
  assert.deepEqual(
    series.map((o) => o.score),
    Array.from({ length: 9 }, (_, i) => (i % 3 === 0 ? 0.75 : null)),
  );
});

test('no more runs of a day are scored than the suite allows, and always the same ones', async () => {
  const chosen: string[][] = [];
  for (const loop of ['cap-a', 'cap-b']) {
    const at = folder({
      's.yaml': `suite: ${loop}\nloop: ${loop}\ndataset: cap\nsample: { runs_per_day: 10 }\n`,
    });
    await golden(at, 'cap', { q: 'yes' });
    // The outcomes differ between the loops; the choice does not.
    await insertRuns(
      server.store,
      runs(loop, 40, (i) => ({ output: loop === 'cap-a' || i % 2 ? 'yes' : 'no' })),
    );
    const context = { store: server.store, clock, config: at.config };
    const [suite] = loadSuites(at.directory);
    assert.equal((await runSuite(suite!, context)).scored, 10);
    await insertRuns(server.store, [{ loop, run: 'late', at: T0 + 99_000, input: 'q', output: 'yes' }]);
    assert.equal((await runSuite(suite!, context)).scored, 0);
    chosen.push((await scoresOf(loop)).map((s) => s.run_id));
  }
  assert.deepEqual(chosen[0], chosen[1]);
});

test('the series has the runs in order, with versions and verdicts, scored or not, and the mean over suites', async () => {
  const suite = (name: string, dataset: string) => `suite: ${name}\nloop: series\ndataset: ${dataset}\n`;
  const at = folder({ 'a.yaml': suite('series-a', 'ya'), 'b.yaml': suite('series-b', 'yb') });
  const { version } = await golden(at, 'ya', { q: 'yes' });
  await golden(at, 'yb', { q: 'no' });
  await insertRuns(server.store, [
    { loop: 'series', run: 'b', at: T0 + 2000, input: 'q', output: 'yes', model: 'm-2', pass: false },
    { loop: 'series', run: 'a', at: T0 + 1000, input: 'q', output: 'yes', pass: true },
    { loop: 'series', run: 'c', at: T0 + 3000, input: 'z', output: 'yes' },
    { loop: 'series', run: 'open', at: T0 + 4000, input: 'q', output: 'yes', open: true },
  ]);
  for (const s of loadSuites(at.directory))
    await runSuite(s, { store: server.store, clock, config: at.config });
  const unknown = { effects: 0, promptVersion: '', toolsVersion: '' };
  const held = { datasetVersion: `ya@${version}`, task: 'tiny' };
  const hashes = (input: string) => ({ inputHash: inputHash(input), outputHash: contentHash('yes') });
  assert.deepEqual(await loopSeries(server.store, 'series'), [
    {
      index: 0,
      runId: 'a',
      at: new Date(T0 + 1000).toISOString(),
      score: 0.5,
      checkerPass: true,
      servedModel: 'm-1',
      checkerVersion: 'parses@v1',
      ...unknown,
      ...held,
      ...hashes('q'),
    },
    {
      index: 1,
      runId: 'b',
      at: new Date(T0 + 2000).toISOString(),
      score: 0.5,
      checkerPass: false,
      servedModel: 'm-2',
      checkerVersion: 'parses@v1',
      ...unknown,
      ...held,
      ...hashes('q'),
    },
    {
      index: 2,
      runId: 'c',
      at: new Date(T0 + 3000).toISOString(),
      score: null,
      checkerPass: null,
      servedModel: 'm-1',
      checkerVersion: '',
      ...unknown,
      datasetVersion: '',
      task: '',
      ...hashes('z'),
    },
  ]);
});

test('jobs run when due, once each, across restarts; one that was cut off runs again; suites may come later', async (t) => {
  const at = folder({ 's.yaml': 'suite: tick\nloop: tick\ndataset: tick\nschedule: "* * * * * *"\n' });
  await golden(at, 'tick', { q: 'yes' });
  const cutOff = new Date(clock.now() - 3_600_000).toISOString().replace(/\.\d+Z/, '.000Z');
  await server.store.insert('eval_jobs', [{ suite: 'tick', due_at: cutOff, state: 'started', at: cutOff }]);
  for (let round = 0; round < 3; round++) {
    const evals = await start(t, at.config);
    await insertRuns(server.store, [
      { loop: 'tick', run: `r-${round}`, at: T0 + round, input: 'q', output: 'yes' },
    ]);
    const ended = (await jobsOf('tick')).filter((j) => j.state === 'done').length;
    await until('a job came to its end', async () => {
      const scored = await scoresOf('tick');
      return (
        scored.length === round + 1 && (await jobsOf('tick')).filter((j) => j.state === 'done').length > ended
      );
    });
    await evals.close();
  }
  const jobs = await jobsOf('tick');
  const done = jobs.filter((j) => j.state === 'done');
  assert.equal(new Set(done.map((j) => j.due_at)).size, done.length, 'no job was done twice');
  // The newest may have been cut off by the last close.
  const newest = jobs.at(-1)!.due_at;
  assert.ok(
    jobs.every((j) => j.due_at === newest || done.some((d) => d.due_at === j.due_at)),
    'no job was left undone',
  );
  assert.deepEqual(
    jobs.filter((j) => j.due_at === jobs[0]!.due_at).map((j) => j.state),
    ['started', 'started', 'done'],
  );
  assert.equal(
    done.reduce((sum, j) => sum + j.scored, 0),
    3,
  );

  const evals = await start(t, at.config);
  at.write('suites/late.yaml', 'suite: late\nloop: tick\ndataset: nowhere\n');
  const job = await until('the new suite ran', async () =>
    (await jobsOf('late')).find((j) => j.state !== 'started'),
  );
  assert.equal(job.state, 'failed');
  assert.match(job.message, /loopscope golden import FILE --dataset nowhere/);
  at.write('suites/late.yaml', 'suite: [\n');
  await until('the complaint is shown', async () => {
    const ready = await fetch(`${evals.url}/readyz`);
    const body = (await ready.json()) as { ready: boolean; warnings: string[] };
    return ready.status === 200 && /late\.yaml/.test(body.warnings[0] ?? '');
  });
  await evals.close();
  const last = await lastJobs(server.store);
  assert.equal(last.get('late')?.state, 'failed');
  assert.equal(last.get('tick')?.due_at, Date.parse(`${(await jobsOf('tick')).at(-1)!.due_at}Z`));
});

test('a suite that is slow holds up no other, and closing does not wait for it', async (t) => {
  const at = folder({
    'slow.yaml': 'suite: slow\nloop: slow\ndataset: slow\nscorer: { module: slow.ts }\n',
    'slow.ts': 'export default () => new Promise<number>(() => {});',
    'zz.yaml': 'suite: zz-quick\nloop: quick\ndataset: slow\n',
  });
  await golden(at, 'slow', { q: 'yes' });
  await insertRuns(server.store, [...runs('slow', 3, () => ({})), ...runs('quick', 3, () => ({}))]);
  const evals = await start(t, at.config);
  await until('the slow one is at work', async () => (await jobsOf('slow')).length > 0);
  await until('the quick one is done', async () => (await scoresOf('quick')).length === 3);
  const from = performance.now();
  await evals.close();
  assert.ok(performance.now() - from < 5_000);
  assert.deepEqual(await scoresOf('slow'), [], 'what was cut off is no error of the scorer');
});

test('told to stop at any of its reads, a suite comes to its end without another answer scored', {
  timeout: 20_000,
}, async () => {
  const at = folder({
    's.yaml': 'suite: stopped\nloop: stopped\ndataset: stopped\nscorer: { module: stuck.ts }\n',
    'stuck.ts': 'export default () => new Promise<number>(() => {});',
  });
  await golden(at, 'stopped', { q: 'yes' });
  await insertRuns(
    server.store,
    runs('stopped', 3, () => ({})),
  );
  const [suite] = loadSuites(at.directory);
  let stopAt = 0;
  let reads: number;
  do {
    stopAt++;
    reads = 0;
    const stopping = new AbortController();
    const query: typeof server.store.query = (...args) => {
      if (++reads === stopAt) stopping.abort();
      return server.store.query(...args);
    };
    const store = Object.assign(Object.create(server.store) as typeof server.store, { query });
    const { scored, errors } = await runSuite(suite!, {
      store,
      clock,
      config: at.config,
      signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(1_000)]),
    });
    assert.deepEqual([scored, errors], [0, 0]);
  } while (reads >= stopAt);
  assert.ok(stopAt > 4);
});

test('the role answers for its health, and refuses a port in use in one clear line', async (t) => {
  const at = folder({});
  const evals = await start(t, at.config);
  assert.equal(await (await fetch(`${evals.url}/healthz`)).text(), 'ok');
  assert.deepEqual(await (await fetch(`${evals.url}/readyz`)).json(), {
    ready: true,
    reasons: [],
    warnings: [],
  });
  const config = { ...at.config, evals: { ...at.config.evals, port: Number(new URL(evals.url).port) } };
  await assert.rejects(startEvals({ config, store: server.store, clock, log }), /LOOPSCOPE_EVALS_PORT/);
});
