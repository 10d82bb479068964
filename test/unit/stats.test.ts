import assert from 'node:assert/strict';
import { test } from 'node:test';
import { betaCdf, betaQuantile, logGamma } from '../../evals/stats/beta.ts';
import { bettingLower } from '../../evals/stats/betting-bound.ts';
import {
  clopperPearson,
  clopperPearsonLower,
  normalQuantile,
  wilson,
} from '../../evals/stats/binomial-interval.ts';
import { fallPoint } from '../../evals/stats/change-point.ts';
import { advance, evidence, noEvidence } from '../../evals/stats/e-detector.ts';
import { momentLower } from '../../evals/stats/moment-bound.ts';
import { seededRandom } from '../../src/clock.ts';
import { coin, graded } from '../support/loop-series.ts';

const near = (actual: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `expected ${expected} ± ${tolerance}, got ${actual}`);

const momentsOf = (values: readonly number[]) => ({
  n: values.length,
  sum: values.reduce((a, b) => a + b, 0),
  squares: values.reduce((a, b) => a + b * b, 0),
});

test('ln Γ is exact on factorials and on Γ(½) = √π', () => {
  let logFactorial = 0;
  for (let n = 1; n <= 170; n++) {
    near(logGamma(n), logFactorial, 1e-13 * Math.max(1, logFactorial));
    logFactorial += Math.log(n);
  }
  near(logGamma(0.5), Math.log(Math.sqrt(Math.PI)), 1e-14);
});

test('the incomplete beta function equals the binomial tail it stands for, summed term by term', () => {
  for (const n of [1, 7, 50, 400])
    for (const p of [0.01, 0.3, 0.5, 0.84, 0.999])
      for (const k of new Set([1, Math.ceil(n / 3), Math.ceil(n * p), n])) {
        let tail = 0;
        for (let i = k; i <= n; i++)
          tail += Math.exp(
            logGamma(n + 1) -
              logGamma(i + 1) -
              logGamma(n - i + 1) +
              i * Math.log(p) +
              (n - i) * Math.log1p(-p),
          );
        near(betaCdf(p, k, n - k + 1), tail, 1e-11);
      }
});

test('the beta quantile inverts the distribution function and meets its closed forms', () => {
  for (const a of [1, 3, 50, 3200]) {
    near(betaQuantile(0.025, a, 1), 0.025 ** (1 / a), 1e-12);
    near(betaQuantile(0.975, 1, a), -Math.expm1(Math.log(0.025) / a), 1e-12);
  }
  for (const [a, b] of [
    [0.5, 0.5],
    [42, 9],
    [2688, 513],
  ] as const)
    for (const p of [1e-6, 0.02, 0.5, 0.99]) near(betaCdf(betaQuantile(p, a, b), a, b), p, 1e-12);
});

// Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
// table I, methods 3 (Wilson) and 5 (Clopper–Pearson).
test('intervals for a proportion have the published values', () => {
  const published = [
    { x: 81, n: 263, wilson: [0.2553, 0.3662], exact: [0.2527, 0.3676] },
    { x: 15, n: 148, wilson: [0.0624, 0.1605], exact: [0.0578, 0.1617] },
    { x: 0, n: 20, wilson: [0, 0.1611], exact: [0, 0.1684] },
    { x: 1, n: 29, wilson: [0.0061, 0.1718], exact: [0.0009, 0.1776] },
  ];
  for (const row of published) {
    const w = wilson(row.x, row.n)!;
    const e = clopperPearson(row.x, row.n)!;
    near(w.low, row.wilson[0]!, 5e-5);
    near(w.high, row.wilson[1]!, 5e-5);
    near(e.low, row.exact[0]!, 5e-5);
    near(e.high, row.exact[1]!, 5e-5);
  }
});

test('the normal quantile has its tabled values', () => {
  near(normalQuantile(0.975), 1.959963985, 1e-8);
  near(normalQuantile(0.995), 2.575829304, 1e-8);
  near(normalQuantile(0.001), -3.090232306, 1e-8);
  near(normalQuantile(0.5), 0, 1e-12);
});

test('no trials give no interval and no bound, and impossible counts are refused', () => {
  assert.equal(wilson(0, 0), undefined);
  assert.equal(clopperPearson(0, 0), undefined);
  assert.equal(clopperPearsonLower(0, 0, 0.05), undefined);
  assert.equal(bettingLower([], 0.05), undefined);
  assert.equal(momentLower({ n: 0, sum: 0, squares: 0 }, 0.05), undefined);
  assert.equal(fallPoint([]), undefined);
  assert.equal(fallPoint([1]), undefined);
  assert.throws(() => wilson(3, 2), /0 ≤ successes ≤ trials, got 3 of 2/);
  assert.throws(() => clopperPearsonLower(1.5, 2, 0.05), /whole successes/);
});

