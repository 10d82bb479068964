import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Category,
  cohenKappa,
  gwetAc1,
  krippendorffInterval,
  krippendorffNominal,
  type Unit,
} from '../../evals/stats/agreement.ts';
import { bootstrapInterval, normalCdf } from '../../evals/stats/bootstrap.ts';
import { seededRandom } from '../../src/clock.ts';

const near = (actual: number | undefined, expected: number, tolerance: number) =>
  assert.ok(
    actual !== undefined && Math.abs(actual - expected) <= tolerance,
    `expected ${expected} ± ${tolerance}, got ${actual}`,
  );

/** A table of counts, the first rater's category by row and the second's by column, as units. */
const unitsOf = (table: readonly (readonly number[])[]): Unit[] =>
  table.flatMap((row, i) => row.flatMap((n, j) => Array.from({ length: n }, () => [i, j])));

/** Ratings by rater, as units. */
const byRater = <T extends Category>(...raters: (T | null)[][]): Unit<T>[] =>
  raters[0]!.map((_, i) => raters.map((ratings) => ratings[i]!));

const _ = null;

// Gwet, Handbook of Inter-Rater Reliability, 4th ed. (2014), p. 120, after the example with missing values in
// Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), whose α is .743 nominal and .849 interval; values
// as the author's own package irrCAC prints them for its data set cac.raw4raters.
const FOUR_RATERS = byRater(
  [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
  [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, _],
  [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 3],
  [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
);

// Fleiss, Psychol. Bull. 76 (1971): 15 patients, 6 psychiatrists, 5 diagnoses; how many gave which.
const SIX_PSYCHIATRISTS = [
  [0, 0, 0, 6, 0],
  [0, 3, 0, 0, 3],
  [0, 1, 4, 0, 1],
  [0, 0, 0, 0, 6],
  [0, 3, 0, 3, 0],
  [2, 0, 4, 0, 0],
  [0, 0, 4, 0, 2],
  [2, 0, 3, 1, 0],
  [2, 0, 0, 4, 0],
  [0, 0, 0, 0, 6],
  [1, 0, 0, 5, 0],
  [1, 1, 0, 4, 0],
  [0, 3, 3, 0, 0],
  [1, 0, 0, 5, 0],
  [0, 2, 0, 3, 1],
].map((counts): Unit => counts.flatMap((n, category) => Array.from({ length: n }, () => category)));

// 100 abstracts of records, Gwet (2014); values as irrCAC prints them for its data set cont3x3abstractors.
const ABSTRACTORS = unitsOf([
  [13, 0, 0],
  [0, 20, 7],
  [0, 4, 56],
]);

test("Cohen's κ has the published values", () => {
  // Cohen (1960), table 2.
  near(
    cohenKappa(
      unitsOf([
        [88, 14, 18],
        [10, 40, 10],
        [2, 6, 12],
      ]),
    ),
    0.492,
    5e-4,
  );
  near(cohenKappa(ABSTRACTORS), 0.7964094, 5e-8);
});

test("Gwet's AC1 has the published values, also with missing ratings", () => {
  near(gwetAc1(ABSTRACTORS, 3), 0.8493305, 5e-8);
  near(gwetAc1(SIX_PSYCHIATRISTS, 5), 0.4448007, 5e-8);
  near(gwetAc1(FOUR_RATERS, 5), 0.77544, 5e-6);
});

test("Krippendorff's α has the published values, nominal and interval, also with missing ratings", () => {
  near(krippendorffNominal(FOUR_RATERS), 0.74342, 5e-6);
  near(krippendorffInterval(FOUR_RATERS), 0.849, 5e-4);
  // As Gwet's package corrects for small samples.
  near(krippendorffNominal(ABSTRACTORS), 0.7972585, 5e-8);
  near(krippendorffNominal(SIX_PSYCHIATRISTS), 0.4204384, 5e-8);
  // The computational example of Krippendorff's α on Wikipedia: 1 − 3/9.72.
  const three = byRater(
    [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3],
    [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
    [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4],
  );
  near(krippendorffNominal(three), 0.691, 5e-4);
  near(krippendorffInterval(three), 0.811, 5e-4);
});

test('where nearly all pass, κ says nothing and AC1 sees the agreement', () => {
  const units = unitsOf([
    [118, 5],
    [2, 0],
  ]);
  near(cohenKappa(units), -0.0234, 5e-5);
  near(gwetAc1(units, 2), 0.9408, 5e-5);
});

test('too little to say anything is undefined, never 0', () => {
  for (const units of [[], [[true, null]], [[null, null]]] as Unit[][]) {
    assert.equal(cohenKappa(units), undefined);
    assert.equal(gwetAc1(units, 2), undefined);
    assert.equal(krippendorffNominal(units), undefined);
  }
  const allPass: Unit[] = Array.from({ length: 30 }, () => [true, true]);
  assert.equal(cohenKappa(allPass), undefined);
  assert.equal(krippendorffNominal(allPass), undefined);
  assert.equal(gwetAc1(allPass, 2), 1);
  assert.throws(() => gwetAc1(ABSTRACTORS, 2), /at least 3 categories, got 2/);
});

test('the normal distribution function has its tabled values', () => {
  near(normalCdf(1.959963985), 0.975, 1e-7);
  near(normalCdf(-3.090232306), 0.001, 1e-7);
  near(normalCdf(0), 0.5, 1e-7);
});

test('the same seed gives the same bootstrap interval, and too few clusters none', () => {
  const interval = (seed: number) =>
    bootstrapInterval(ABSTRACTORS, cohenKappa, { random: seededRandom(seed), replicates: 400 });
  assert.deepEqual(interval(1), interval(1));
  // The published interval of this table, by the delta method, is .68 to .913.
  near(interval(1)!.low, 0.68, 0.05);
  near(interval(1)!.high, 0.913, 0.05);
  assert.equal(
    bootstrapInterval(ABSTRACTORS.slice(0, 9), cohenKappa, { random: seededRandom(1) }),
    undefined,
  );
  const same = Array.from({ length: 20 }, () => 1);
  assert.equal(
    bootstrapInterval(same, () => 1, { random: seededRandom(1) }),
    undefined,
  );
});

test('the interval clustered by loop covers where one by run would not', (t) => {
  const random = seededRandom(31);
  const rounds = 100;
  const mean = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;
  let byLoop = 0;
  let byRun = 0;
  for (let round = 0; round < rounds; round++) {
    // 25 loops, each with a level of its own around .7, 10 runs each.
    const loops = Array.from({ length: 25 }, () => {
      const level = 0.5 + 0.4 * random();
      return Array.from({ length: 10 }, () => (random() < level ? 1 : 0));
    });
    const covers = (clusters: readonly (readonly number[])[]) => {
      const { low, high } = bootstrapInterval(clusters, (drawn) => mean(drawn.flat()), {
        random,
        replicates: 200,
      })!;
      return low <= 0.7 && 0.7 <= high;
    };
    if (covers(loops)) byLoop++;
    if (covers(loops.flat().map((x) => [x]))) byRun++;
  }
  t.diagnostic(`95 % intervals that cover: ${byLoop / rounds} by loop, ${byRun / rounds} by run`);
  // Three standard deviations of the share, and what 25 clusters cost an asymptotic interval.
  assert.ok(byLoop / rounds >= 0.95 - 3 * Math.sqrt((0.95 * 0.05) / rounds) - 0.02);
  assert.ok(byRun < byLoop);
});
