/**
 * Verdicts against the truth, counted; and how far the two agree, from the counts alone.
 *
 * The coefficients are those of agreement.ts for two raters and two categories, in closed form: a fleet's are taken
 * a thousand times over in a bootstrap, where counts of a loop are four numbers however many runs it had. With n runs,
 * p_o the share on which both say the same, and π the mean share of "good" and "pass":
 *   κ    p_e by the two marginals      AC1  p_e = 2π(1 − π)      α  D_e = 2·n₁·n₀/(2n(2n − 1)), n₁ + n₀ = 2n values
 */

/** With the names of `status --json`. */
export interface Confusion {
  good_passed: number;
  good_failed: number;
  bad_passed: number;
  bad_failed: number;
}

export interface ConfusionAgreement {
  kappa: number | undefined;
  ac1: number | undefined;
  alpha: number | undefined;
}

/** Counts of runs that have both a verdict and a truth. */
export function confusionOf(judged: Iterable<{ pass: boolean; good: boolean }>): Confusion {
  const counts = { good_passed: 0, good_failed: 0, bad_passed: 0, bad_failed: 0 };
  for (const { pass, good } of judged) counts[`${good ? 'good' : 'bad'}_${pass ? 'passed' : 'failed'}`]++;
  return counts;
}

export function addConfusions(confusions: readonly Confusion[]): Confusion {
  const sum = { good_passed: 0, good_failed: 0, bad_passed: 0, bad_failed: 0 };
  for (const c of confusions) {
    sum.good_passed += c.good_passed;
    sum.good_failed += c.good_failed;
    sum.bad_passed += c.bad_passed;
    sum.bad_failed += c.bad_failed;
  }
  return sum;
}

/**
 * What the counts would be on average had as many labels been spread over the verdicts as the runs are: labels may have
 * been chosen by verdict, more of the failed, say, and would otherwise tell of the choice. `undefined` where a verdict
 * has runs and no label: then nobody knows.
 */
export function spreadLikeRuns(c: Confusion, passed: number, failed: number): Confusion | undefined {
  const ofPassed = c.good_passed + c.bad_passed;
  const ofFailed = c.good_failed + c.bad_failed;
  if ((passed > 0 && ofPassed === 0) || (failed > 0 && ofFailed === 0)) return undefined;
  const perRun = judgedRuns(c) / (passed + failed);
  const weightPassed = ofPassed > 0 ? (passed * perRun) / ofPassed : 0;
  const weightFailed = ofFailed > 0 ? (failed * perRun) / ofFailed : 0;
  return {
    good_passed: c.good_passed * weightPassed,
    good_failed: c.good_failed * weightFailed,
    bad_passed: c.bad_passed * weightPassed,
    bad_failed: c.bad_failed * weightFailed,
  };
}

export const judgedRuns = (c: Confusion): number =>
  c.good_passed + c.good_failed + c.bad_passed + c.bad_failed;

/** `undefined` where nothing was judged, or no disagreement by chance is there to compare with. */
export function confusionAgreement(c: Confusion): ConfusionAgreement {
  const n = judgedRuns(c);
  if (n === 0) return { kappa: undefined, ac1: undefined, alpha: undefined };
  const good = (c.good_passed + c.good_failed) / n;
  const passed = (c.good_passed + c.bad_passed) / n;
  const apart = (c.good_failed + c.bad_passed) / n;
  const mean = (good + passed) / 2;
  const apartByMarginals = good * (1 - passed) + (1 - good) * passed;
  const apartByCoding = (mean * (1 - mean) * 4 * n) / (2 * n - 1);
  return {
    kappa: apartByMarginals > 0 ? 1 - apart / apartByMarginals : undefined,
    ac1: 1 - apart / (1 - 2 * mean * (1 - mean)),
    alpha: apartByCoding > 0 ? 1 - apart / apartByCoding : undefined,
  };
}
