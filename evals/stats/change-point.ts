/**
 * Where in a series of scores the mean fell: two means, one cut, by profile quasi-likelihood.
 *
 * For a cut after k scores the log-likelihood is −k·h(mean before) − (n−k)·h(mean after), h the binary entropy:
 * exact for 0/1 scores, and a quasi-likelihood (McCullagh & Nelder 1989, ch. 9) for scores in between, on which
 * it is conservative: they vary less than coins do. Only cuts with a lower mean after than before count.
 * The support region holds the cuts within `SUPPORT` of the best one (Royall 1997: e³ ≈ 20, "strong evidence"
 * against what lies outside). It is a likelihood region, not a confidence interval.
 */

const SUPPORT = 3;

export interface Fall {
  /** Scores before the cut, 1..n−1, at the highest likelihood. */
  cut: number;
  /** First and last cut of the support region. */
  low: number;
  high: number;
  /** Log-likelihood of each cut relative to the best (0), by number of scores before it; −∞ where no fall. */
  relative: number[];
}

/** The cut of the deepest fall; `undefined` when the mean falls nowhere (or there are fewer than two scores). */
export function fallPoint(scores: readonly number[]): Fall | undefined {
  const n = scores.length;
  let total = 0;
  for (const score of scores) total += score;
  const logLikelihood = new Array<number>(n + 1).fill(Number.NEGATIVE_INFINITY);
  let cut = 0;
  let best = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (let k = 1; k < n; k++) {
    sum += scores[k - 1]!;
    const before = sum / k;
    const after = (total - sum) / (n - k);
    if (after >= before) continue;
    const value = -k * entropy(before) - (n - k) * entropy(after);
    logLikelihood[k] = value;
    if (value > best) {
      best = value;
      cut = k;
    }
  }
  if (cut === 0) return undefined;
  const relative = logLikelihood.map((value) => value - best);
  return {
    cut,
    low: relative.findIndex((value) => value >= -SUPPORT),
    high: relative.findLastIndex((value) => value >= -SUPPORT),
    relative,
  };
}

/** Entropy of a coin in nats; 0·ln 0 = 0. Sums of floats may leave [0,1] by a rounding error. */
export function entropy(p: number): number {
  const term = (q: number) => (q > 0 ? -q * Math.log(q) : 0);
  return term(p) + term(1 - p);
}
