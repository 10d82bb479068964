import { logGamma } from './beta.ts';
import { bettingLower } from './betting-bound.ts';
import { clopperPearson, type Interval, wilson } from './binomial-interval.ts';

/**
 * Intervals for a success rate from labels in two strata, the runs that passed their checker and those that did not,
 * that hold their level for any number of labels, also none in a stratum.
 *
 * θ = w·μ1 + (1 − w)·μ0, w the share of runs that pass, μ the rates within. Labels are a uniform sample within their
 * stratum; given the verdicts, the numbers of successes X1, X0 are independent binomials. At level α:
 *  1. w lies in the Clopper–Pearson interval of all runs but for α·`WEIGHT_SHARE`.
 *  2. Exact (Buehler, JASA 52, 1957, on a region as in Berger & Boos, JASA 89, 1994). Each of the two rates lies in
 *     its own Clopper–Pearson interval but for α·`REGION_SHARE`. Let T be any figure that grows with X1 and X0, and t
 *     what came out. A pair (μ1, μ0) is refuted from below if P(T ≥ t) ≤ e there; that happens to the true pair with
 *     probability at most e. The bound is the least θ over the pairs in both intervals that are not refuted, found
 *     along the curve P = e: P grows with both rates, so the rate of the smaller stratum is cut into cells, and in each
 *     the other is found by bisection, with the cell's upper end in P and its lower end in θ. That errs on the safe
 *     side only, and by less than a cell. The upper bound is the same for failures.
 *     The best T is an approximate lower limit of θ (Kabaila, Statist. Probab. Lett. 52, 2001): then P is near e all
 *     along the curve. Ours is Wilson's limits of the strata combined by MOVER (Zou & Donner, Stat. Med. 27,
 *     2008), T = ŵ·p1 + (1−ŵ)·p0 − √((ŵ·(p1 − l1))² + ((1−ŵ)·(p0 − l0))²), which grows with X as l does.
 *     Where the checker is useless this is hardly wider than the exact interval of the labels alone, where a union
 *     bound over the strata would be 1.6 times as wide; and it is narrower by what the checker is worth.
 *  3. Betting, for scores that are not all 0 or 1: lower bounds (betting-bound.ts) of both strata, by a union bound
 *     over them, errors in proportion to what a stratum adds to the width, which the verdicts alone tell: W/√n.
 * Errors add up to α·WEIGHT_SHARE + 2·α·REGION_SHARE + 2e = α (betting: no regions), so the interval covers with
 * probability at least 1 − α. ∎
 * Scores that are graded and only happened to be all 0 or 1 do not break the exact bounds: the lower counts ones, and a
 * one is no likelier than the mean is high; the upper counts zeros. That which of 2 and 3 is used then hangs on the
 * scores adds at most the error of the other.
 */
export interface Stratum {
  /** Runs of the stratum, labelled or not. */
  runs: number;
  /** Labels in [0, 1], in the order of their runs. */
  scores: readonly number[];
}

const WEIGHT_SHARE = 0.05;
const REGION_SHARE = 0.05;
const CELLS = 100;

/** For scores 0 or 1. `undefined` without labels. */
export function stratifiedExact(a: Stratum, b: Stratum, confidence = 0.95): Interval | undefined {
  const regionError = (1 - confidence) * REGION_SHARE;
  const region = ({ successes, labels }: Count) =>
    clopperPearson(successes, labels, 1 - regionError) ?? { low: 0, high: 1 };
  return twoSided(a, b, confidence, 2 * regionError, (small, big, weights, error) => {
    const [ofSmall, ofBig] = [count(small), count(big)];
    const limits = { weights, small: region(ofSmall), big: region(ofBig), error };
    return exactLower(ofSmall, ofBig, small.runs / (small.runs + big.runs), limits);
  });
}

/** For any scores in [0, 1]. `undefined` without labels. */
export function stratifiedBetting(a: Stratum, b: Stratum, confidence = 0.95): Interval | undefined {
  return twoSided(a, b, confidence, 0, (small, big, weights, error) => {
    const size = ({ runs, scores }: Stratum) => (scores.length > 0 ? runs / Math.sqrt(scores.length) : 0);
    const total = size(small) + size(big);
    const bound = (s: Stratum) => (size(s) > 0 ? bettingLower(s.scores, (error * size(s)) / total)! : 0);
    return leastTheta(bound(small), bound(big), weights);
  });
}

type LowerBound = (small: Stratum, big: Stratum, weights: Interval, error: number) => number;

/** `weights` is the interval for the share of the stratum with fewer runs; `spent` is error that `lower` has spent. */
function twoSided(
  a: Stratum,
  b: Stratum,
  confidence: number,
  spent: number,
  lower: LowerBound,
): Interval | undefined {
  for (const { runs, scores } of [a, b])
    if (scores.length > runs) throw new RangeError(`expected labels ≤ runs, got ${scores.length} of ${runs}`);
  if (a.scores.length + b.scores.length === 0) return undefined;
  const [small, big] = a.runs <= b.runs ? [a, b] : [b, a];
  const weightError = (1 - confidence) * WEIGHT_SHARE;
  const weights = clopperPearson(small.runs, small.runs + big.runs, 1 - weightError)!;
  const error = (1 - confidence - weightError - spent) / 2;
  return {
    low: lower(small, big, weights, error),
    high: 1 - lower(mirrored(small), mirrored(big), weights, error),
  };
}

