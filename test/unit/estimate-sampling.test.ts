import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeMean, anytimeActiveMean, LABELS_MIN } from '../../evals/stats/active-estimate.ts';
import {
  chooseForLabels,
  expectedError,
  inclusionProbabilities,
  type LabelCandidate,
  type LabelSeen,
  learnErrors,
  prediction,
} from '../../evals/stats/active-sampling.ts';
import { seededRandom } from '../../src/clock.ts';

const times = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));

const labels = (n: number, loop: string, checkerPass: boolean, score: number): LabelSeen[] =>
  times(n, () => ({ loop, checkerPass, score }));

test('nothing known is a coin toss, and what is learnt of a loop is shrunk to its like', () => {
  const unknown = { loop: 'new', checkerPass: true };
  assert.equal(expectedError({}, unknown), 0.25);
  // 45 labels of other loops, 9 of them against the verdict: (9 + 5·¼)/(45 + 5).
  const learnt = learnErrors([...labels(36, 'old', true, 1), ...labels(9, 'old', true, 0)]);
  const ofAll = (9 + 5 * 0.25) / 50;
  assert.ok(Math.abs(expectedError(learnt, unknown) - ofAll) < 1e-12);
  assert.ok(
    Math.abs(expectedError(learnt, { loop: 'old', checkerPass: true }) - (9 + 5 * ofAll) / 50) < 1e-12,
  );
  // Nothing was seen of fails.
  assert.equal(expectedError(learnt, { loop: 'old', checkerPass: false }), 0.25);
});

test('a feature tells apart what the verdict does not, and a run without verdict is predicted at one half', () => {
  const learnt = learnErrors([
    ...labels(50, 'l', true, 1).map((l) => ({ ...l, feature: 'short' })),
    ...labels(50, 'l', true, 0).map((l) => ({ ...l, feature: 'long' })),
  ]);
  const at = (feature: string) => expectedError(learnt, { loop: 'l', checkerPass: true, feature });
  assert.ok(at('long') > 0.9 && at('short') < 0.1);
  assert.equal(prediction(null), 0.5);
  const unjudged = { loop: 'l', checkerPass: null };
  assert.equal(expectedError(learnErrors([{ ...unjudged, score: 1 }]), unjudged), 0.25);
});

test('what the fleet learns is plain data, whatever the loops are called', () => {
  const learnt = learnErrors(labels(100, '__proto__', true, 0));
  const restored = JSON.parse(JSON.stringify(learnt));
  assert.ok(expectedError(restored, { loop: '__proto__', checkerPass: true }) > 0.9);
  assert.throws(() => learnErrors(labels(1, 'l', true, 2)), /score in \[0, 1\], got 2/);
});

test('more labels than runs takes all of them, and a floor the budget cannot pay gives way', () => {
  assert.deepEqual(inclusionProbabilities([1, 2], { labels: 2, floor: 0.1 }), [1, 1]);
  assert.deepEqual(inclusionProbabilities([1, 9, 1, 1], { labels: 1, floor: 0.5 }), [0.25, 0.25, 0.25, 0.25]);
  assert.deepEqual(inclusionProbabilities([], { labels: 5, floor: 0.1 }), []);
  assert.deepEqual(inclusionProbabilities([1, 1], { labels: 0, floor: 0 }), [0, 0]);
  assert.throws(() => inclusionProbabilities([1], { labels: -1, floor: 0 }), /labels ≥ 0/);
});

const candidatesOf = (random: () => number, n: number, passRate: number): LabelCandidate[] =>
  times(n, (i) => ({ runId: `r${i}`, loop: 'l', checkerPass: random() < passRate, u: random() }));

test('who is chosen hangs on the hash alone: the same again, in any order', () => {
  const candidates = candidatesOf(seededRandom(5), 500, 0.9);
  const budget = { labels: 30, floor: 0.02 };
  const chosen = chooseForLabels(candidates, {}, budget);
  assert.deepEqual(chooseForLabels(candidates, {}, budget), chosen);
  const byId = (a: { runId: string }, b: { runId: string }) => (a.runId < b.runId ? -1 : 1);
  assert.deepEqual(chooseForLabels(candidates.toReversed(), {}, budget).sort(byId), chosen.toSorted(byId));
  for (const { runId, probability } of chosen)
    assert.ok(candidates.find((c) => c.runId === runId)!.u < probability);
});

