import type { Interval } from './binomial-interval.ts';

/**
 * An interval for a mean that holds at all times at once: look whenever you like, stop whenever you like.
 *
 * For X_i in [0,1] with E[X_i | past] = μ and stakes λ_i known before X_i, with probability at least 1 − α, for every n
 *   |Σλ_iX_i/Σλ_i − μ| ≤ [log(2/α) + Σ(X_i − μ̂_{i−1})²·ψ(λ_i)] / Σλ_i,   ψ(λ) = −log(1 − λ) − λ,
 * the predictable plug-in empirical-Bernstein confidence sequence (Waudby-Smith & Ramdas, "Estimating means of
 * bounded random variables by betting", JRSS-B 86, 2024, Theorem 2): exp(λ(X − μ) − (X − μ̂)²ψ(λ)) has conditional
 * mean at most 1 (Fan et al. 2015), so its product is a supermartingale, each side of the interval is Ville's
 * inequality at α/2, and so is the intersection of all intervals up to now, which is what is returned.
 *
 * A fixed-time interval of the same level is narrower by about a third at the time it was made for, and wrong almost
 * surely at some time if it is looked at for ever. What is in [low, high] instead of [0,1] is moved there and back.
 */
export interface ConfidenceSequence {
  error: number;
  low: number;
  high: number;
  n: number;
  /** Sums over the values moved to [0,1]: of them, of their squared surprises; and those the theorem names. */
  sum: number;
  squares: number;
  stakes: number;
  staked: number;
  penalty: number;
  /** The intersection so far, in [0,1]. */
  from: number;
  to: number;
}

const STAKE_MAX = 0.5;

/** Before the first value. `error` is α; values will lie in [low, high]. */
export function startSequence(error: number, low = 0, high = 1): ConfidenceSequence {
  if (!(error > 0 && error < 1)) throw new RangeError(`expected an error level in (0, 1), got ${error}`);
  if (!(low < high)) throw new RangeError(`expected low < high, got ${low} and ${high}`);
  return { error, low, high, n: 0, sum: 0, squares: 0, stakes: 0, staked: 0, penalty: 0, from: 0, to: 1 };
}

/** A value later. Pure. */
export function extendSequence(state: ConfidenceSequence, value: number): ConfidenceSequence {
  if (!(value >= state.low && value <= state.high))
    throw new RangeError(`expected a value in [${state.low}, ${state.high}], got ${value}`);
  const x = (value - state.low) / (state.high - state.low);
  const n = state.n + 1;
  // Both shrunk towards mean ½ and variance ¼: defined before the first value.
  const meanBefore = (0.5 + state.sum) / n;
  const varianceBefore = (0.25 + state.squares) / n;
  const enough = Math.log(2 / state.error);
  const stake = Math.min(STAKE_MAX, Math.sqrt((2 * enough) / (varianceBefore * n * Math.log(1 + n))));
  const sum = state.sum + x;
  const squares = state.squares + (x - (0.5 + sum) / (n + 1)) ** 2;
  const stakes = state.stakes + stake;
  const staked = state.staked + stake * x;
  const penalty = state.penalty + (x - meanBefore) ** 2 * (-Math.log1p(-stake) - stake);
  const half = (enough + penalty) / stakes;
  const from = Math.max(state.from, staked / stakes - half);
  const to = Math.min(state.to, staked / stakes + half);
  return { ...state, n, sum, squares, stakes, staked, penalty, from, to };
}

/** The interval now; `undefined` before the first value. */
export function sequenceInterval(state: ConfidenceSequence): Interval | undefined {
  if (state.n === 0) return undefined;
  const at = (x: number) => state.low + (state.high - state.low) * x;
  // An empty intersection says that the mean moved: what is told then is where it was and where it went.
  return { low: at(Math.min(state.from, state.to)), high: at(Math.max(state.from, state.to)) };
}
