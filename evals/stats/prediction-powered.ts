import { type Interval, normalQuantile } from './binomial-interval.ts';

/**
 * PPI++: the mean of labels Y from few pairs (Y, f) and many predictions f alone.
 *
 * n runs with both and N further ones with f only, the n a uniform sample of all n + N:
 *   θ = λ·mean_N(f) + mean_n(Y − λf),  SE² = λ²·Var_N(f)/N + Var_n(Y − λf)/n,
 *   λ = clip₀₁(Cov_n(Y, f) / ((1 + n/N)·Var_{n+N}(f))).
 * θ is unbiased for every fixed λ, however bad f is. λ is the one of least variance, so a useless f is left aside
 * (λ → 0, the mean of the labels) and the interval is asymptotically never wider than that of the labels alone.
 * Angelopoulos, Duchi & Zrnic, "PPI++: Efficient prediction-powered inference" (2023), for a mean; variances of labels
 * with n − 1, so that little data does not make sure.
 *
 * The interval is normal. It holds its level where labels are many and errors are not rare; with a handful of errors
 * it is too short, and with none it has no width: `successRate` says when it is used.
 */
export interface Labelled {
  /** Label and prediction, both in [0, 1]. */
  y: number;
  f: number;
}

/** The predictions of runs without a label: how many, their mean, and their variance (divided by N). */
export interface Unlabelled {
  count: number;
  mean: number;
  variance: number;
}

export interface PredictionPowered extends Interval {
  estimate: number;
  standardError: number;
  lambda: number;
}

/** `undefined` with fewer than two labels. Without further predictions it is the mean of the labels. */
export function predictionPowered(
  labelled: readonly Labelled[],
  unlabelled: Unlabelled,
  confidence = 0.95,
): PredictionPowered | undefined {
  const n = labelled.length;
  if (n < 2) return undefined;
  const N = unlabelled.count;
  const meanY = mean(labelled.map((l) => l.y));
  const meanF = mean(labelled.map((l) => l.f));
  let covariance = 0;
  let squaresF = 0;
  for (const { y, f } of labelled) {
    covariance += ((y - meanY) * (f - meanF)) / (n - 1);
    squaresF += (f - meanF) ** 2;
  }
  // Spread of all predictions about their common mean.
  const pooled =
    (squaresF + N * unlabelled.variance + ((n * N) / (n + N)) * (meanF - unlabelled.mean) ** 2) / (n + N);
  const lambda = N > 0 && pooled > 0 ? clip(covariance / ((1 + n / N) * pooled)) : 0;
  const rectified = labelled.map(({ y, f }) => y - lambda * f);
  const rectifier = mean(rectified);
  let squares = 0;
  for (const r of rectified) squares += (r - rectifier) ** 2;
  const estimate = lambda * unlabelled.mean + rectifier;
  const standardError = Math.sqrt(
    (lambda > 0 ? (lambda ** 2 * unlabelled.variance) / N : 0) + squares / (n - 1) / n,
  );
  const half = normalQuantile(0.5 + confidence / 2) * standardError;
  return {
    estimate: clip(estimate),
    low: clip(estimate - half),
    high: clip(estimate + half),
    standardError,
    lambda,
  };
}

const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;

const clip = (x: number): number => Math.min(1, Math.max(0, x));
