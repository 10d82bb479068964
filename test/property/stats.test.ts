import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bettingLower } from '../../evals/stats/betting-bound.ts';
import { clopperPearson, clopperPearsonLower, wilson } from '../../evals/stats/binomial-interval.ts';
import { fallPoint } from '../../evals/stats/change-point.ts';
import { advance, DROP_GRID, DROP_WEIGHTS, evidence, noEvidence } from '../../evals/stats/e-detector.ts';

const score = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
const scores = fc.array(score, { minLength: 1, maxLength: 60 });
const counts = fc
  .integer({ min: 1, max: 300 })
  .chain((n) => fc.tuple(fc.integer({ min: 0, max: n }), fc.constant(n)));

test('intervals for a proportion hold it, lie in [0,1] and mirror', () => {
  fc.assert(
    fc.property(counts, fc.constantFrom(0.8, 0.95, 0.99), ([x, n], confidence) => {
      for (const interval of [wilson, clopperPearson]) {
        const { low, high } = interval(x, n, confidence)!;
        assert.ok(0 <= low && low <= x / n + 1e-12 && x / n <= high + 1e-12 && high <= 1);
        const mirror = interval(n - x, n, confidence)!;
        assert.ok(Math.abs(mirror.low - (1 - high)) < 1e-9 && Math.abs(mirror.high - (1 - low)) < 1e-9);
      }
    }),
  );
});

test('a bound at a stricter level is not higher, and every bound lies in [0,1]', () => {
  fc.assert(
    fc.property(counts, ([x, n]) => {
      assert.ok(clopperPearsonLower(x, n, 0.001)! <= clopperPearsonLower(x, n, 0.05)!);
    }),
  );
  fc.assert(
    fc.property(scores, fc.constantFrom(0.2, 0.05, 1e-6), (xs, error) => {
      const bound = bettingLower(xs, error)!;
      assert.ok(bound >= 0 && bound < 1);
      if (xs.every((x) => x === 0)) assert.ok(bound < 1e-9);
    }),
  );
});

test('the recursion of the e-detector equals the sum over every start it stands for', () => {
  fc.assert(
    fc.property(scores, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (xs, level) => {
      const detector = noEvidence();
      xs.forEach((x, i) => {
        advance(detector, x, level, i);
      });
      const naive = DROP_GRID.map((d) => {
        const bets = xs.map((x) => 1 + (d / (1 - level)) * (level - x));
        let sum = 0;
        for (let start = 0; start < bets.length; start++)
          sum += bets.slice(start).reduce((product, bet) => product * bet, 1);
        return sum;
      });
      const expected = naive.reduce((sum, value, j) => sum + DROP_WEIGHTS[j]! * value, 0);
      assert.ok(Math.abs(evidence(detector) - expected) <= 1e-9 * Math.max(1, expected));
    }),
  );
});

test('evidence is never negative, and that of the best start is never above the whole', () => {
  const levels = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 60, maxLength: 60 });
  fc.assert(
    fc.property(scores, levels, (xs, ms) => {
      const detector = noEvidence();
      xs.forEach((x, i) => {
        advance(detector, x, ms[i]!, i);
        const { roberts, cusum } = detector;
        assert.ok(cusum.every((value, j) => value >= 0 && value <= roberts[j]! * (1 + 1e-12)));
      });
    }),
  );
});

test('the fast change point equals trying every cut', () => {
  const entropy = (p: number) => (p <= 0 || p >= 1 ? 0 : -p * Math.log(p) - (1 - p) * Math.log(1 - p));
  const meanOf = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 0.25, 0.5, 1), { maxLength: 40 }), (xs) => {
      const tried: number[] = [];
      for (let k = 1; k < xs.length; k++) {
        const [before, after] = [meanOf(xs.slice(0, k)), meanOf(xs.slice(k))];
        if (after < before) tried[k] = -k * entropy(before) - (xs.length - k) * entropy(after);
      }
      const found = fallPoint(xs);
      const best = Math.max(...Object.values(tried));
      if (!found) return assert.ok(Object.keys(tried).length === 0);
      assert.ok(Math.abs(tried[found.cut]! - best) < 1e-9);
      for (const [k, value] of Object.entries(tried))
        assert.ok(Math.abs(found.relative[Number(k)]! - (value - best)) < 1e-9);
    }),
  );
});
