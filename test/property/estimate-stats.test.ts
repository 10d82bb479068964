import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inclusionProbabilities } from '../../evals/stats/active-sampling.ts';
import {
  cohenKappa,
  gwetAc1,
  krippendorffInterval,
  krippendorffNominal,
  type Unit,
} from '../../evals/stats/agreement.ts';
import { clopperPearson, wilson } from '../../evals/stats/binomial-interval.ts';
import { confusionAgreement, confusionOf } from '../../evals/stats/confusion.ts';
import { predictionPowered } from '../../evals/stats/prediction-powered.ts';
import { checkerAccuracy } from '../../evals/stats/rates.ts';
import { stratifiedBetting, stratifiedExact } from '../../evals/stats/stratified-rate.ts';

const near = (a: number | undefined, b: number | undefined, tolerance = 1e-9) =>
  assert.ok(a === b || Math.abs(a! - b!) <= tolerance, `${a} and ${b}`);

const rating = fc.option(fc.integer({ min: 0, max: 3 }), { nil: null });
const units = fc.array(fc.tuple(rating, rating, rating), { maxLength: 25 });

test("Krippendorff's α equals its definition, pair by pair", () => {
  const naive = (all: readonly Unit<number>[], difference: (a: number, b: number) => number) => {
    const pairable = all.map((unit) => unit.filter((v) => v !== null)).filter((values) => values.length > 1);
    const pool = pairable.flat();
    const over = (values: readonly number[]) => {
      let sum = 0;
      for (let i = 0; i < values.length; i++)
        for (let j = 0; j < values.length; j++) if (i !== j) sum += difference(values[i]!, values[j]!);
      return sum;
    };
    const expected = over(pool) / (pool.length * (pool.length - 1));
    let observed = 0;
    for (const values of pairable) observed += over(values) / (values.length - 1) / pool.length;
    return pool.length > 0 && expected > 0 ? 1 - observed / expected : undefined;
  };
  fc.assert(
    fc.property(units, (us) => {
      near(
        krippendorffNominal(us),
        naive(us, (a, b) => Number(a !== b)),
      );
      near(
        krippendorffInterval(us),
        naive(us, (a, b) => (a - b) ** 2),
      );
    }),
  );
});

test('agreement is at most 1, and does not hang on the order of units or the names of categories', () => {
  const names = ['c', 'a', 'd', 'b'];
  fc.assert(
    fc.property(units, (us) => {
      const renamed = us.toReversed().map((unit) => unit.map((v) => (v === null ? null : names[v]!)));
      for (const coefficient of [cohenKappa, krippendorffNominal, (u: readonly Unit[]) => gwetAc1(u, 4)]) {
        const value = coefficient(us);
        near(value, coefficient(renamed));
        assert.ok(value === undefined || value <= 1 + 1e-12);
      }
    }),
  );
});

test('agreement from counts is agreement from the runs', () => {
  const run = fc.record({ pass: fc.boolean(), good: fc.boolean() });
  fc.assert(
    fc.property(fc.array(run, { maxLength: 30 }), (runs) => {
      const both = runs.map(({ pass, good }): Unit => [pass, good]);
      const { kappa, ac1, alpha } = confusionAgreement(confusionOf(runs));
      near(kappa, cohenKappa(both));
      near(ac1, gwetAc1(both, 2));
      near(alpha, krippendorffNominal(both));
    }),
  );
});

const stratum = fc
  .tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 60 }))
  .chain(([labels, others]) =>
    fc.record({
      runs: fc.constant(labels + others),
      scores: fc.array(fc.constantFrom(0, 1), { minLength: labels, maxLength: labels }),
    }),
  );
const twoStrata = fc.tuple(stratum, stratum).filter(([a, b]) => a.scores.length + b.scores.length > 0);

test('an interval within strata lies in [0,1], holds the estimate and mirrors', () => {
  const graded = stratum.map(({ runs, scores }) => ({
    runs,
    scores: scores.map((x, i) => (x + (i % 3)) / 3),
  }));
  const flip = ({ runs, scores }: { runs: number; scores: number[] }) => ({
    runs,
    scores: scores.map((x) => 1 - x),
  });
  for (const [interval, both] of [
    [stratifiedExact, twoStrata],
    [stratifiedBetting, fc.tuple(graded, graded).filter(([a, b]) => a.scores.length + b.scores.length > 0)],
  ] as const)
    fc.assert(
      fc.property(both, ([a, b]) => {
        const { low, high } = interval(a, b)!;
        assert.ok(0 <= low && low <= high && high <= 1, `${low}, ${high}`);
        const filled = [a, b].filter(({ runs }) => runs > 0);
        if (filled.every(({ scores }) => scores.length > 0)) {
          const estimate = filled.reduce(
            (sum, { runs, scores }) =>
              sum + ((runs / (a.runs + b.runs)) * scores.reduce((x, y) => x + y, 0)) / scores.length,
            0,
          );
          assert.ok(low <= estimate + 1e-9 && estimate <= high + 1e-9, `${estimate} in ${low}, ${high}`);
        }
        const mirror = interval(flip(a), flip(b))!;
        near(mirror.low, 1 - high, 1e-6);
        near(mirror.high, 1 - low, 1e-6);
      }),
      { numRuns: 40 },
    );
});