test('a bound is above the mean no more often than its level says', () => {
  const random = seededRandom(4);
  const error = 0.05;
  const rounds = 1000;
  // Three standard deviations of a share of `error` over the rounds.
  const most = rounds * error + 3 * Math.sqrt(rounds * error * (1 - error));
  const exact = (scores: number[]) =>
    clopperPearsonLower(
      scores.reduce((a, b) => a + b, 0),
      scores.length,
      error,
    )!;
  const betting = (scores: number[]) => bettingLower(scores, error)!;
  const moments = (scores: number[]) => momentLower(momentsOf(scores), error)!;
  const cases = [
    { name: 'coin .84, exact', mean: 0.84, draw: coin(random, 0.84), bound: exact },
    { name: 'coin .5, exact', mean: 0.5, draw: coin(random, 0.5), bound: exact },
    { name: 'coin .84, betting', mean: 0.84, draw: coin(random, 0.84), bound: betting },
    { name: 'graded', mean: 0.7, draw: graded(random, 0.7, 0.4), bound: betting },
    { name: 'mostly 1, else .2', mean: 0.92, draw: () => (random() < 0.9 ? 1 : 0.2), bound: betting },
    { name: 'rarely high', mean: 0.145, draw: () => (random() < 0.05 ? 1 : 0.1), bound: betting },
    { name: 'coin .84, moments', mean: 0.84, draw: coin(random, 0.84), bound: moments },
    { name: 'graded, moments', mean: 0.7, draw: graded(random, 0.7, 0.4), bound: moments },
    {
      name: 'mostly 1, else .2, moments',
      mean: 0.92,
      draw: () => (random() < 0.9 ? 1 : 0.2),
      bound: moments,
    },
    { name: 'rarely high, moments', mean: 0.145, draw: () => (random() < 0.05 ? 1 : 0.1), bound: moments },
  ];
  for (const { name, mean, draw, bound } of cases)
    for (const n of [50, 200]) {
      let wrong = 0;
      for (let i = 0; i < rounds; i++) if (bound(Array.from({ length: n }, draw)) > mean) wrong++;
      assert.ok(wrong <= most, `${name}, ${n} scores: ${wrong} of ${rounds} above the mean`);
    }
});

test('the betting bound makes use of scores that hardly vary', () => {
  const random = seededRandom(5);
  const scores = Array.from({ length: 50 }, graded(random, 0.8, 0.1));
  // A coin with this mean would leave the bound at .67.
  assert.ok(bettingLower(scores, 0.05)! > 0.73);
});

test('the bound from moments comes close to the one from every value, and never above the mean', () => {
  const random = seededRandom(6);
  for (const [n, apart] of [
    [200, 0.04],
    [800, 0.015],
    [3200, 0.006],
  ] as const)
    for (const draw of [graded(random, 0.8, 0.2), graded(random, 0.6, 0.8), coin(random, 0.84)]) {
      const scores = Array.from({ length: n }, draw);
      const bound = momentLower(momentsOf(scores), 0.01)!;
      assert.ok(bound >= bettingLower(scores, 0.01)! - apart, `${n} values: ${bound}`);
      assert.ok(bound < momentsOf(scores).sum / n);
    }
  for (const value of [0, 0.5, 1]) {
    const bound = momentLower(momentsOf(new Array<number>(100).fill(value)), 0.01)!;
    assert.ok(bound >= 0 && bound <= value && bound >= value - 0.1, `${value}: ${bound}`);
  }
});

test('the e-detector alarms after its threshold on average when the level is the true mean, and not much later', () => {
  const threshold = 300;
  for (const mean of [0.5, 0.84, 0.98]) {
    const random = seededRandom(6);
    const rounds = 200;
    let scores = 0;
    for (let i = 0; i < rounds; i++)
      for (const m = noEvidence(); evidence(m) < threshold; scores++)
        advance(m, random() < mean ? 1 : 0, mean, scores);
    const measured = scores / rounds;
    // The run length is about geometric: its mean over 200 streams is within 3/√200 of the truth.
    assert.ok(measured >= threshold * (1 - 3 / Math.sqrt(rounds)), `mean ${mean}: ${measured}`);
    assert.ok(measured <= 4 * threshold, `mean ${mean}: ${measured}`);
  }
});

test('a level of 0 or 1 gives no bet, and no evidence by the passing of time', () => {
  for (const level of [0, 1]) {
    const detector = noEvidence();
    advance(detector, 0, level, 0);
    assert.deepEqual(detector, noEvidence());
  }
});

test('the cut of a clean fall is found, and there is none in a rise or a constant', () => {
  const fall = fallPoint([1, 1, 1, 1, 1, 1, 0, 0, 0, 0])!;
  assert.equal(fall.cut, 6);
  assert.ok(fall.low <= 6 && fall.high >= 6);
  assert.equal(fall.relative[6], 0);
  assert.equal(fallPoint([0, 0, 0, 1, 1, 1]), undefined);
  assert.equal(fallPoint([0.5, 0.5, 0.5]), undefined);
});
