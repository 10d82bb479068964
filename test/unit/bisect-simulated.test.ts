import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Bisected, type BisectOptions, bisect, ERROR } from '../../src/replay/bisect/bisect.ts';
import { DIMENSIONS, type Dimension, type Variant } from '../../src/replay/bisect/trial.ts';
import { type Rates, simulatedLoop } from '../support/simulated-loop.ts';
import { replaysOfTryingAll } from '../support/try-all.ts';

/** Bisect on loops of which the truth is known: what it says, how often it is right, and what it takes. */
const SEEDS = process.env['LOOPSCOPE_LONG'] ? 400 : 100;
const RIGHT_MIN = 0.95;

const FALLS = [
  { before: 0.84, after: 0.5, replaysMax: 600 },
  { before: 0.9, after: 0.7, replaysMax: 1_000 },
];

/** Replays that are enough, of those that trying all takes. */
const FEWER = 0.6;
const REFERENCE_SEEDS = 12;

/** Replays on average to try every change of such a loop. */
async function reference(rates: Rates, t: TestContext): Promise<number> {
  let replays = 0;
  for (let seed = 1; seed <= REFERENCE_SEEDS; seed++) {
    const { changes, trial } = simulatedLoop(rates, seed);
    replays += await replaysOfTryingAll(changes, trial, { seed, error: ERROR, replaysMax: 10_000 });
  }
  t.diagnostic(`trying all takes ${Math.round(replays / REFERENCE_SEEDS)} replays`);
  return replays / REFERENCE_SEEDS;
}

/** Bisects a loop a seed and gives what came out, how often, with the mean number of replays. */
async function campaign(
  rates: Rates,
  options: Partial<BisectOptions> & { only?: readonly Dimension[] } = {},
) {
  const said = new Map<string, number>();
  let replays = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { trial, changes } = simulatedLoop(rates, seed);
    const result = await bisect({
      trial,
      changes: changes.filter(({ dimension }) => options.only?.includes(dimension) ?? true),
      items: 100,
      measures: ['golden'],
      seed,
      replaysMax: 600,
      ...options,
    });
    const words = inWords(result);
    said.set(words, (said.get(words) ?? 0) + 1);
    replays += result.trials.replays;
  }
  return { said, replays: replays / SEEDS };
}

const inWords = ({ outcome, culprits }: Bisected) =>
  [outcome, ...culprits.map(({ dimension, history }) => `${dimension}:${history.join('>')}`)].join(' ');

function expectMostly(
  t: TestContext,
  { said, replays }: Awaited<ReturnType<typeof campaign>>,
  isRight: (words: string) => boolean,
) {
  const right = [...said].reduce((sum, [words, n]) => sum + (isRight(words) ? n : 0), 0);
  t.diagnostic(
    `${right} of ${SEEDS} right, ${Math.round(replays)} replays on average; ${JSON.stringify(Object.fromEntries(said))}`,
  );
  assert.ok(right >= RIGHT_MIN * SEEDS, `seeds 1 to ${SEEDS}: ${JSON.stringify([...said])}`);
}

const isNothing = (words: string) => !/^(one|together|more)/.test(words);

for (const { before, after, replaysMax } of FALLS) {
  const fallsBy = (isBad: (variant: Variant) => boolean): Rates => ({
    golden: (variant) => (isBad(variant) ? after : before),
  });
  for (const dimension of DIMENSIONS)
    test(`a ${dimension} that makes .${before * 100} of .${after * 100} is named`, async (t) => {
      const rates = fallsBy((variant) => variant[dimension] === 'bad');
      const result = await campaign(rates, { replaysMax });
      expectMostly(t, result, (words) => words === `one ${dimension}:good>bad`);
      assert.ok(result.replays < FEWER * (await reference(rates, t)), `${result.replays} replays`);
    });
  const isSlow = before === 0.9 && !process.env['LOOPSCOPE_LONG'] && 'takes LOOPSCOPE_LONG=1';
  const both = `two changes that only together make .${before * 100} of .${after * 100} are not put to one`;
  test(both, { skip: isSlow }, async (t) => {
    const rates = fallsBy(({ model, prompt }) => model === 'bad' && prompt === 'bad');
    const result = await campaign(rates, { replaysMax });
    expectMostly(
      t,
      result,
      (words) => words === 'together model:good>bad prompt:good>bad' || words === 'undecided',
    );
  });
  test(`a fall from .${before * 100} to .${after * 100} that is only on record does not reproduce`, async (t) => {
    const steady = { golden: () => before };
    const recordedFall = before - after;
    expectMostly(
      t,
      await campaign(steady, { replaysMax, recordedFall }),
      (words) => words === 'not_reproduced',
    );
  });
}

