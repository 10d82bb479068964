import { betaQuantile } from './beta.ts';

/**
 * Intervals for a proportion. No trials, no interval: `undefined`, never [0, 1] dressed up as knowledge.
 */
export interface Interval {
  low: number;
  high: number;
}

/**
 * Wilson's score interval for `successes` (0..trials, fractions allowed: the sum of scores in [0,1] gives a
 * conservative interval for their mean), two-sided at `confidence`.
 * E. B. Wilson, JASA 22 (1927); without continuity correction, as Newcombe 1998, method 3.
 */
export function wilson(successes: number, trials: number, confidence = 0.95): Interval | undefined {
  check(successes, trials);
  if (trials === 0) return undefined;
  const z = normalQuantile(0.5 + confidence / 2);
  const p = successes / trials;
  const centre = p + (z * z) / (2 * trials);
  const half = z * Math.sqrt((p * (1 - p)) / trials + (z * z) / (4 * trials * trials));
  const scale = 1 + (z * z) / trials;
  return {
    low: successes === 0 ? 0 : (centre - half) / scale,
    high: successes === trials ? 1 : (centre + half) / scale,
  };
}

/**
 * The exact interval of Clopper & Pearson, Biometrika 26 (1934), two-sided at `confidence`:
 * quantiles of Beta(x, n−x+1) and Beta(x+1, n−x).
 */
export function clopperPearson(successes: number, trials: number, confidence = 0.95): Interval | undefined {
  check(successes, trials);
  if (trials === 0) return undefined;
  const error = (1 - confidence) / 2;
  return {
    low: clopperPearsonLower(successes, trials, error)!,
    high: 1 - clopperPearsonLower(trials - successes, trials, error)!,
  };
}

/** One-sided: the largest p that `successes` or more out of `trials` refute at level `error`. */
export function clopperPearsonLower(successes: number, trials: number, error: number): number | undefined {
  check(successes, trials);
  if (!Number.isInteger(successes)) throw new RangeError(`expected whole successes, got ${successes}`);
  if (trials === 0) return undefined;
  return successes === 0 ? 0 : betaQuantile(error, successes, trials - successes + 1);
}

/**
 * The standard normal quantile: P. J. Acklam's rational approximation (relative error 1.15e-9), good to the
 * digits an interval is ever shown with.
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`normalQuantile: expected p in (0, 1), got ${p}`);
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return (
      polynomial(
        [
          -7.784894002430293e-3, -0.3223964580411365, -2.400758277161838, -2.549732539343734,
          4.374664141464968, 2.938163982698783,
        ],
        q,
      ) / polynomial([7.784695709041462e-3, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1], q)
    );
  }
  const q = p - 0.5;
  const r = q * q;
  return (
    (q *
      polynomial(
        [
          -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
          2.506628277459239,
        ],
        r,
      )) /
    polynomial(
      [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1],
      r,
    )
  );
}

/** Horner's rule, highest power first. */
function polynomial(coefficients: readonly number[], x: number): number {
  let value = 0;
  for (const c of coefficients) value = value * x + c;
  return value;
}

function check(successes: number, trials: number): void {
  if (!(Number.isInteger(trials) && trials >= 0 && successes >= 0 && successes <= trials))
    throw new RangeError(`expected 0 ≤ successes ≤ trials, got ${successes} of ${trials}`);
}
