import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { drawForLabels } from '../../evals/labels/draw.ts';
import { label } from '../../evals/labels/label.ts';
import { successByLabels } from '../../evals/labels/success.ts';
import { waitingFor } from '../../evals/labels/waiting.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import type { LoopscopeError } from '../../src/errors.ts';
import { contentHash, inputHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { runSpanId, runTraceId } from '../../src/span/ids.ts';
import { appendDraw, labelQueue, lookedAt } from '../../src/store/label-queue.ts';
import { labelledRuns, scoresBesideLabels, standingLabels } from '../../src/store/labels.ts';
import { runContent } from '../../src/store/run-content.ts';
import { goldenScores, latestRuns } from '../../src/store/runs.ts';
import { insertScores, loopSeries } from '../../src/store/scores.ts';
import { insertRuns, type TestRun } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server?.close());

const T0 = Date.UTC(2026, 4, 4, 12);
const DAY_MS = 86_400_000;
let now = T0;
const clock = { ...systemClock(), now: () => now };
const context = () => ({ store: server.store, clock, config: loadConfig(undefined, {}) });

const insert = (loop: string, from: number, n: number, of: Partial<TestRun> = {}) =>
  insertRuns(
    server.store,
    Array.from({ length: n }, (_, i) => ({
      loop,
      run: `r-${from + i}`,
      at: T0 - DAY_MS + (from + i) * 1000,
      input: `q-${from + i}`,
      output: 'yes',
      pass: true,
      ...of,
    })),
  );
const draw = (loop: string, per_day: number, floor = 0.02) =>
  drawForLabels({ loop, labels: { per_day, floor } }, context());
const say = (loop: string, runId: string, rater: string, score: number | null, comment?: string) => {
  now += 1;
  return label({ store: server.store, clock }, { loop, runId, rater, score, comment });
};
const rowsOf = (loop: string) =>
  server.store.query<{ run_id: string; probability: number | null; budget_left: number }>(
    'SELECT run_id, probability, budget_left FROM loopscope.label_queue WHERE loop = {loop:String}',
    { loop },
  );

test('with fewer runs than labels, all runs are asked about, each once', async () => {
  await insert('few', 0, 4);
  await insertRuns(server.store, [{ loop: 'few', run: 'running', at: T0, output: 'yes', open: true }]);
  assert.deepEqual(await draw('few', 10), { considered: 4, chosen: 4 });
  assert.deepEqual(await draw('few', 10), { considered: 0, chosen: 0 });
  await insert('few', 4, 1);
  assert.deepEqual(await draw('few', 10), { considered: 1, chosen: 1 });
  const queue = await labelQueue(server.store, { loop: 'few' });
  assert.deepEqual(queue.map((entry) => [entry.run_id, entry.probability, entry.raters]).sort(), [
    ['r-0', 1, []],
    ['r-1', 1, []],
    ['r-2', 1, []],
    ['r-3', 1, []],
    ['r-4', 1, []],
  ]);
});

test('with more runs than labels, so many are chosen as the budget has, and what was passed over stays so', async () => {
  await insert('many', 0, 400);
  const first = await draw('many', 40);
  assert.equal(first.considered, 400);
  // 40 on average with a standard deviation below 6: outside this range once in 10⁷ hashes, and the hashes are fixed.
  assert.ok(first.chosen > 8 && first.chosen < 72, String(first.chosen));
  const rows = await rowsOf('many');
  assert.equal(rows.length, 400);
  assert.equal(rows.filter((row) => row.probability !== null).length, first.chosen);
  for (const { probability } of rows)
    if (probability !== null) assert.ok(Math.abs(probability - 0.1) < 1e-6, String(probability));
  // The budget is spent: new runs wait until half a day's labels are there again.
  await insert('many', 400, 100);
  now = T0 + 0.4 * DAY_MS;
  assert.deepEqual(await draw('many', 40), { considered: 0, chosen: 0 });
  now = T0 + 0.6 * DAY_MS;
  assert.equal((await draw('many', 40)).considered, 100);
  const spent = (await rowsOf('many')).find((row) => row.run_id === 'r-450');
  assert.equal(spent?.budget_left, 0);
  now = T0;
});

test('two that draw at the same time ask about a run once, and spend the budget once', async () => {
  await insert('twice', 0, 50);
  await Promise.all([draw('twice', 20), draw('twice', 20)]);
  const rows = await rowsOf('twice');
  assert.equal(new Set(rows.map((row) => row.run_id)).size, 50);
  assert.equal(rows.length, 50, 'the draws are the same, and stored once');
});

test('people are asked more where the checker was wrong', async () => {
  await insert('where', 0, 60);
  await insert('where', 60, 60, { pass: false });
  now = T0 - 5 * DAY_MS;
  assert.equal((await draw('where', 120)).chosen, 120);
  now = T0;
  for (let i = 0; i < 60; i++) {
    await say('where', `r-${i}`, 'ann', 1);
    await say('where', `r-${60 + i}`, 'ann', i % 2);
  }
  await insert('where', 120, 100);
  await insert('where', 220, 100, { pass: false });
  now = T0 + DAY_MS;
  await draw('where', 50);
  const probabilities = new Map(
    (await rowsOf('where')).map((row) => [Number(row.run_id.slice(2)), row.probability]),
  );
  const of = (from: number) =>
    Array.from({ length: 100 }, (_, i) => probabilities.get(from + i)).find((p) => typeof p === 'number');
  assert.ok(of(220)! > 2 * of(120)!, `${of(220)} and ${of(120)}`);
  now = T0;
});

