/**
 * A lower confidence bound for the mean of scores in [0,1] that are not all 0 or 1.
 *
 * Against "the mean is m" one bets on higher scores, K_n(m) = Π (1 + λ_i(m)·(x_i − m)); while every
 * conditional mean is at most m, K is a non-negative supermartingale, so P(K_n(m) ≥ 1/error) ≤ error
 * (Markov). K_n(m) falls in m, so the bound is where it crosses 1/error. The stakes are those of
 * Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS-B 86, 2024, §4.1):
 * λ_i = sqrt(2·ln(1/error) / (n·σ̂²_{i−1})), from the past only, cut at STAKE_MAX/m so that no factor can
 * reach 0. It adapts to the variance: scores that hardly vary give a bound close to their mean, where a
 * Hoeffding or Chernoff bound would treat them as coin tosses.
 */

const STAKE_MAX = 0.9;

/** The bound, at one-sided level `error`; `undefined` without scores. Scores in the order they came. */
export function bettingLower(scores: readonly number[], error: number): number | undefined {
  if (!(error > 0 && error < 1)) throw new RangeError(`expected an error level in (0, 1), got ${error}`);
  if (scores.length === 0) return undefined;
  const stakes = predictableStakes(scores, error);
  const enough = Math.log(1 / error);
  let low = 0;
  let high = 1;
  for (let i = 0; i < 50; i++) {
    const m = (low + high) / 2;
    if (logWealth(scores, stakes, m) >= enough) low = m;
    else high = m;
  }
  return low;
}

function predictableStakes(scores: readonly number[], error: number): number[] {
  const gain = (2 * Math.log(1 / error)) / scores.length;
  const stakes: number[] = [];
  // Shrunk towards mean ½ and variance ¼: defined before the first score.
  let sum = 0.5;
  let squares = 0.25;
  for (let i = 0; i < scores.length; i++) {
    stakes.push(Math.sqrt(gain / (squares / (i + 1))));
    const x = scores[i]!;
    sum += x;
    squares += (x - sum / (i + 2)) ** 2;
  }
  return stakes;
}

function logWealth(scores: readonly number[], stakes: readonly number[], m: number): number {
  let log = 0;
  for (let i = 0; i < scores.length; i++)
    log += Math.log1p(Math.min(stakes[i]!, STAKE_MAX / m) * (scores[i]! - m));
  return log;
}