const mirrored = ({ runs, scores }: Stratum): Stratum => ({ runs, scores: scores.map((x) => 1 - x) });

/** θ is linear in the share, so it is least at one of its ends. */
const leastTheta = (small: number, big: number, { low, high }: Interval): number =>
  Math.min(low * small + (1 - low) * big, high * small + (1 - high) * big);

interface Count {
  successes: number;
  labels: number;
}

const count = ({ scores }: Stratum): Count => ({
  successes: scores.filter((x) => x === 1).length,
  labels: scores.length,
});

interface Limits {
  /** For the share of the small stratum, and for the two rates. */
  weights: Interval;
  small: Interval;
  big: Interval;
  error: number;
}

function exactLower(small: Count, big: Count, share: number, limits: Limits): number {
  const { weights, error } = limits;
  const ofSmall = binomial(small.labels);
  const ofBig = binomial(big.labels);
  const fewest = fewestToReach(small, big, share, error);
  const edge = (cell: number) => limits.small.low + ((limits.small.high - limits.small.low) * cell) / CELLS;
  let best = 1;
  for (let cell = 0; cell < CELLS; cell++) {
    const tail = upperTail(ofSmall(edge(cell + 1)));
    const isRefuted = (rate: number) => {
      const chances = ofBig(rate);
      let p = 0;
      for (let x = 0; x < chances.length; x++) p += chances[x]! * tail[fewest[x]!]!;
      return p <= error;
    };
    // What the other rate would have to be below to make θ smaller than it is so far.
    const wanted = Math.max(...[weights.low, weights.high].map((w) => (best - w * edge(cell)) / (1 - w)));
    let low = limits.big.low;
    let high = Math.min(limits.big.high, wanted);
    if (high <= low || isRefuted(high)) continue;
    if (isRefuted(low))
      while (high - low > 1e-6) {
        const middle = (low + high) / 2;
        if (isRefuted(middle)) low = middle;
        else high = middle;
      }
    best = Math.min(best, leastTheta(edge(cell), low, weights));
  }
  return best;
}

/** The fewest successes in the small stratum with which T ≥ t, by successes in the big one; labels + 1 where none do. */
function fewestToReach(small: Count, big: Count, share: number, error: number): number[] {
  const ofSmall = limitTerms(small.labels, share, error);
  const ofBig = limitTerms(big.labels, 1 - share, error);
  const limit = (k: number, x: number) =>
    ofSmall.means[k]! + ofBig.means[x]! - Math.hypot(ofSmall.margins[k]!, ofBig.margins[x]!);
  // Rounding must not make the outcome itself fall short of it.
  const observed = limit(small.successes, big.successes) - 1e-12;
  let k = small.labels + 1;
  return Array.from({ length: big.labels + 1 }, (_, x) => {
    while (k > 0 && limit(k - 1, x) >= observed) k--;
    return k;
  });
}

/** What 0..labels successes add to T: the weighted mean, and how far it is above its limit. */
function limitTerms(labels: number, weight: number, error: number): { means: number[]; margins: number[] } {
  const means = Array.from({ length: labels + 1 }, (_, x) => (labels > 0 ? (weight * x) / labels : 0));
  const lows = means.map((_, x) => weight * (wilson(x, labels, 1 - 2 * error)?.low ?? 0));
  return { means, margins: means.map((m, x) => m - lows[x]!) };
}

/** The probabilities of 0..n successes, as a function of the rate; in the same list each time. */
function binomial(n: number): (rate: number) => Float64Array {
  const logFactorials = Float64Array.from({ length: n + 1 }, (_, x) => logGamma(x + 1));
  const chances = new Float64Array(n + 1);
  return (rate) => {
    if (rate === 0 || rate === 1) return chances.fill(0).fill(1, rate * n, rate * n + 1);
    // From the likeliest number outwards: the others are smaller, so nothing overflows.
    const mode = Math.min(n, Math.floor((n + 1) * rate));
    const odds = rate / (1 - rate);
    chances[mode] = Math.exp(
      logFactorials[n]! -
        logFactorials[mode]! -
        logFactorials[n - mode]! +
        mode * Math.log(rate) +
        (n - mode) * Math.log1p(-rate),
    );
    for (let x = mode; x < n; x++) chances[x + 1] = (chances[x]! * odds * (n - x)) / (x + 1);
    for (let x = mode; x > 0; x--) chances[x - 1] = (chances[x]! * x) / (odds * (n - x + 1));
    return chances;
  };
}

/** The probabilities of k or more, for k = 0..n+1. */
function upperTail(chances: Float64Array): Float64Array {
  const tail = new Float64Array(chances.length + 1);
  for (let k = chances.length - 1; k >= 0; k--) tail[k] = tail[k + 1]! + chances[k]!;
  return tail;
}
