import type { Moments } from './e-detector.ts';

/**
 * A lower confidence bound for the mean of values in [0,1] that are not all 0 or 1, from their count, sum and sum
 * of squares alone.
 *
 * Against "the mean is m" one bets on higher values: while every conditional mean is at most m, Π (1 + λ(x_i − m))
 * is a non-negative supermartingale for 0 ≤ λ < 1/m, and so is what lies below it. With y = λ(x − m) ≥ −λm:
 *   ln(1 + y) ≥ y − ψ(λm)·(y/λm)²,   ψ(c) = −ln(1 − c) − c
 * (Fan, Grama & Liu, EJP 20 (2015), Lemma 4.1), so with c = λm the product is at least
 *   exp( (c/m)·Σ(x − m) − (ψ(c)/m²)·Σ(x − m)² ).
 * The mean of that over the stakes c of a grid reaches 1/error with probability at most `error` (Markov). Where
 * it does, m is refuted, and the bound is where refuting ends. It adapts to the variance as betting on each value
 * does (betting-bound.ts), which needs every value: from 200 values on it is 0.01 to 0.03 below that, from 50
 * values 0.05 to 0.1.
 */

/** Stakes as shares of the largest, 1/m: geometric, so that every best stake is near one of them. */
const STAKES: readonly number[] = Array.from({ length: 10 }, (_, i) => 0.9 * 2 ** (-i / 1.5));
const COST: readonly number[] = STAKES.map((c) => -Math.log1p(-c) - c);

/** The bound, at one-sided level `error`; `undefined` without values. */
export function momentLower({ n, sum, squares }: Moments, error: number): number | undefined {
  if (!(error > 0 && error < 1)) throw new RangeError(`expected an error level in (0, 1), got ${error}`);
  if (n === 0) return undefined;
  const enough = 1 / error;
  let low = 0;
  // No mean above that of the values is refuted: for those every exponent is negative.
  let high = sum / n;
  for (let i = 0; i < 50; i++) {
    const m = (low + high) / 2;
    const excess = sum - n * m;
    const spread = Math.max(0, squares - 2 * m * sum + n * m * m);
    let wealth = 0;
    for (let j = 0; j < STAKES.length; j++)
      wealth += Math.exp((STAKES[j]! * excess) / m - (COST[j]! * spread) / (m * m));
    if (wealth / STAKES.length >= enough) low = m;
    else high = m;
  }
  return low;
}
