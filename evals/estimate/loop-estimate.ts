import type { Observation } from '../../src/records/observation.ts';
import { USEFUL_SCORE } from '../../src/store/fleet.ts';
import { type Confusion, confusionAgreement, confusionOf, spreadLikeRuns } from '../stats/confusion.ts';
import { checkerAccuracy, type Rate } from '../stats/rates.ts';
import { type SuccessRate, successRate } from '../stats/success-rate.ts';

/**
 * A loop in figures people read: how often it succeeds, and how far its checker can be trusted.
 *
 * Scores that are golden and verdicts that are not meet here. Success counts scores as they are; the checker is held
 * against whether a score is good, at least `USEFUL_SCORE`. A run without a verdict did not pass and did not fail: it
 * counts for success and not for the checker.
 *
 * The assumption: scores are a fair sample within a verdict. Where the failed runs were scored more often than the
 * passed, each verdict still weighs what its runs do; where a verdict has runs and no score, what hangs on both is
 * not known. Chances that differ within a verdict are for stats/active-estimate.ts.
 *
 * `null` is "nobody knows", never 0. Intervals are 95 %. Coefficients of agreement stand without one, so they need
 * `AGREEMENT_MIN` runs with both; a fleet's have intervals (fleet-agreement.ts).
 */
export interface LoopEstimate {
  success: SuccessRate | null;
  checker: { sensitivity: Share | null; specificity: Share | null; ppv: Share | null; npv: Share | null };
  agreement: { kappa: number | null; ac1: number | null; alpha: number | null };
  counts: EstimateCounts;
}

export type Share = Omit<Rate, 'effectiveN'>;

/** What the figures stand on, and what is missing beside it. A run whose scorer failed is unscored. */
export interface EstimateCounts {
  runs: number;
  scored: number;
  passed: number;
  failed: number;
  /** Scored runs with a verdict, by what both say. */
  judged: Confusion;
}

export const AGREEMENT_MIN = 10;
/** What a loop is now is told by its latest runs. */
export const RUNS_MAX = 10_000;

/** The estimates from the latest `RUNS_MAX` of `runs`, which come in the loop's order. */
export function estimateLoop(runs: readonly Observation[]): LoopEstimate {
  const latest = runs.slice(-RUNS_MAX);
  const judged = latest.flatMap(({ checkerPass, score }) =>
    checkerPass === null || score === null ? [] : [{ pass: checkerPass, good: score >= USEFUL_SCORE }],
  );
  const counts: EstimateCounts = {
    runs: latest.length,
    scored: latest.filter(({ score }) => score !== null).length,
    passed: latest.filter(({ checkerPass }) => checkerPass === true).length,
    failed: latest.filter(({ checkerPass }) => checkerPass === false).length,
    judged: confusionOf(judged),
  };
  return {
    success: successRate(latest.map(({ checkerPass, score }) => ({ pass: checkerPass, score }))) ?? null,
    checker: checkerOf(judged, counts),
    agreement: agreementOf(judged.length, counts),
    counts,
  };
}

function checkerOf(
  judged: readonly { pass: boolean; good: boolean }[],
  { judged: c, passed, failed }: EstimateCounts,
): LoopEstimate['checker'] {
  const ofPassed = (c.good_passed + c.bad_passed) / passed;
  const ofFailed = (c.good_failed + c.bad_failed) / failed;
  const rates = checkerAccuracy(
    judged.map((run) => ({ ...run, probability: run.pass ? ofPassed : ofFailed })),
  );
  const isWhole = spreadLikeRuns(c, passed, failed) !== undefined;
  return {
    sensitivity: isWhole ? share(rates.sensitivity) : null,
    specificity: isWhole ? share(rates.specificity) : null,
    ppv: share(rates.ppv),
    npv: share(rates.npv),
  };
}

function share(rate: Rate | undefined): Share | null {
  if (!rate) return null;
  const { estimate, low, high, n } = rate;
  return { estimate, low, high, n };
}

function agreementOf(n: number, { judged, passed, failed }: EstimateCounts): LoopEstimate['agreement'] {
  const spread = n < AGREEMENT_MIN ? undefined : spreadLikeRuns(judged, passed, failed);
  const agreement = spread && confusionAgreement(spread);
  return {
    kappa: agreement?.kappa ?? null,
    ac1: agreement?.ac1 ?? null,
    alpha: agreement?.alpha ?? null,
  };
}