test('two changes that each do half, or of which either is enough, are not put to one', async (t) => {
  const half = (variant: Variant, dimension: Dimension) => (variant[dimension] === 'bad' ? 0.17 : 0);
  const add = await campaign({ golden: (v) => 0.84 - half(v, 'model') - half(v, 'tools') });
  expectMostly(t, add, (words) => !words.startsWith('one'));
  const either = await campaign({ golden: (v) => (v.model === 'bad' || v.tools === 'bad' ? 0.5 : 0.84) });
  expectMostly(t, either, (words) => !words.startsWith('one'));
});

test('where nothing fell and no record says how far, nothing is named', async (t) => {
  expectMostly(t, await campaign({ golden: () => 0.84 }, { replaysMax: 200 }), isNothing);
});

test('a checker that moved while the maker did not is named, by its verdicts', async (t) => {
  const result = await campaign(
    { golden: () => 0.84, agrees: ({ checker }) => (checker === 'bad' ? 0.5 : 0.92) },
    { measures: ['golden', 'checker'] },
  );
  expectMostly(t, result, (words) => words === 'one checker:good>bad');
});

test('the step of a long history is found', async (t) => {
  const prompt = ['v1', 'v2', 'v3', 'v4', 'v5', 'v6', 'v7', 'v8'];
  const result = await campaign({
    golden: (variant) => (prompt.indexOf(variant.prompt!) >= 4 ? 0.5 : 0.84),
    histories: { prompt },
  });
  expectMostly(t, result, (words) => words === 'one prompt:v4>v5');
});

test('replays that fail are counted and are no scores', async (t) => {
  const rates = { golden: ({ tools }: Variant) => (tools === 'bad' ? 0.5 : 0.84), fails: 0.1 };
  expectMostly(t, await campaign(rates, { replaysMax: 800 }), (words) => words === 'one tools:good>bad');
  // A bad point of which half the replays fail scores no lower for it.
  const { changes } = simulatedLoop(rates, 1);
  const result = await bisect({
    changes,
    items: 100,
    measures: ['golden'],
    seed: 1,
    replaysMax: 200,
    trial: async (variant, item) =>
      variant.model === 'bad' && item % 2 === 0
        ? { outcome: 'failed', reason: 'timeout: no answer', costUsd: null }
        : { outcome: 'scored', golden: 1, checker: null, costUsd: 0, replay: '' },
  });
  assert.equal(result.outcome, 'not_shown');
  assert.ok(result.trials.failed > 0 && result.trials.failures.get('timeout') === result.trials.failed);
});

test('a variant that always fails ends the search, and is named', async () => {
  const { changes } = simulatedLoop({ golden: () => 1 }, 1);
  const result = await bisect({
    changes,
    items: 10,
    measures: ['golden'],
    seed: 1,
    replaysMax: 600,
    trial: async ({ model }) =>
      model === 'good'
        ? { outcome: 'failed', reason: 'http_404: the model is retired', costUsd: 0 }
        : { outcome: 'scored', golden: 0, checker: null, costUsd: 0, replay: '' },
  });
  assert.equal(result.outcome, 'unplayable');
  assert.equal(result.unplayable?.variant.model, 'good');
  assert.match(result.unplayable!.reason, /retired/);
  assert.ok(result.trials.replays <= 12);
});

test('the budget holds, in replays and in money', async () => {
  const rates = { golden: ({ model }: Variant) => (model === 'bad' ? 0.7 : 0.9) };
  for (const limit of [{ replaysMax: 21 }, { replaysMax: 600, costUsdMax: 0.02 }]) {
    const { changes, trial } = simulatedLoop(rates, 3);
    const result = await bisect({ changes, trial, items: 9, measures: ['golden'], seed: 3, ...limit });
    assert.equal(result.outcome, 'not_shown');
    assert.ok(result.trials.replays <= 22);
  }
});

test('one change alone needs no search: that the points differ says it', async () => {
  const { changes, trial } = simulatedLoop({ golden: ({ model }) => (model === 'bad' ? 0.02 : 0.98) }, 5);
  const result = await bisect({
    changes: [changes[0]!],
    trial,
    items: 100,
    measures: ['golden'],
    seed: 5,
    replaysMax: 600,
  });
  assert.equal(inWords(result), 'one model:good>bad');
  assert.ok(result.trials.replays <= 20, `${result.trials.replays} replays`);
});
