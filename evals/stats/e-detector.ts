/**
 * An e-detector for a fall of a mean: a mixture of Shiryaev–Roberts processes.
 *
 * For scores x ∈ [0,1] and a level m, the bet L_j = 1 + λ_j·(m − x) with λ_j = d_j/(1 − m), 0 < d_j < 1, is
 * never negative and has conditional mean ≤ 1 as long as the conditional mean of x is at least m. Then
 * M_j ← L_j·(M_j + 1) makes M_j(t) − t a supermartingale, and so does the average M over j. Stopping when
 * M ≥ A therefore takes at least A scores on average (optional stopping): an average run length to a false
 * alarm of at least A, whatever the distribution of the scores.
 * Shin, Ramdas & Rinaldo, "E-detectors" (2022); bets as in Waudby-Smith & Ramdas (2024).
 *
 * d is the relative drop a component is best at: for a coin the best stake against a fall from m to p is
 * d = (m − p)/m. The grid is geometric, so every drop is near one of its components.
 */

const FINEST = 0.05;
const COARSEST = 0.8;
const COMPONENTS = 8;

/** Relative drops the components are tuned to. */
export const DROP_GRID: readonly number[] = Array.from(
  { length: COMPONENTS },
  (_, j) => FINEST * (COARSEST / FINEST) ** (j / (COMPONENTS - 1)),
);

/**
 * Both forms of the process, a number a component. `roberts` keeps the promise above and is the fastest to reach
 * a threshold; but it sums over every start, so it also grows by the mere passing of time while the scores stay
 * close to the level. `cusum`, L_j·max(M_j, 1), follows the best start alone: it never exceeds `roberts`, keeps
 * the same promise, and rises above 1 only by scores that speak for a fall.
 */
export interface EDetector {
  roberts: number[];
  cusum: number[];
}

/** At the start: no evidence. */
export const noEvidence = (): EDetector => ({
  roberts: DROP_GRID.map(() => 0),
  cusum: DROP_GRID.map(() => 0),
});

/** One score later. `level` must have been known before the score came. Pure. */
export function advance(detector: EDetector, score: number, level: number): EDetector {
  // Nothing can fall below 0, and a level of 1 would be refuted by the first miss: no bet.
  if (level <= 0 || level >= 1) return detector;
  const step = (level - score) / (1 - level);
  const bet = DROP_GRID.map((d) => 1 + d * step);
  return {
    roberts: detector.roberts.map((value, j) => bet[j]! * (value + 1)),
    cusum: detector.cusum.map((value, j) => bet[j]! * Math.max(value, 1)),
  };
}

/** The evidence by Shiryaev–Roberts: what a threshold on the average run length is for. */
export const evidence = (detector: EDetector): number => mean(detector.roberts);

/** The evidence by CUSUM: that of the best start alone. */
export const evidenceOfBestStart = (detector: EDetector): number => mean(detector.cusum);

function mean(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
