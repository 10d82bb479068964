/**
 * Evidence that one of two versions scores higher on the same inputs, pair by pair, for as long as one likes.
 *
 * For differences d_t in [−1, 1] and stakes 0 ≤ λ_t < 1 known before d_t, the wealth Π (1 + λ_t·d_t) is a non-negative
 * supermartingale while E[d_t | past] ≤ 0, so that P(it ever reaches 1/error) ≤ error (Ville), however often one looks,
 * whenever one stops, and whoever decided how many pairs there are to see. That is why the highest wealth so far counts:
 * what was once enough stays enough.
 *
 * The stakes are the plug-in form of the best constant one for a small mean, E[d]/E[d²] (Waudby-Smith & Ramdas,
 * "Estimating means of bounded random variables by betting", JRSS-B 86, 2024, §4, "aGRAPA"), both moments shrunk
 * towards those of a clear fall: a coin that falls from .84 to .50 has E[d] = .34 and E[d²] = .50.
 */
export interface PairedEvidence {
  n: number;
  sum: number;
  squares: number;
  /** Logarithms of the wealth now, and of the highest so far. */
  log: number;
  peak: number;
}

const STAKE_MAX = 0.9;
const PRIOR_PAIRS = 8;
const PRIOR_MEAN = 0.3;
const PRIOR_SQUARE = 0.5;

export const noPairs = (): PairedEvidence => ({ n: 0, sum: 0, squares: 0, log: 0, peak: 0 });

/** A pair later, in place. `difference` is what the better one is thought to have more, in [−1, 1]. */
export function addPair(evidence: PairedEvidence, difference: number): void {
  if (!(difference >= -1 && difference <= 1))
    throw new RangeError(`expected a difference in [-1, 1], got ${difference}`);
  const { n, sum, squares } = evidence;
  const mean = (PRIOR_PAIRS * PRIOR_MEAN + sum) / (PRIOR_PAIRS + n);
  const square = (PRIOR_PAIRS * PRIOR_SQUARE + squares) / (PRIOR_PAIRS + n);
  const stake = Math.min(STAKE_MAX, Math.max(0, mean / square));
  evidence.log += Math.log1p(stake * difference);
  evidence.peak = Math.max(evidence.peak, evidence.log);
  evidence.n++;
  evidence.sum += difference;
  evidence.squares += difference * difference;
}

/** Whether it is enough to be wrong with a chance of at most `error`. */
export const isEnough = ({ peak }: PairedEvidence, error: number): boolean => peak >= Math.log(1 / error);

/** The e-value: the highest wealth so far. */
export const eValue = ({ peak }: PairedEvidence): number => Math.exp(peak);
