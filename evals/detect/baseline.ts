import { bettingLower } from '../stats/betting-bound.ts';
import { clopperPearsonLower } from '../stats/binomial-interval.ts';
import type { Moments } from '../stats/e-detector.ts';
import { momentLower } from '../stats/moment-bound.ts';

/**
 * What a loop's own first values say of its level: a bound that the mean is above, and one that it is below.
 *
 * The bounds are taken at fixed times only, after 50, 100, 200, … values of the regime, each at its own error
 * level, and only ever tightened: a fall that comes into a later epoch does not lower what was learnt before it.
 * (Letting all but the last two lapse would halve the false alarms, and miss one in six falls from .84 to .50
 * that come after 50 values, instead of one in 150.) All levels together stay below `error`:
 *   regime r (r rises were confirmed before)  0.8 · 0.2^r     Σ = 1
 *   epoch k                                   EPOCH_SHARES    Σ = 1
 *   method                                    0.8 exact, for 0/1; 0.2 betting, else: the values choose
 * Each bound holds as long as no earlier mean was above the present one (for `high`: below).
 *
 * A loop whose bound is wrong is soon called fallen, so the error is kept small although the promise would bear
 * more of it: within n runs at most n/arl + error of the healthy loops alarm. Measured (coins of .6, .84 and .97,
 * 1,500 loops each, error .05) within 1,000 runs: 0.1 to 0.3 % for an arl of 10⁴, none for 10⁶.
 *
 * Only the moments are kept, and for two epochs, where it tells most, the values: the state stays small.
 */

/** A bound from few values is the furthest off when it is wrong: later epochs have their share. */
const EPOCH_SHARES: readonly number[] = [0.2, 0.15, 0.15, 0.15, 0.125, 0.125, 0.1];
/** Learning ends after these: 50·2⁶ = 3,200 values. What a mean is by then, it is; and a slow slide must not become normal. */
const EPOCHS = EPOCH_SHARES.length;
/** Of a level's error, for the exact bound. */
const EXACT_SHARE = 0.8;
/** For so many epochs the values themselves are kept. */
const EPOCHS_IN_FULL = 2;

/** Plain data. */
export interface Baseline extends Moments {
  regime: number;
  /** Epochs done in this regime. */
  epoch: number;
  /** The values in their order; empty when they are no longer kept. */
  values: number[];
  isBinary: boolean;
  /** The mean is above `low` and below `high`, but for the error of each; null before the first epoch. */
  low: Bound | null;
  high: Bound | null;
}

export interface Bound {
  value: number;
  /** Values it stands on, and their mean. */
  n: number;
  mean: number;
}

export const noBaseline = (): Baseline => ({
  regime: 0,
  epoch: 0,
  n: 0,
  sum: 0,
  squares: 0,
  values: [],
  isBinary: true,
  low: null,
  high: null,
});

/**
 * A value later. Changes `baseline` in place. `first` is the number of values of the first epoch, `error` bounds
 * the probability that `low` is ever wrong, and likewise that `high` is.
 */
export function learn(baseline: Baseline, value: number, first: number, error: number): void {
  if (baseline.epoch === EPOCHS) return;
  baseline.n++;
  baseline.sum += value;
  baseline.squares += value * value;
  baseline.isBinary &&= value === 0 || value === 1;
  if (baseline.epoch < EPOCHS_IN_FULL) baseline.values.push(value);
  if (baseline.n < first * 2 ** baseline.epoch) return;
  const share = error * 0.8 * 0.2 ** baseline.regime * EPOCH_SHARES[baseline.epoch]!;
  const { n, sum } = baseline;
  const mean = sum / n;
  const [low, high] = bounds(baseline, share);
  if (!baseline.low || low > baseline.low.value) baseline.low = { value: low, n, mean };
  if (!baseline.high || high < baseline.high.value) baseline.high = { value: high, n, mean };
  baseline.epoch++;
  if (baseline.epoch === EPOCHS_IN_FULL) baseline.values = [];
}

/**
 * After a confirmed rise: learn anew. What the mean was above it is still above; what it was below it may have
 * left. Only values after the alarm count: those that raised it are not a fair sample.
 */
export const relearn = (baseline: Baseline): Baseline => ({
  ...noBaseline(),
  regime: baseline.regime + 1,
  low: baseline.low,
});

/** After a confirmed fall: the last values, of these moments, belong to the fall, not to the baseline. */
export function forget(baseline: Baseline, { n, sum, squares }: Moments): void {
  // When learning has ended they were not learnt.
  if (baseline.epoch === EPOCHS) return;
  const left = Math.max(0, baseline.n - n);
  baseline.values.length = Math.max(0, baseline.values.length - n);
  baseline.n = left;
  baseline.sum = left === 0 ? 0 : Math.min(left, Math.max(0, baseline.sum - sum));
  baseline.squares = left === 0 ? 0 : Math.min(left, Math.max(0, baseline.squares - squares));
}

function bounds(baseline: Baseline, share: number): [low: number, high: number] {
  const { n, sum, squares, values } = baseline;
  if (baseline.isBinary) {
    const error = EXACT_SHARE * share;
    return [clopperPearsonLower(sum, n, error)!, 1 - clopperPearsonLower(n - sum, n, error)!];
  }
  const error = (1 - EXACT_SHARE) * share;
  if (values.length === n)
    return [
      bettingLower(values, error)!,
      1 -
        bettingLower(
          values.map((x) => 1 - x),
          error,
        )!,
    ];
  return [
    momentLower(baseline, error)!,
    1 - momentLower({ n, sum: n - sum, squares: n - 2 * sum + squares }, error)!,
  ];
}
