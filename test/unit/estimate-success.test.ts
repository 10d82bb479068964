import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clopperPearson } from '../../evals/stats/binomial-interval.ts';
import { type Labelled, predictionPowered } from '../../evals/stats/prediction-powered.ts';
import { type Stratum, stratifiedBetting, stratifiedExact } from '../../evals/stats/stratified-rate.ts';
import { type RunSeen, successRate } from '../../evals/stats/success-rate.ts';
import { seededRandom } from '../../src/clock.ts';

/** LOOPSCOPE_LONG=1 measures coverage and width in many more rounds. */
const LONG = process.env['LOOPSCOPE_LONG'] === '1';
const ROUNDS = LONG ? 2000 : 200;

const near = (actual: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `expected ${expected} ± ${tolerance}, got ${actual}`);

const times = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));

/** A loop whose runs pass in a share `pass`, and succeed in the means `good` and `bad` after a pass and a fail. */
interface Loop {
  name: string;
  pass: number;
  good: number;
  bad: number;
}
const LOOPS: Loop[] = [
  { name: 'as a rule right, rarely failed', pass: 0.97, good: 0.84, bad: 0.5 },
  { name: 'nearly perfect', pass: 0.97, good: 0.99, bad: 0.2 },
  { name: 'useless checker', pass: 0.5, good: 0.7, bad: 0.7 },
  { name: 'good checker', pass: 0.5, good: 0.95, bad: 0.1 },
  { name: 'all pass', pass: 1, good: 0.8, bad: 0 },
];
const rateOf = ({ pass, good, bad }: Loop) => pass * good + (1 - pass) * bad;

type Draw = (mean: number) => number;
const coins =
  (random: () => number): Draw =>
  (mean) =>
    random() < mean ? 1 : 0;
/** Graded: half of the way between a coin and its mean. */
const grades =
  (random: () => number): Draw =>
  (mean) =>
    0.5 * mean + (random() < mean ? 0.5 : 0);

/** N runs of which the first n are scored. */
const runsOf = (loop: Loop, n: number, N: number, random: () => number, draw: Draw): RunSeen[] =>
  times(N, (i) => {
    const pass = random() < loop.pass;
    return { pass, score: i < n ? draw(pass ? loop.good : loop.bad) : null };
  });

/** In how many of `rounds` the rate must be covered: 95 %, but for three standard deviations. */
const coveredLeast = (rounds: number) => rounds * 0.95 - 3 * Math.sqrt(rounds * 0.95 * 0.05);

const strata = (runs: readonly RunSeen[]) =>
  [true, false].map((pass): Stratum => {
    const ofIt = runs.filter((run) => run.pass === pass);
    return { runs: ofIt.length, scores: ofIt.flatMap(({ score }) => score ?? []) };
  }) as [Stratum, Stratum];

for (const [n, N] of [
  [10, 200],
  [30, 600],
] as const)
  test(`intervals within strata cover from ${n} labels of ${N} runs, hardly wider than labels alone`, (t) => {
    const random = seededRandom(n);
    for (const loop of LOOPS) {
      let covered = 0;
      let width = 0;
      let alone = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const runs = runsOf(loop, n, N, random, coins(random));
        const found = stratifiedExact(...strata(runs))!;
        if (found.low <= rateOf(loop) && rateOf(loop) <= found.high) covered++;
        width += found.high - found.low;
        const successes = runs.reduce((sum, { score }) => sum + (score ?? 0), 0);
        const labels = clopperPearson(successes, n)!;
        alone += labels.high - labels.low;
      }
      t.diagnostic(
        `${loop.name}: covers ${(covered / ROUNDS).toFixed(3)}, ${(width / alone).toFixed(2)} × the width of labels alone`,
      );
      assert.ok(covered >= coveredLeast(ROUNDS), `${loop.name}: ${covered} of ${ROUNDS}`);
      assert.ok(width <= 1.25 * alone, `${loop.name}: ${width / alone} times as wide`);
    }
  });

test('a good checker with many verdicts makes the exact interval narrower than labels alone', (t) => {
  const random = seededRandom(41);
  const loop = { name: '', pass: 0.5, good: 0.97, bad: 0.05 };
  let width = 0;
  let alone = 0;
  for (let round = 0; round < 20; round++) {
    const runs = runsOf(loop, 100, 10_000, random, coins(random));
    const found = successRate(runs)!;
    assert.equal(found.method, 'stratified-exact');
    width += found.high - found.low;
    const labels = clopperPearson(
      runs.reduce((sum, { score }) => sum + (score ?? 0), 0),
      100,
    )!;
    alone += labels.high - labels.low;
  }
  t.diagnostic(`${(width / alone).toFixed(2)} × the width of labels alone`);
  assert.ok(width < 0.75 * alone, `${width / alone}`);
});

test('graded scores are covered in small strata too', () => {
  const random = seededRandom(42);
  for (const loop of LOOPS) {
    let covered = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const found = stratifiedBetting(...strata(runsOf(loop, 30, 600, random, grades(random))))!;
      if (found.low <= rateOf(loop) && rateOf(loop) <= found.high) covered++;
    }
    assert.ok(covered >= coveredLeast(ROUNDS), `${loop.name}: ${covered} of ${ROUNDS}`);
  }
});

