import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clopperPearson } from '../../evals/stats/binomial-interval.ts';
import { checkerAccuracy, type Judged, roganGladen } from '../../evals/stats/rates.ts';
import { seededRandom } from '../../src/clock.ts';

const near = (actual: number | undefined, expected: number, tolerance: number) =>
  assert.ok(
    actual !== undefined && Math.abs(actual - expected) <= tolerance,
    `expected ${expected} ± ${tolerance}, got ${actual}`,
  );

const judged = (n: number, pass: boolean, good: boolean, probability?: number): Judged[] =>
  Array.from({ length: n }, () => ({ pass, good, probability }));

test('the four rates have the published values', () => {
  // Altman & Bland, "Diagnostic tests 1" and "2", BMJ 308 and 309 (1994): liver scans against pathology.
  const scans = [
    ...judged(231, true, true),
    ...judged(27, false, true),
    ...judged(32, true, false),
    ...judged(54, false, false),
  ];
  const { sensitivity, specificity, ppv, npv } = checkerAccuracy(scans);
  near(sensitivity!.estimate, 0.9, 5e-3);
  near(specificity!.estimate, 0.63, 5e-3);
  near(ppv!.estimate, 0.88, 5e-3);
  near(npv!.estimate, 0.67, 5e-3);
  const exact = clopperPearson(231, 258)!;
  assert.deepEqual(sensitivity, { estimate: 231 / 258, ...exact, n: 258, effectiveN: 258 });
});

test('what was never seen has no rate', () => {
  const none = { sensitivity: undefined, specificity: undefined, ppv: undefined, npv: undefined };
  assert.deepEqual(checkerAccuracy([]), none);
  const { sensitivity, specificity, ppv, npv } = checkerAccuracy(judged(8, true, true));
  assert.ok(sensitivity && ppv);
  assert.equal(specificity, undefined);
  assert.equal(npv, undefined);
  assert.throws(() => checkerAccuracy(judged(1, true, true, 0)), /chance in \(0, 1\], got 0/);
});

test('equal chances are no chances', () => {
  const sample = (probability?: number) => [
    ...judged(9, true, true, probability),
    ...judged(3, true, false, probability),
    ...judged(4, false, false, probability),
  ];
  assert.deepEqual(checkerAccuracy(sample(0.2)), checkerAccuracy(sample()));
});

test('labels chosen where the checker fails would flatter or blacken it; their weights set that right', (t) => {
  const random = seededRandom(11);
  const rounds = 400;
  const covers = { sensitivity: 0, specificity: 0, ppv: 0, npv: 0 };
  // 900 of 1,000 pass, 95 % of them are good, and 30 % of the rest: passes are labelled at .1, fails at .9.
  const truth = {
    sensitivity: (0.9 * 0.95) / (0.9 * 0.95 + 0.1 * 0.3),
    specificity: (0.1 * 0.7) / (0.1 * 0.7 + 0.9 * 0.05),
    ppv: 0.95,
    npv: 0.7,
  };
  let blind = 0;
  for (let round = 0; round < rounds; round++) {
    const sample: Judged[] = [];
    for (let i = 0; i < 1000; i++) {
      const pass = random() < 0.9;
      const good = random() < (pass ? 0.95 : 0.3);
      const probability = pass ? 0.1 : 0.9;
      if (random() < probability) sample.push({ pass, good, probability });
    }
    const found = checkerAccuracy(sample);
    for (const name of ['sensitivity', 'specificity', 'ppv', 'npv'] as const)
      if (found[name]!.low <= truth[name] && truth[name] <= found[name]!.high) covers[name]++;
    const unweighted = checkerAccuracy(sample.map(({ pass, good }) => ({ pass, good }))).specificity!;
    if (unweighted.low <= truth.specificity && truth.specificity <= unweighted.high) blind++;
  }
  t.diagnostic(`of ${rounds} cover: ${JSON.stringify(covers)}; specificity without weights: ${blind}`);
  for (const n of Object.values(covers))
    assert.ok(n / rounds >= 0.95 - 3 * Math.sqrt((0.95 * 0.05) / rounds));
  assert.ok(blind < rounds / 4);
});

test('Rogan and Gladen undo what the checker does, with the variance they have', () => {
  const random = seededRandom(12);
  const draw = (n: number, p: number) => {
    let x = 0;
    for (let i = 0; i < n; i++) if (random() < p) x++;
    return x;
  };
  const theta = 0.7;
  const rounds = 1000;
  const estimates: number[] = [];
  let variance = 0;
  let covered = 0;
  for (let round = 0; round < rounds; round++) {
    const found = roganGladen({
      passes: draw(400, theta * 0.9 + (1 - theta) * 0.2),
      verdicts: 400,
      goodPassed: draw(60, 0.9),
      goodLabels: 60,
      badFailed: draw(40, 0.8),
      badLabels: 40,
    })!;
    estimates.push(found.estimate);
    variance += found.variance / rounds;
    if (found.low <= theta && theta <= found.high) covered++;
  }
  const mean = estimates.reduce((a, b) => a + b, 0) / rounds;
  const measured = estimates.reduce((a, b) => a + (b - mean) ** 2, 0) / (rounds - 1);
  near(mean, theta, 0.02);
  // The share of a variance that 1,000 rounds leave open is √(2/1000); the formula is of first order.
  assert.ok(
    Math.abs(variance / measured - 1) < 3 * Math.sqrt(2 / rounds) + 0.1,
    `${variance} for ${measured}`,
  );
  assert.ok(covered / rounds >= 0.95 - 3 * Math.sqrt((0.95 * 0.05) / rounds), `${covered}`);
});

test('the trap: when the checker collapses, what was measured of it before still says all is well', () => {
  // The checker found 95 of 100 bad runs; now it passes everything, and nothing is good any more.
  const found = roganGladen({
    passes: 500,
    verdicts: 500,
    goodPassed: 98,
    goodLabels: 100,
    badFailed: 95,
    badLabels: 100,
  })!;
  assert.equal(found.estimate, 1);
  assert.ok(found.low > 0.9);
});

test('a checker no better than chance, or never measured, corrects nothing', () => {
  const counts = { passes: 5, verdicts: 10, goodPassed: 5, goodLabels: 10, badFailed: 5, badLabels: 10 };
  assert.equal(roganGladen(counts), undefined);
  assert.equal(roganGladen({ ...counts, badFailed: 0, badLabels: 0 }), undefined);
  assert.equal(roganGladen({ ...counts, passes: 0, verdicts: 0 }), undefined);
});