test('the exact bound is that of trying every pair of rates, on the safe side of it by less than a cell', () => {
  const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n, k - 1) * (n - k + 1)) / k);
  const mass = (n: number, k: number, p: number) => choose(n, k) * p ** k * (1 - p) ** (n - k);
  const shares = { weight: 0.05 * 0.05, region: 0.05 * 0.05 };
  const error = (0.05 - shares.weight - 2 * shares.region) / 2;
  fc.assert(
    fc.property(twoStrata, ([a, b]) => {
      const total = a.runs + b.runs;
      const both = [a, b].map(({ runs, scores }) => {
        const n = scores.length;
        const limits = Array.from({ length: n + 1 }, (_, x) => wilson(x, n, 1 - 2 * error)?.low ?? 0);
        const x = scores.filter((score) => score === 1).length;
        return { n, x, share: runs / total, limits, region: clopperPearson(x, n, 1 - shares.region) };
      });
      const [s, t] = both as [(typeof both)[0], (typeof both)[0]];
      const figure = (x: number, y: number) => {
        const part = ({ n, share, limits }: typeof s, k: number) => {
          const mean = n > 0 ? k / n : 0;
          return { mean: share * mean, margin: share * (mean - limits[k]!) };
        };
        const [u, v] = [part(s, x), part(t, y)];
        return u.mean + v.mean - Math.sqrt(u.margin ** 2 + v.margin ** 2);
      };
      const observed = figure(s.x, t.x);
      const weights = clopperPearson(Math.min(a.runs, b.runs), total, 1 - shares.weight)!;
      const steps = 60;
      let least = 1;
      for (let i = 0; i <= steps; i++)
        for (let j = 0; j <= steps; j++) {
          const at = ({ region }: typeof s, k: number) =>
            (region?.low ?? 0) + (((region?.high ?? 1) - (region?.low ?? 0)) * k) / steps;
          const [p, q] = [at(s, i), at(t, j)];
          let reached = 0;
          for (let x = 0; x <= s.n; x++)
            for (let y = 0; y <= t.n; y++)
              if (figure(x, y) >= observed - 1e-12) reached += mass(s.n, x, p) * mass(t.n, y, q);
          if (reached <= error) continue;
          const [small, big] = a.runs <= b.runs ? [p, q] : [q, p];
          for (const w of [weights.low, weights.high]) least = Math.min(least, w * small + (1 - w) * big);
        }
      const { low } = stratifiedExact(a, b)!;
      assert.ok(low <= least + 1e-9, `${low} above ${least}`);
      assert.ok(low >= least - 0.04, `${low} far below ${least}`);
    }),
    { numRuns: 30 },
  );
});

test('chances to be labelled lie within the floor and 1, add up to the budget and grow with what is to be learnt', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 1, maxLength: 50 }),
      fc.double({ min: 0, max: 60, noNaN: true }),
      fc.double({ min: 0, max: 0.2, noNaN: true }),
      (sizes, labels, floor) => {
        const chances = inclusionProbabilities(sizes, { labels, floor });
        const sum = chances.reduce((a, b) => a + b, 0);
        near(sum, Math.min(labels, sizes.length), 1e-6);
        const least = Math.min(floor, labels / sizes.length);
        assert.ok(chances.every((p) => p >= least - 1e-12 && p <= 1));
        for (let i = 1; i < sizes.length; i++)
          if (sizes[i]! >= sizes[i - 1]!) assert.ok(chances[i]! >= chances[i - 1]! - 1e-12);
      },
    ),
  );
});

test('rates and PPI++ lie in [0,1] with their intervals around them', () => {
  const judged = fc.record({
    pass: fc.boolean(),
    good: fc.boolean(),
    probability: fc.double({ min: 0.01, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(judged, { maxLength: 40 }), (sample) => {
      for (const rate of Object.values(checkerAccuracy(sample)))
        if (rate) {
          assert.ok(0 <= rate.low && rate.low <= rate.estimate + 1e-9);
          assert.ok(rate.estimate <= rate.high + 1e-9 && rate.high <= 1);
          assert.ok(rate.effectiveN <= rate.n + 1e-9);
        }
    }),
  );
  const labelled = fc.record({ y: fc.double({ min: 0, max: 1, noNaN: true }), f: fc.constantFrom(0, 1) });
  fc.assert(
    fc.property(
      fc.array(labelled, { minLength: 2, maxLength: 40 }),
      fc.integer({ min: 0, max: 500 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (sample, count, mean) => {
        const found = predictionPowered(sample, { count, mean, variance: mean * (1 - mean) })!;
        assert.ok(found.lambda >= 0 && found.lambda <= 1);
        assert.ok(
          0 <= found.low && found.low <= found.estimate && found.estimate <= found.high && found.high <= 1,
        );
      },
    ),
  );
});
