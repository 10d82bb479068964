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

/** Components at their start: no evidence. */
export const noEvidence = (): number[] => DROP_GRID.map(() => 0);

/** One score later, by Shiryaev–Roberts. `level` must have been known before the score came. Pure. */
export const advance = (components: readonly number[], score: number, level: number): number[] =>
  components.map((value, j) => bet(j, score, level) * (value + 1));

/**
 * One score later, by CUSUM: M_j ← L_j·max(M_j, 1), which never exceeds Shiryaev–Roberts and so keeps its
 * promise. Slower for small drops, but at rest near 1 where the other hovers near the length of its memory:
 * for low thresholds.
 */
export const advanceCusum = (components: readonly number[], score: number, level: number): number[] =>
  components.map((value, j) => bet(j, score, level) * Math.max(value, 1));

/** The evidence: the average of the components. */
export function evidence(components: readonly number[]): number {
  let sum = 0;
  for (const value of components) sum += value;
  return sum / components.length;
}

/** Nothing can fall below 0, and a level of 1 would be refuted by the first miss: no bet there. */
const bet = (j: number, score: number, level: number): number =>
  level <= 0 || level >= 1 ? 1 : 1 + (DROP_GRID[j]! * (level - score)) / (1 - level);