test('a draw that is stored twice counts once, and of two racing draws the earlier stands', async () => {
  const runs = [{ runId: 'r', probability: 0.5 }];
  for (let i = 0; i < 2; i++)
    await appendDraw(server.store, { loop: 'race', at: T0, budgetLeft: 1, runs }, 'race-1');
  assert.equal((await rowsOf('race')).length, 1);
  await appendDraw(
    server.store,
    { loop: 'race', at: T0 + 1, budgetLeft: 1, runs: [{ runId: 'r', probability: 0.9 }] },
    'race-2',
  );
  await appendDraw(
    server.store,
    { loop: 'race', at: T0 + 1, budgetLeft: 1, runs: [{ runId: 'passed', probability: 0.9 }] },
    'race-3',
  );
  await appendDraw(
    server.store,
    { loop: 'race', at: T0, budgetLeft: 1, runs: [{ runId: 'passed', probability: null }] },
    'race-4',
  );
  const queue = await labelQueue(server.store, { loop: 'race' });
  assert.deepEqual(
    queue.map((entry) => [entry.run_id, entry.probability]),
    [['r', 0.5]],
  );
});

test('the newest label of a rater stands, a withdrawn one stands for nothing, and the run has their mean', async () => {
  await insert('mean', 0, 2);
  await draw('mean', 10);
  await say('mean', 'r-0', 'ann', 0, 'wrong');
  await say('mean', 'r-0', 'ann', 1, 'right after all');
  await say('mean', 'r-0', 'bob', 0.5);
  await say('mean', 'r-0', 'eve', 0);
  await say('mean', 'r-0', 'eve', null);
  await say('mean', 'r-1', 'eve', 0);
  await say('mean', 'r-1', 'eve', null);
  const labels = await standingLabels(server.store, { loop: 'mean' });
  assert.deepEqual(labels.map((l) => [l.run_id, l.rater, l.score, l.comment, l.probability]).sort(), [
    ['r-0', 'ann', 1, 'right after all', 1],
    ['r-0', 'bob', 0.5, '', 1],
  ]);
  assert.deepEqual(
    (await loopSeries(server.store, 'mean')).map((run) => run.score),
    [0.75, null],
  );
  assert.deepEqual(await labelledRuns(server.store, { loop: 'mean' }), [
    { loop: 'mean', runId: 'r-0', checkerPass: true, score: 0.75, probability: 1 },
  ]);
});

test('a label is the golden score where a suite scored the run too, and only of the runs that have one', async () => {
  await insert('both', 0, 3);
  const row = (run_id: string, score: number | null) => ({
    loop: 'both',
    suite: 's',
    run_id,
    item_id: '',
    dataset: 'd',
    dataset_version: 'v',
    scorer: 'text',
    score,
    error: score === null ? 'scorer_failed: no' : '',
    cost_usd: null,
    scored_at: T0,
  });
  await insertScores(server.store, [row('r-0', 1), row('r-1', 1), row('r-2', null)], 'both');
  await say('both', 'r-0', 'ann', 0.25);
  await say('both', 'r-2', 'ann', 0);
  assert.deepEqual(
    (await loopSeries(server.store, 'both')).map((run) => run.score),
    [0.25, 1, 0],
  );
  assert.deepEqual(
    (await latestRuns(server.store, { loop: 'both', limit: 3 })).map((run) => run.goldenScore),
    [0, 1, 0.25],
  );
  // The suite's own score stays what it is held against: where both spoke.
  assert.deepEqual(await scoresBesideLabels(server.store, { loop: 'both', suite: 's' }), [
    { runId: 'r-0', score: 1, label: 0.25, checkerPass: true },
  ]);
});

test('a question about one loop reads the labels and scores of that loop only', async () => {
  await server.store.command(
    `INSERT INTO loopscope.labels (loop, run_id, rater, score, labelled_at)
     SELECT 'many-' || toString(number % 100), toString(number), 'ann', 1, now64(3) FROM numbers(200000)`,
  );
  const plan = await server.store.query<{ explain: string }>(
    `EXPLAIN indexes = 1 SELECT * FROM (${goldenScores('loopscope')}) WHERE loop = 'many-7'`,
  );
  const text = plan.map((line) => line.explain).join('\n');
  const granules = [...text.matchAll(/Granules: (\d+)\/(\d+)/g)].find((match) => Number(match[2]) >= 20);
  assert.ok(granules, text);
  assert.ok(Number(granules[1]) <= 2, text);
});

