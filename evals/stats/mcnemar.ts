import { logBeta } from './count-evidence.ts';

/**
 * Paired yes/no outcomes: of the pairs that differ, are as many one way as the other?
 */

/** Exact two-sided p-value (McNemar 1947, by the binomial); `undefined` where no pair differs. */
export function mcnemarP(worse: number, better: number): number | undefined {
  const n = worse + better;
  if (n === 0) return undefined;
  // P(X = k) for X ~ Binomial(n, ½); C(n, k) = 1 / ((n+1)·B(k+1, n−k+1)).
  const probability = (k: number) => Math.exp(-n * Math.LN2 - Math.log(n + 1) - logBeta(k + 1, n - k + 1));
  let tail = 0;
  for (let k = 0; k <= Math.min(worse, better); k++) tail += probability(k);
  return Math.min(1, 2 * tail);
}

/**
 * Its e-value 2ⁿ·B(worse+½, better+½)/B(½,½): bets on every share alike (Jeffreys' prior), and so may be looked at
 * after every pair: P(ever ≥ 1/α) ≤ α while both ways are equally likely (Ville). 1 where no pair differs.
 */
export const mcnemarE = (worse: number, better: number): number =>
  Math.exp((worse + better) * Math.LN2 + logBeta(worse + 0.5, better + 0.5) - logBeta(0.5, 0.5));
