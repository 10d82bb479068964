import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { eBenjaminiHochberg } from '../../evals/stats/e-bh.ts';
import { seededRandom } from '../../src/clock.ts';

const eValues = fc.array(fc.constantFrom(0, 0.5, 1, 5, 20, 40, 41, 100, 1e6, 1e100), { maxLength: 8 });
const share = fc.constantFrom(0.01, 0.05, 0.1, 0.5, 1);

test('the picked ones are the largest set whose every member is large enough for its size', () => {
  fc.assert(
    fc.property(eValues, share, (values, alpha) => {
      // Every subset, by brute force.
      let best: number[] = [];
      for (let bits = 1; bits < 2 ** values.length; bits++) {
        const places = [...values.keys()].filter((i) => bits & (1 << i));
        const isSound = places.every((i) => values[i]! >= values.length / (places.length * alpha));
        if (isSound && places.length > best.length) best = places;
      }
      const picked = eBenjaminiHochberg(values, alpha);
      assert.equal(picked.length, best.length);
      const least = Math.min(...picked.map((i) => values[i]!));
      const others = [...values.keys()].filter((i) => !picked.includes(i));
      assert.ok(others.every((i) => values[i]! <= least));
      assert.deepEqual(
        picked,
        picked.toSorted((a, b) => values[b]! - values[a]! || a - b),
      );
    }),
  );
});

test('one e-value is held against 1/share, none gives none, and a senseless share is refused', () => {
  assert.deepEqual(eBenjaminiHochberg([19.9], 0.05), []);
  assert.deepEqual(eBenjaminiHochberg([20], 0.05), [0]);
  assert.deepEqual(eBenjaminiHochberg([], 0.05), []);
  for (const alpha of [0, 1.1, Number.NaN]) assert.throws(() => eBenjaminiHochberg([1], alpha), RangeError);
});

test('of e-values that all come from true hypotheses few are picked, also when they depend on each other', () => {
  const random = seededRandom(31);
  const rounds = 4000;
  let withAny = 0;
  for (let i = 0; i < rounds; i++) {
    // Mean 1: a large one in the same round for all of a group.
    const shared = random() < 0.02 ? 50 : 0;
    const values = Array.from({ length: 40 }, (_, k) => (k < 20 ? shared : random() < 0.001 ? 1000 : 0));
    if (eBenjaminiHochberg(values, 0.1).length > 0) withAny++;
  }
  // Every pick is false here, so the share of rounds with any is the false discovery rate: 0.1 at most.
  assert.ok(withAny / rounds <= 0.1, `${withAny} of ${rounds}`);
});
