import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { importGolden } from '../../evals/golden.ts';
import { runSuite } from '../../evals/score.ts';
import { loadSuites, type Suite } from '../../evals/suite.ts';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { appendScores, scoreVersion } from '../../src/store/append-scores.ts';
import { openStore } from '../../src/store/client.ts';
import type { ScoreRow } from '../../src/store/scores.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';

/** A run gets one score of a suite, however many evaluators are at it. */

const SEED = Number(process.env['LOOPSCOPE_FUZZ_SEED'] ?? 20_261_127);
const clock = systemClock();
const T0 = Date.parse(`${new Date().toISOString().slice(0, 10)}T00:00:00Z`);
const RUNS = 250;

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const log = (name: string) => ({ loop: name, suite: name });
const row = (name: string, run: string, scoredAt: number): ScoreRow => ({
  ...log(name),
  run_id: run,
  item_id: '',
  dataset: 'd',
  dataset_version: 'v',
  scorer: 'exact',
  score: 1,
  error: '',
  cost_usd: null,
  scored_at: scoredAt,
});
const counts = async (loop: string) => {
  const [found] = await server.store.query<{ scores: number; runs: number }>(
    'SELECT count() AS scores, uniqExact(run_id) AS runs FROM loopscope.eval_scores WHERE loop = {loop:String}',
    { loop },
  );
  return found!;
};

test('evaluators that score one suite at once give each run one score, and count what they stored', async (t) => {
  const at = suiteFolder({
    's.yaml': 'suite: race\nloop: race\ndataset: race\nsample: { runs_per_day: 5000 }\n',
  });
  t.after(() => at.remove());
  at.write('g.jsonl', '{"input":"q","expected":"yes"}');
  await importGolden(
    { store: server.store, clock },
    { path: join(at.directory, 'g.jsonl'), dataset: 'race' },
  );
  await insertRuns(
    server.store,
    Array.from({ length: RUNS }, (_, i) => ({
      loop: 'race',
      run: `r-${i}`,
      at: T0 + i * 1000,
      input: 'q',
      output: 'yes',
    })),
  );
  const random = seededRandom(SEED);
  const evaluators = Array.from({ length: 4 }, () => {
    const store = openStore({ url: server.url });
    t.after(() => store.close());
    // Each is held up in front of some inserts, so that they overtake each other.
    const slow: typeof store = {
      ...store,
      insert: async (...rows) => {
        await clock.sleep(random() * 60);
        return store.insert(...rows);
      },
    };
    return slow;
  });
  const [suite] = loadSuites(at.directory) as [Suite];
  const results = await Promise.all(
    evaluators.map((store) => runSuite(suite, { store, clock, config: at.config })),
  );
  assert.deepEqual(await counts('race'), { scores: RUNS, runs: RUNS }, `seed ${SEED}`);
  assert.equal(
    results.reduce((sum, { scored }) => sum + scored, 0),
    RUNS,
    `seed ${SEED}`,
  );
});

test('of two who append to one version of the scores one is taken', async () => {
  const [a, b] = [row('one', 'r-1', T0), row('one', 'r-1', T0 + 1)];
  const version = await scoreVersion(server.store, log('one'));
  const both = await Promise.all(
    [a, b].map((r) => appendScores(server.store, log('one'), [r], { version, anew: false })),
  );
  assert.deepEqual(both.sort(), ['appended', 'overtaken']);
  assert.deepEqual(await counts('one'), { scores: 1, runs: 1 });
  // Whoever was held up since is too late as well.
  const late = await appendScores(server.store, log('one'), [row('one', 'r-1', T0 + 2)], {
    version,
    anew: false,
  });
  assert.equal(late, 'overtaken');
  assert.deepEqual(await counts('one'), { scores: 1, runs: 1 });
});

test('scores that were deleted can be made again', async () => {
  const append = (run: string, version: number, anew = false) =>
    appendScores(server.store, log('gone'), [row('gone', run, clock.now())], { version, anew });
  assert.equal(await append('r-1', 0), 'appended');
  await server.store.command(
    `ALTER TABLE loopscope.eval_scores DELETE WHERE loop = 'gone' SETTINGS mutations_sync = 2`,
  );
  assert.equal(await append('r-1', 0), 'refused');
  assert.equal(await append('r-1', 0, true), 'appended');
  assert.equal(await append('r-2', 0, true), 'overtaken');
  assert.deepEqual(await counts('gone'), { scores: 1, runs: 1 });
});
