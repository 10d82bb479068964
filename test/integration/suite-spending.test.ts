import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { importGolden } from '../../evals/golden.ts';
import { runSuite, type SuiteResult } from '../../evals/score.ts';
import { loadSuites } from '../../evals/suite.ts';
import { systemClock } from '../../src/clock.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { judgeSays } from '../support/judge.ts';
import { json, type ScriptedProvider, startScriptedProvider } from '../support/scripted-provider.ts';
import { startTestStore } from '../support/store.ts';

/** What a judge may cost in a day is spent, and no more. */

const clock = systemClock();
const RUNS = 12;
let server: Awaited<ReturnType<typeof startTestStore>>;
let provider: ScriptedProvider;
before(async () => {
  server = await startTestStore();
  // A thousand tokens in and a hundred out, see judgeSays.
  provider = await startScriptedProvider(judgeSays({ reason: 'right', score: 1 }));
});
after(async () => {
  await provider.close();
  await server.close();
});
beforeEach(() => {
  provider.requests.length = 0;
});

/** With these prices an answer of the judge costs 0.01 USD. */
const PRICES = 'prices: [{ model: "house-*", input_usd_per_mtok: 5, output_usd_per_mtok: 50 }]\n';

/** Scores runs of a loop with a suite, as often as it is called. */
async function suiteOf(loop: string, settings: string, prices = PRICES): Promise<() => Promise<SuiteResult>> {
  const judge = `scorer: { judge: { model: house-1, base_url: "${provider.url}/v1", rubric: "1 where it is right" } }`;
  const at = suiteFolder(
    { 's.yaml': `suite: ${loop}\nloop: ${loop}\ndataset: ${loop}\n${judge}\n${settings}` },
    { extra: prices },
  );
  after(() => at.remove());
  at.write('g.jsonl', '{"input":"q","expected":"yes"}');
  await importGolden({ store: server.store, clock }, { path: join(at.directory, 'g.jsonl'), dataset: loop });
  await insertRuns(
    server.store,
    Array.from({ length: RUNS }, (_, i) => ({
      loop,
      run: `r-${i}`,
      at: Date.now() - 3_600_000 + i,
      input: 'q',
      output: `yes ${i}`,
    })),
  );
  const [suite] = loadSuites(at.directory);
  return () => runSuite(suite!, { store: server.store, clock, config: at.config });
}

const costs = async (loop: string) => {
  const [row] = await server.store.query<{ n: number; sum: number | null; unknown: number }>(
    `SELECT count() AS n, sum(cost_usd) AS sum, countIf(cost_usd IS NULL) AS unknown
     FROM loopscope.eval_scores WHERE loop = {loop:String}`,
    { loop },
  );
  return row!;
};

test('a suite stops where the next score could take the day over its cap, now and when it is run again', async () => {
  const run = await suiteOf('capped', 'cost_usd_per_day: 0.055\n');
  const first = await run();
  assert.deepEqual([first.scored, first.errors, first.overCap], [5, 0, RUNS - 5]);
  assert.equal(provider.requests.length, 5);
  const again = await run();
  assert.equal(again.scored, 0);
  assert.equal(provider.requests.length, 5);
  const { n, sum } = await costs('capped');
  assert.deepEqual([n, Math.round(sum! * 1000)], [5, 50]);
});

test('without a cap all is scored, and what it cost is kept with the scores', async () => {
  const run = await suiteOf('uncapped', '');
  const { scored, overCap } = await run();
  assert.deepEqual([scored, overCap], [RUNS, 0]);
  assert.equal(Math.round((await costs('uncapped')).sum! * 1000), RUNS * 10);
});

test('an answer that gave no score is paid as well', async () => {
  const run = await suiteOf('paid', 'cost_usd_per_day: 0.035\n');
  const none = judgeSays('no verdict');
  provider.next(none, none);
  const { scored, errors } = await run();
  assert.deepEqual(
    [scored, errors],
    [0, 1],
    'two answers for the first run, and the next could cost as much',
  );
  assert.equal(provider.requests.length, 2);
});

test('a cap with a price that nobody knows is refused before anything is paid', async () => {
  const run = await suiteOf('unpriced', 'cost_usd_per_day: 1\n', '');
  await assert.rejects(run(), { code: 'cost_unknown', message: /house-1.*prices/ });
  assert.equal(provider.requests.length, 0);
  const uncapped = await suiteOf('unpriced-uncapped', '', '');
  assert.equal((await uncapped()).scored, RUNS);
  assert.deepEqual(await costs('unpriced-uncapped'), { n: RUNS, sum: null, unknown: RUNS });
});

test('a judge that cannot be reached costs nothing', async () => {
  const run = await suiteOf('away', 'cost_usd_per_day: 0.055\n');
  provider.next(json({ error: { message: 'no' } }, 400));
  const { scored, errors } = await run();
  assert.deepEqual([scored, errors], [5, 1]);
});