test('what is returned covers, whichever method it is', (t) => {
  const random = seededRandom(43);
  const cases: [string, number, number, (random: () => number) => Draw][] = [
    ['labels-only', 40, 100, coins],
    ['labels-only', 40, 100, grades],
    ['stratified-exact', 60, 1000, coins],
    ['stratified-betting', 60, 1000, grades],
    ['ppi++', 400, 2000, grades],
  ];
  const loop = { name: '', pass: 0.6, good: 0.9, bad: 0.3 };
  for (const [method, n, N, draw] of cases) {
    let covered = 0;
    let width = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const found = successRate(runsOf(loop, n, N, random, draw(random)))!;
      assert.equal(found.method, method);
      assert.ok(found.low <= found.estimate && found.estimate <= found.high);
      if (found.low <= rateOf(loop) && rateOf(loop) <= found.high) covered++;
      width += (found.high - found.low) / ROUNDS;
    }
    t.diagnostic(
      `${method}, ${n} of ${N}: covers ${(covered / ROUNDS).toFixed(3)}, width ${width.toFixed(3)}`,
    );
    assert.ok(covered >= coveredLeast(ROUNDS), `${method}: ${covered} of ${ROUNDS}`);
  }
});

test('PPI++ covers, is never much wider than labels alone, and narrower where the checker tells something', (t) => {
  const random = seededRandom(44);
  const alike: [Loop, number][] = [
    [{ name: 'useless checker', pass: 0.5, good: 0.7, bad: 0.7 }, 1.02],
    [{ name: 'good checker', pass: 0.5, good: 0.95, bad: 0.1 }, 0.65],
  ];
  for (const [loop, most] of alike) {
    let covered = 0;
    let width = 0;
    let alone = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const runs = runsOf(loop, 200, 200, random, coins(random));
      const labelled: Labelled[] = runs.map(({ pass, score }) => ({ f: Number(pass), y: score! }));
      const rate = times(4000, () => random() < loop.pass).filter(Boolean).length / 4000;
      const powered = predictionPowered(labelled, { count: 4000, mean: rate, variance: rate * (1 - rate) })!;
      const plain = predictionPowered(labelled, { count: 0, mean: 0, variance: 0 })!;
      if (powered.low <= rateOf(loop) && rateOf(loop) <= powered.high) covered++;
      width += powered.high - powered.low;
      alone += plain.high - plain.low;
    }
    t.diagnostic(
      `${loop.name}: covers ${(covered / ROUNDS).toFixed(3)}, ${(width / alone).toFixed(2)} × labels alone`,
    );
    assert.ok(covered >= coveredLeast(ROUNDS), `${loop.name}: ${covered}`);
    assert.ok(width <= most * alone, `${loop.name}: ${width / alone}`);
  }
});

test('PPI++ has the figures of its formulas, worked out by hand', () => {
  const labelled = [
    { y: 1, f: 1 },
    { y: 1, f: 1 },
    { y: 0, f: 1 },
    { y: 0, f: 0 },
  ];
  // Cov_4 = (2 − 4·½·¾)/3 = 1/6; the 16 predictions in all are 13 ones, of variance 13·3/16².
  const found = predictionPowered(labelled, { count: 12, mean: 10 / 12, variance: (10 * 2) / 144 })!;
  const lambda = 1 / 6 / ((1 + 4 / 12) * ((13 * 3) / 256));
  near(found.lambda, lambda, 1e-12);
  near(found.estimate, lambda * (10 / 12) + (0.5 - lambda * 0.75), 1e-12);
  const rectified = labelled.map(({ y, f }) => y - lambda * f);
  const mean = 0.5 - lambda * 0.75;
  const variance = rectified.reduce((sum, r) => sum + (r - mean) ** 2, 0) / 3;
  near(found.standardError, Math.sqrt((lambda ** 2 * 20) / 144 / 12 + variance / 4), 1e-12);
});

test('too few labels say nothing, and a stratum without any says nothing of itself', () => {
  assert.equal(successRate([]), undefined);
  assert.equal(successRate([{ pass: true, score: null }]), undefined);
  assert.equal(predictionPowered([{ y: 1, f: 1 }], { count: 9, mean: 1, variance: 0 }), undefined);
  assert.equal(stratifiedExact({ runs: 5, scores: [] }, { runs: 5, scores: [] }), undefined);
  assert.throws(() => stratifiedExact({ runs: 1, scores: [1, 1] }, { runs: 0, scores: [] }), /labels ≤ runs/);
  // 300 of 1,000 runs fail, and nobody looked at one of them: their rate may be 0 and may be 1.
  const unseen = successRate([
    ...times(100, () => ({ pass: true, score: 1 })),
    ...times(600, () => ({ pass: true, score: null })),
    ...times(300, () => ({ pass: false, score: null })),
  ])!;
  assert.equal(unseen.method, 'stratified-exact');
  assert.equal(unseen.estimate, 1);
  assert.ok(unseen.low < 0.7 && unseen.high === 1);
});
