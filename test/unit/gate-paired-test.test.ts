import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fallP, pairsNeeded } from '../../evals/gate/paired-test.ts';
import { seededRandom } from '../../src/clock.ts';

/** All ways to set the signs, counted. */
function naive(differences: readonly number[]): number {
  const seen = differences.reduce((a, b) => a + b, 0);
  const sums = differences
    .filter((d) => d !== 0)
    .reduce<number[]>((all, d) => all.flatMap((sum) => [sum - Math.abs(d), sum + Math.abs(d)]), [0]);
  return sums.filter((sum) => sum <= seen + 1e-9).length / sums.length;
}

test('scores of 0 and 1: the exact one-sided McNemar test, as R gives it', () => {
  const outcome = (worse: number, better: number, same = 5) => [
    ...Array<number>(worse).fill(-1),
    ...Array<number>(better).fill(1),
    ...Array<number>(same).fill(0),
  ];
  // binom.test(worse, worse + better, alternative = "greater")$p.value
  const cases: [worse: number, better: number, p: number][] = [
    [10, 2, 79 / 4096],
    [5, 0, 1 / 32],
    [0, 4, 1],
    [3, 3, 42 / 64],
  ];
  for (const [worse, better, p] of cases)
    assert.ok(Math.abs(fallP(outcome(worse, better))! - p) < 1e-12, `${worse} against ${better}`);
  assert.equal(fallP([]), undefined);
  assert.equal(fallP([0, 0]), undefined, 'no item differs: nothing is known, and not p = 0 or 1');
});

test('p is the share of all sign changes whose sum is as low', () => {
  const difference = fc.constantFrom(-1, -0.5, -0.3, 0, 0.2, 0.5, 1);
  fc.assert(
    fc.property(fc.array(difference, { minLength: 1, maxLength: 11 }), (differences) => {
      const p = fallP(differences);
      if (p === undefined) return differences.every((d) => d === 0);
      return Math.abs(p - naive(differences)) < 1e-9;
    }),
  );
});

test('with many items signs are drawn, and come close to all of them', () => {
  const random = seededRandom(3);
  for (let round = 0; round < 3; round++) {
    const differences = Array.from({ length: 17 }, () => random() - 0.62);
    const exact = naive(differences);
    const drawn = fallP(differences)!;
    assert.ok(
      Math.abs(drawn - exact) < 6 * Math.sqrt((exact * (1 - exact)) / 99_999) + 2e-5,
      `${drawn} ${exact}`,
    );
    assert.equal(fallP(differences), drawn, 'the same scores give the same p');
  }
});

test('a change that does nothing is refused with at most the stated chance', () => {
  // 2,000 rounds: 4 standard deviations of a share of .05 are .0195; by chance this fails once in 30,000 seeds.
  const random = seededRandom(11);
  const rounds = 2_000;
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const binary = round % 2 === 0;
    const score = () => (binary ? Number(random() < 0.8) : Math.round(random() * 10) / 10);
    const differences = Array.from({ length: binary ? 60 : 12 }, () => score() - score());
    if ((fallP(differences) ?? 1) <= 0.05) refused++;
  }
  assert.ok(refused / rounds <= 0.05 + 0.0195, `${refused} of ${rounds}`);
  assert.ok(refused / rounds >= 0.01, 'and the test does refuse');
});

test('so many items are needed that the error can be undercut at all', () => {
  for (const error of [0.5, 0.25, 0.05, 0.03125, 0.01, 0.001]) {
    const n = pairsNeeded(error);
    assert.ok(fallP(Array(n).fill(-1))! <= error);
    assert.ok(n === 1 || fallP(Array(n - 1).fill(-1))! > error);
  }
});

test('ten thousand items are compared in bounded time, and a fall among them is found', () => {
  const random = seededRandom(5);
  const differences = Array.from({ length: 10_000 }, () => random() - 0.52);
  assert.ok(fallP(differences)! < 0.001);
});
