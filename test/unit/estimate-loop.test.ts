import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fleetAgreement } from '../../evals/estimate/fleet-agreement.ts';
import { AGREEMENT_MIN, estimateLoop, RUNS_MAX } from '../../evals/estimate/loop-estimate.ts';
import { judgedRuns } from '../../evals/stats/confusion.ts';
import { seededRandom } from '../../src/clock.ts';
import type { Observation } from '../../src/records/observation.ts';
import { seriesOf } from '../support/loop-series.ts';

/** A loop of runs that pass and are good with these chances; every `scoreEach`-th is scored. */
function loop(random: () => number, runs: number, scoreEach: number, passIfGood: number, passIfBad: number) {
  return seriesOf({ runs, draw: () => null }).map((run, i): Observation => {
    const good = random() < 0.7;
    return {
      ...run,
      checkerPass: random() < (good ? passIfGood : passIfBad),
      score: i % scoreEach === 0 ? Number(good) : null,
    };
  });
}

const NOTHING = { good_passed: 0, good_failed: 0, bad_passed: 0, bad_failed: 0 };

test('a loop without runs, scores or verdicts is unknown, not 0', () => {
  const unknown = {
    success: null,
    checker: { sensitivity: null, specificity: null, ppv: null, npv: null },
    agreement: { kappa: null, ac1: null, alpha: null },
  };
  assert.deepEqual(estimateLoop([]), {
    ...unknown,
    counts: { runs: 0, scored: 0, passed: 0, failed: 0, judged: NOTHING },
  });
  const unscored = seriesOf({ runs: 9, draw: () => null });
  assert.deepEqual(estimateLoop(unscored), {
    ...unknown,
    counts: { runs: 9, scored: 0, passed: 9, failed: 0, judged: NOTHING },
  });
  const unjudged = estimateLoop(seriesOf({ runs: 9, draw: () => 1, pass: null }));
  assert.equal(unjudged.success?.estimate, 1);
  assert.deepEqual(unjudged.checker, unknown.checker);
});

test('a handful of runs gives no agreement, and a perfect one of a kind only where that can be said', () => {
  const few = estimateLoop(seriesOf({ runs: AGREEMENT_MIN - 1, draw: () => 1 }));
  assert.deepEqual(few.agreement, { kappa: null, ac1: null, alpha: null });
  const all = estimateLoop(seriesOf({ runs: AGREEMENT_MIN, draw: () => 1 }));
  assert.deepEqual(all.agreement, { kappa: null, ac1: 1, alpha: null });
});

test('verdicts and few scores together tell what the loop is like', () => {
  const found = estimateLoop(loop(seededRandom(1), 4000, 20, 0.95, 0.3));
  assert.equal(found.success?.method, 'stratified-exact');
  assert.deepEqual([found.success.n, found.success.N], [200, 4000]);
  assert.ok(
    found.success.low < 0.7 && 0.7 < found.success.high && found.success.high - found.success.low < 0.15,
  );
  const { sensitivity, specificity, ppv } = found.checker;
  assert.ok(sensitivity!.low < 0.95 && 0.95 < sensitivity!.high);
  assert.ok(specificity!.low < 0.7 && 0.7 < specificity!.high);
  assert.ok(ppv!.n > 100 && ppv!.estimate > 0.8);
  for (const value of Object.values(found.agreement)) assert.ok(value! > 0.4 && value! < 0.9);
  const { judged, ...counts } = found.counts;
  assert.deepEqual([counts.runs, counts.scored, counts.passed + counts.failed], [4000, 200, 4000]);
  assert.equal(judgedRuns(judged), 200);
  assert.equal(judged.good_passed / (judged.good_passed + judged.bad_passed), ppv!.estimate);
});