test('the success rate of all runs is told by the labels, weighed for the chance they had', async () => {
  // The checker passes everything; one run in four is wrong, and so it is among those chosen.
  await insert('success', 0, 400);
  now = T0 + 2 * DAY_MS;
  assert.equal((await draw('success', 100)).considered, 400);
  const chosen = await labelQueue(server.store, { loop: 'success' });
  for (const { run_id } of chosen.slice(1))
    await say('success', run_id, 'ann', Number(run_id.slice(2)) % 4 > 0 ? 1 : 0);
  assert.equal(
    successByLabels(await lookedAt(server.store, 'success')),
    undefined,
    'one is not labelled yet',
  );
  const last = chosen[0]!.run_id;
  await say('success', last, 'ann', Number(last.slice(2)) % 4 > 0 ? 1 : 0);
  const success = successByLabels(await lookedAt(server.store, 'success'));
  assert.equal(success?.N, 400);
  assert.equal(success?.n, chosen.length);
  const wrong = chosen.filter(({ run_id }) => Number(run_id.slice(2)) % 4 === 0).length;
  assert.ok(Math.abs(success!.estimate - (1 - wrong / 0.25 / 400)) < 1e-6, String(success!.estimate));
  assert.ok(success!.low < 0.75 && success!.high > 0.75, JSON.stringify(success));
  now = T0;
});

test('what is no label of a run of the loop is refused', async () => {
  await insert('refuse', 0, 1);
  const refused = (code: string, message: RegExp) => (error: LoopscopeError) =>
    error.code === code && message.test(error.message);
  await assert.rejects(say('refuse', 'r-9', 'ann', 1), refused('not_found', /no run "r-9"/));
  await assert.rejects(say('other', 'r-0', 'ann', 1), refused('not_found', /Loop "other"/));
  await assert.rejects(say('refuse', 'r-0', 'ann', 1.5), refused('bad_input', /^score: /));
  await assert.rejects(
    say('refuse', 'r-0', 'a\u001b[2J', 1),
    refused('bad_input', /^rater: expected the name/),
  );
  await assert.rejects(say('refuse', 'r-0', 'ann', 1, 'x'.repeat(2_001)), refused('bad_input', /^comment: /));
  assert.deepEqual(await standingLabels(server.store, { loop: 'refuse' }), []);
});

test('a rater sees what nobody labelled first, then what waits for a second opinion', () => {
  const entry = (run_id: string, ...raters: string[]) => ({
    loop: 'l',
    run_id,
    probability: 1,
    asked_at: 0,
    raters,
  });
  const entries = [entry('one', 'ann'), entry('open'), entry('two', 'ann', 'bob'), entry('mine', 'eve')];
  const runs = (rater?: string) => waitingFor(rater, entries).map((e) => e.run_id);
  assert.deepEqual(runs('eve'), ['open', 'one']);
  assert.deepEqual(runs('ann'), ['open', 'mine']);
  assert.deepEqual(runs(), ['open', 'one', 'mine']);
});

test('of a run a rater gets to see what it was asked, answered and should have answered', async () => {
  const input = 'Is 7 prime?';
  const messages = ['{"role":"system","content":"Be brief."}', `{"role":"user","content":"${input}"}`];
  const contents = [input, 'yes', ...messages];
  await server.store.insert(
    'messages',
    contents.map((content) => ({ hash: contentHash(content), role: 'user', content })),
  );
  const spanOf = (run: string, more: Record<string, string>) => {
    const TraceId = runTraceId('shown', run);
    return {
      Timestamp: new Date(T0).toISOString(),
      TraceId,
      SpanId: runSpanId(TraceId),
      SpanAttributes: {
        [A.loop]: 'shown',
        [A.runId]: run,
        [A.record]: 'call',
        [A.agentRole]: 'maker',
        [A.inputHash]: inputHash(input),
        ...more,
      },
    };
  };
  await server.store.insert('otel_traces', [
    spanOf('text', { [A.inputTextHash]: contentHash(input), [A.outputTextHash]: contentHash('yes') }),
    spanOf('messages', { [A.inputMessageHashes]: JSON.stringify(messages.map(contentHash)) }),
    spanOf('hashed', { [A.inputTextHash]: contentHash('gone'), [A.outputTextHash]: contentHash('gone too') }),
  ]);
  const item = {
    item_id: 'i',
    input_hash: inputHash(input),
    input,
    expected: 'yes!',
    tags: [],
    dataset: 'shown',
  };
  await server.store.insert('golden_items', [
    { ...item, version: 'v1', expected: 'no', imported_at: new Date(T0).toISOString() },
    { ...item, version: 'v2', imported_at: new Date(T0 + 1).toISOString() },
  ]);
  const shown = async (runId: string, datasets: string[]) => {
    const run = await runContent(server.store, { loop: 'shown', runId, datasets });
    return run && [run.input, run.output, run.expected];
  };
  assert.deepEqual(await shown('text', ['shown']), [input, 'yes', 'yes!']);
  assert.deepEqual(await shown('messages', []), [messages.join('\n'), null, null]);
  assert.deepEqual(await shown('hashed', ['shown']), [null, null, 'yes!']);
  assert.equal(await shown('nowhere', ['shown']), undefined);
});