test('labels go where the checker errs, within the budget on average', () => {
  const random = seededRandom(6);
  // Passes were always right, one fail in two was wrong.
  const learnt = learnErrors([
    ...labels(200, 'l', true, 1),
    ...labels(20, 'l', false, 0),
    ...labels(20, 'l', false, 1),
  ]);
  let total = 0;
  let fails = 0;
  for (let day = 0; day < 100; day++) {
    const candidates = candidatesOf(random, 300, 0.9);
    const passes = new Map(candidates.map((c) => [c.runId, c.checkerPass]));
    for (const { runId, probability } of chooseForLabels(candidates, learnt, { labels: 20, floor: 0.02 })) {
      assert.ok(probability >= 0.02 && probability <= 1);
      total++;
      if (!passes.get(runId)) fails++;
    }
  }
  // 2,000 expected; three standard deviations of a sum of independent choices are at most 3·√2000.
  assert.ok(Math.abs(total - 2000) < 3 * Math.sqrt(2000), `${total} labels`);
  // A tenth of the runs, more than half of the labels.
  assert.ok(fails > total / 2, `${fails} of ${total}`);
});

/** A loop whose checker lets a share of bad runs pass, sampled for a while; what is learnt carries over. */
function sampled(random: () => number, days: number, budget: { labels: number; floor: number } | 'uniform') {
  const runs: Parameters<typeof activeMean>[0][number][] = [];
  const seen: LabelSeen[] = [];
  for (let day = 0; day < days; day++) {
    const candidates = candidatesOf(random, 200, 0.8);
    const chosen = new Map(
      chooseForLabels(
        candidates,
        budget === 'uniform' ? {} : learnErrors(seen),
        budget === 'uniform' ? { labels: 20, floor: 0.1 } : budget,
      ).map((c) => [c.runId, c.probability]),
    );
    for (const { runId, checkerPass } of candidates) {
      const y = random() < (checkerPass ? 0.99 : 0.4) ? 1 : 0;
      const probability = chosen.get(runId);
      const f = prediction(checkerPass);
      runs.push(probability === undefined ? { f } : { f, label: { y, probability } });
      if (probability !== undefined) seen.push({ loop: 'l', checkerPass, score: y });
    }
  }
  return runs;
}
const THETA = 0.8 * 0.99 + 0.2 * 0.4;

test('the active estimate covers, and is closer than one from as many labels chosen blindly', (t) => {
  const random = seededRandom(7);
  const rounds = 200;
  let covered = 0;
  let active = 0;
  let uniform = 0;
  for (let round = 0; round < rounds; round++) {
    const a = activeMean(sampled(random, 10, { labels: 20, floor: 0.03 }))!;
    const u = activeMean(sampled(random, 10, 'uniform'))!;
    if (a.low <= THETA && THETA <= a.high) covered++;
    active += (a.estimate - THETA) ** 2 / rounds;
    uniform += (u.estimate - THETA) ** 2 / rounds;
  }
  t.diagnostic(
    `covers ${covered / rounds}; variance ${(active / uniform).toFixed(2)} of that of blind labels`,
  );
  assert.ok(covered / rounds >= 0.95 - 3 * Math.sqrt((0.95 * 0.05) / rounds));
  assert.ok(active < 0.85 * uniform);
});

test('the anytime estimate holds at every look', () => {
  const random = seededRandom(8);
  let wrong = 0;
  for (let round = 0; round < 60; round++) {
    const runs = sampled(random, 10, { labels: 40, floor: 0.15 });
    const missed = [100, 400, 1000, 2000].some((n) => {
      const { low, high } = anytimeActiveMean(runs.slice(0, n), 0.15)!;
      return THETA < low || high < THETA;
    });
    if (missed) wrong++;
  }
  // At most 5 % by the promise; 60 rounds give 3 standard deviations of 5.
  assert.ok(wrong <= 8, `${wrong} of 60`);
});

test('few labels, or none against the checker, give no active estimate, and wrong chances are refused', () => {
  const run = (y: number) => ({ f: 1, label: { y, probability: 0.5 } });
  assert.equal(activeMean([]), undefined);
  assert.equal(activeMean(times(LABELS_MIN - 1, () => run(0))), undefined);
  assert.equal(activeMean(times(LABELS_MIN, () => run(1))), undefined);
  assert.equal(activeMean(times(LABELS_MIN, () => run(0)))!.n, LABELS_MIN);
  assert.equal(anytimeActiveMean([], 0.1), undefined);
  assert.throws(() => anytimeActiveMean([run(1)], 0.6), /chances of at least 0.6, got 0.5/);
  assert.throws(
    () => activeMean(times(LABELS_MIN, () => ({ f: 1, label: { y: 0, probability: 0 } }))),
    /chance in/,
  );
});