test('a silent failure: verdicts pass, and what they are worth is seen in the specificity', () => {
  const { success, checker, agreement } = estimateLoop(loop(seededRandom(2), 2000, 10, 1, 1));
  assert.ok(success!.high < 0.8);
  assert.equal(checker.specificity!.estimate, 0);
  assert.equal(checker.sensitivity!.estimate, 1);
  assert.equal(agreement.kappa, 0);
});

test('a checker is not blackened where its failed runs are scored more often than its passed ones', (t) => {
  const random = seededRandom(6);
  const rounds = 150;
  const truth = { sensitivity: 0.95, specificity: 0.7 };
  const kappa = (0.7 * 0.95 + 0.3 * 0.7 - (0.7 * 0.755 + 0.3 * 0.245)) / (1 - (0.7 * 0.755 + 0.3 * 0.245));
  for (const [name, scoredPassed, scoredFailed] of [
    ['alike', 0.1, 0.1],
    ['failed more often', 0.05, 0.5],
  ] as const) {
    const covers = { sensitivity: 0, specificity: 0 };
    let kappas = 0;
    for (let round = 0; round < rounds; round++) {
      const runs = loop(random, 1000, 1, 0.95, 0.3).map((run) => ({
        ...run,
        score: random() < (run.checkerPass ? scoredPassed : scoredFailed) ? run.score : null,
      }));
      const { checker, agreement } = estimateLoop(runs);
      for (const rate of ['sensitivity', 'specificity'] as const)
        if (checker[rate]!.low <= truth[rate] && truth[rate] <= checker[rate]!.high) covers[rate]++;
      kappas += agreement.kappa! / rounds;
    }
    t.diagnostic(`${name}: of ${rounds} cover ${JSON.stringify(covers)}; κ ${kappas.toFixed(3)}`);
    for (const n of Object.values(covers))
      assert.ok(n / rounds >= 0.95 - 3 * Math.sqrt((0.95 * 0.05) / rounds), `${name}: ${n}`);
    assert.ok(Math.abs(kappas - kappa) < 0.02, `${name}: ${kappas} for ${kappa}`);
  }
});

test('what hangs on a verdict that was never scored is not known', () => {
  const runs = loop(seededRandom(7), 400, 1, 0.95, 0.3).map((run) => ({
    ...run,
    score: run.checkerPass ? run.score : null,
  }));
  const { checker, agreement } = estimateLoop(runs);
  assert.ok(checker.ppv);
  assert.deepEqual([checker.npv, checker.sensitivity, checker.specificity], [null, null, null]);
  assert.deepEqual(agreement, { kappa: null, ac1: null, alpha: null });
});

test('only the latest runs count', () => {
  const series = seriesOf({ runs: 500, draw: () => 0 }, { runs: RUNS_MAX, draw: () => 1 });
  assert.equal(estimateLoop(series).counts.runs, RUNS_MAX);
  assert.equal(estimateLoop(series).success?.estimate, 1);
});

test('what is printed is the same after JSON', () => {
  const found = estimateLoop(loop(seededRandom(3), 200, 4, 0.9, 0.2));
  assert.deepEqual(JSON.parse(JSON.stringify(found)), found);
});

test('the agreement of a fleet has intervals from twelve loops, and none from nine', () => {
  const random = seededRandom(4);
  const fleet = Array.from({ length: 12 }, () => estimateLoop(loop(random, 100, 4, 0.95, 0.3)).counts);
  const found = fleetAgreement([...fleet, estimateLoop([]).counts], seededRandom(5));
  assert.deepEqual([found.loops, found.judged], [12, 300]);
  for (const { value, low, high } of [found.kappa!, found.ac1!, found.alpha!])
    assert.ok(low < value && value < high && high - low < 0.4);
  assert.deepEqual(fleetAgreement(fleet, seededRandom(5)), found);
  const few = fleetAgreement(fleet.slice(0, 9), random);
  assert.deepEqual(few, { kappa: null, ac1: null, alpha: null, loops: 9, judged: 225 });
});
