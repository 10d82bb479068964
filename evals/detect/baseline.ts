import { bettingLower } from '../stats/betting-bound.ts';
import { clopperPearsonLower } from '../stats/binomial-interval.ts';

/**
 * What a loop's own first scores say of its level: a bound that the mean is above, and one that it is below.
 *
 * The bounds are taken at fixed times only, after 50, 100, 200, … scores of the regime, each at its own error
 * level, and only ever tightened: a fall that comes into a later epoch does not lower what was learnt before it.
 * (Letting all but the last two lapse would halve the false alarms, and miss one in six falls from .84 to .50
 * that come after 50 scores, instead of one in 150.) All levels together stay below `BASELINE_ERROR`:
 *   regime r (r rises were confirmed before)  0.8 · 0.2^r     Σ = 1
 *   epoch k                                   2^−(k+1)        Σ < 1
 *   method (exact for 0/1, betting else)      ½ each: which one is taken depends on the scores
 * Each bound holds as long as no earlier mean was above the present one (for `high`: below).
 *
 * A loop whose bound is wrong is soon called fallen, so this error is small although the promise would bear more
 * of it: within n runs at most n/arl + BASELINE_ERROR of the healthy loops alarm. Measured (coins of .6 to .97,
 * 3,000 loops each) within 1,000 runs: 0.5 % for an arl of 10⁴, below 0.1 % for 10⁶. At 0.2 it would be 1.8 %
 * and 0.5 %, and a fall from .84 to .50 after 200 scores be seen after 42 runs instead of 48.
 */
export const BASELINE_ERROR = 0.05;

/** Learning ends after this epoch: 50·2⁶ = 3,200 scores. What a mean is by then, it is; and a slow slide must not become normal. */
const EPOCHS = 7;

export interface Baseline {
  regime: number;
  /** Epochs done in this regime. */
  epoch: number;
  /** The regime's scores so far; emptied when learning has ended. */
  scores: number[];
  /** The mean is above `low` and below `high`, but for `BASELINE_ERROR` each; null before the first epoch. */
  low: Bound | null;
  high: Bound | null;
}

export interface Bound {
  value: number;
  /** Scores it stands on, and their mean. */
  n: number;
  mean: number;
}

export const noBaseline = (): Baseline => ({ regime: 0, epoch: 0, scores: [], low: null, high: null });

/** A score later. Changes `baseline` in place. `first` is the number of scores of the first epoch. */
export function learn(baseline: Baseline, score: number, first: number): void {
  if (baseline.epoch === EPOCHS) return;
  const { scores } = baseline;
  scores.push(score);
  if (scores.length < first * 2 ** baseline.epoch) return;
  const error = (BASELINE_ERROR * 0.8 * 0.2 ** baseline.regime * 2 ** -(baseline.epoch + 1)) / 2;
  const n = scores.length;
  const mean = scores.reduce((a, b) => a + b, 0) / n;
  const low = lowerBound(scores, error);
  const high =
    1 -
    lowerBound(
      scores.map((x) => 1 - x),
      error,
    );
  if (!baseline.low || low > baseline.low.value) baseline.low = { value: low, n, mean };
  if (!baseline.high || high < baseline.high.value) baseline.high = { value: high, n, mean };
  baseline.epoch++;
  if (baseline.epoch === EPOCHS) baseline.scores = [];
}

/**
 * After a confirmed rise: learn anew. What the mean was above it is still above; what it was below it may have
 * left. Only scores after the alarm count: those that raised it are not a fair sample.
 */
export const relearn = (baseline: Baseline): Baseline => ({
  ...noBaseline(),
  regime: baseline.regime + 1,
  low: baseline.low,
});

/** After a confirmed fall: the last `count` scores belong to the fall, not to the baseline. */
export function forget(baseline: Baseline, count: number): void {
  baseline.scores.length = Math.max(0, baseline.scores.length - count);
}

function lowerBound(scores: readonly number[], error: number): number {
  const sum = scores.reduce((a, b) => a + b, 0);
  const isBinary = scores.every((x) => Number.isInteger(x));
  return isBinary ? clopperPearsonLower(sum, scores.length, error)! : bettingLower(scores, error)!;
}
