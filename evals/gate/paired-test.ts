import { seededRandom } from '../../src/clock.ts';
import { betaCdf } from '../stats/beta.ts';

/**
 * Did the scores of the same items fall? A one-sided sign-flip test on the paired differences.
 *
 * The promise. Where the change does nothing, each item's two scores could as well have come the other way round, so
 * that each difference has either sign with equal chance. Among all ways to set the signs, p is the share whose sum is
 * as low as what was seen: P(p ≤ error) ≤ error, for any number of items and scores of any distribution (R. A.
 * Fisher, The Design of Experiments, 1935, §21). A gate that refuses at p ≤ error therefore refuses a change that does
 * nothing with at most that chance, each time it is asked. It needs the same number of runs of an item on both sides; with
 * different numbers it is an approximation.
 *
 * Differences of one size, which scores of 0 and 1 have: the binomial, which is McNemar's exact test, one-sided. Up to
 * ENUMERATED_MAX differences: all ways are counted. Else signs are drawn, seeded, and p = (1 + as low)/(1 + drawn),
 * which keeps the promise for any number of draws (Phipson & Smyth, "Permutation p-values should never be zero", 2010).
 *
 * No outcome of n differences has a p below 2⁻ⁿ: with fewer than `pairsNeeded` items a gate could never close.
 */
const ENUMERATED_MAX = 14;
const DRAWS_MAX = 99_999;
/** Signs drawn in all: a bound on the time it takes. */
const SIGNS_MAX = 20_000_000;
const SEED = 20_241_127;

/** The p-value of "they fell"; `undefined` where no item differs. Differences are new − old. */
export function fallP(differences: readonly number[]): number | undefined {
  const sizes = differences.map(Math.abs).filter((size) => size > 0);
  if (sizes.length === 0) return undefined;
  const seen = differences.reduce((sum, d) => sum + d, 0);
  // Sums of floats: what is as low but for rounding is as low.
  const largest = sizes.reduce((a, b) => Math.max(a, b));
  const smallest = sizes.reduce((a, b) => Math.min(a, b));
  const atMost = seen + 1e-9 * largest;
  if (largest - smallest <= 1e-9 * largest) {
    const losses = differences.filter((d) => d < 0).length;
    return binomialUpper(losses, sizes.length);
  }
  return sizes.length <= ENUMERATED_MAX ? enumerate(sizes, atMost) : draw(sizes, atMost);
}

/** The least number of items with which `error` can be undercut. */
export const pairsNeeded = (error: number): number => Math.ceil(Math.log2(1 / error) - 1e-12);

/** P(X ≥ k) for X ~ Binomial(n, ½). */
const binomialUpper = (k: number, n: number): number =>
  k === 0 ? 1 : k === n ? 2 ** -n : betaCdf(0.5, k, n - k + 1);

function enumerate(sizes: readonly number[], atMost: number): number {
  const ways = 2 ** sizes.length;
  let low = 0;
  for (let signs = 0; signs < ways; signs++) {
    let sum = 0;
    for (let i = 0; i < sizes.length; i++) sum += signs & (1 << i) ? sizes[i]! : -sizes[i]!;
    if (sum <= atMost) low++;
  }
  return low / ways;
}

function draw(sizes: readonly number[], atMost: number): number {
  const random = seededRandom(SEED);
  const draws = Math.min(DRAWS_MAX, Math.floor(SIGNS_MAX / sizes.length));
  let low = 0;
  for (let n = 0; n < draws; n++) {
    let sum = 0;
    for (const size of sizes) sum += random() < 0.5 ? size : -size;
    if (sum <= atMost) low++;
  }
  return (1 + low) / (1 + draws);
}
