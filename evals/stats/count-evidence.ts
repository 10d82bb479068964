import { logGamma } from './beta.ts';

/**
 * Bayes factors from counts, in closed form: what was counted, in nats, for "they differ" against "they do not".
 * Unknown rates are integrated out under beta priors (Kass & Raftery 1995, §3).
 */

/** ln B(a, b) */
export const logBeta = (a: number, b: number): number => logGamma(a) + logGamma(b) - logGamma(a + b);

/** ln of the mean of p^hits·(1−p)^misses over Beta(a, b). */
const integrated = (hits: number, misses: number, a: number, b: number): number =>
  logBeta(a + hits, b + misses) - logBeta(a, b);

/** Where the judge moved, the share of answers it judges otherwise is known as if from so many of them. */
const MOVED_WORTH = 4;
/** Without any pair to learn it from, one in 40 judgments of the same answer differs by chance. */
const NOISE_HITS = 0.5;
const NOISE_MISSES = 19.5;

export interface PairCounts {
  pairs: number;
  worse: number;
  better: number;
}

/**
 * For "what judges has changed, for the worse, between the two sides of these pairs" against "it has not, and what
 * differs is chance, as likely one way as the other". `noise` are pairs between which nothing changed: how often
 * chance makes a difference is learnt from them. `share` in (0, 1) is how many of the pairs are judged worse, about, if
 * that is what made the mean fall.
 */
export function judgeMoved({ pairs, worse, better }: PairCounts, noise: PairCounts, share: number): number {
  const a = NOISE_HITS + noise.worse + noise.better;
  const b = NOISE_MISSES + noise.pairs - noise.worse - noise.better;
  const moved =
    integrated(worse, pairs - worse, MOVED_WORTH * share, MOVED_WORTH * (1 - share)) +
    integrated(better, pairs - worse - better, a, b) -
    better * Math.LN2;
  const same = integrated(worse + better, pairs - worse - better, a, b) - (worse + better) * Math.LN2;
  return moved - same;
}

/**
 * For "more of those that moved fell than of those that stayed" against "as many": above 0 it speaks for the move
 * as the cause, below 0 against it.
 */
export function moversFell(moved: number, movedFell: number, stayed: number, stayedFell: number): number {
  const rare = integrated(stayedFell, stayed - stayedFell, 1, 9);
  const apart = integrated(movedFell, moved - movedFell, 1, 1) + rare;
  const alike = integrated(movedFell + stayedFell, moved + stayed - movedFell - stayedFell, 1, 9);
  return apart - alike;
}
