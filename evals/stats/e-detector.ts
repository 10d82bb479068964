/**
 * An e-detector for a fall of a mean: a mixture of Shiryaev–Roberts processes.
 *
 * For values x ∈ [0,1] and a level m, the bet L_j = 1 + λ_j·(m − x) with λ_j = d_j/(1 − m), 0 < d_j < 1, is
 * never negative and has conditional mean ≤ 1 as long as the conditional mean of x is at least m. Then
 * M_j ← L_j·(M_j + 1) makes M_j(t) − t a supermartingale, and so does the average M over j. Stopping when
 * M ≥ A therefore takes at least A values on average (optional stopping): an average run length to a false
 * alarm of at least A, whatever the distribution of the values.
 * Shin, Ramdas & Rinaldo, "E-detectors" (2022); bets as in Waudby-Smith & Ramdas (2024).
 *
 * d is the relative drop a component is best at: for a coin the best stake against a fall from m to p is
 * d = (m − p)/m. The grid is geometric, so every drop is near one of its components; eight of them in place of six
 * change no delay by more than 1 %. The average is a weighted one: small drops are the hardest to find beside an
 * oracle that is told them, so their components weigh more, and the largest enough to find a collapse in three runs.
 */

const FINEST = 0.05;
const COARSEST = 0.8;
const COMPONENTS = 6;
/** Far above any threshold; a process that is cut there only loses evidence, and stays a number that JSON has. */
const EVIDENCE_MAX = 1e100;

/** Relative drops the components are tuned to, and what each weighs; the weights sum to 1. */
export const DROP_GRID: readonly number[] = Array.from(
  { length: COMPONENTS },
  (_, j) => FINEST * (COARSEST / FINEST) ** (j / (COMPONENTS - 1)),
);

export const DROP_WEIGHTS: readonly number[] = [0.14, 0.22, 0.18, 0.15, 0.15, 0.16];

/**
 * Both forms of the process, a number a component. `roberts` keeps the promise above and is the fastest to reach
 * a threshold; but it sums over every start, so it also grows by the mere passing of time while the values stay
 * close to the level. `cusum`, L_j·max(M_j, 1), follows the best start alone: it never exceeds `roberts`, keeps
 * the same promise, and rises above 1 only by values that speak for a fall. Plain data.
 */
export interface EDetector {
  roberts: number[];
  cusum: number[];
  since: Since;
}

/**
 * The values since the evidence of the best start was last at 1 or below: where Page's CUSUM puts a change, and
 * what it lets go of when there was none.
 */
export interface Since extends Moments {
  /** Where its first value stands, as `advance` was told. */
  start: number;
}

/** Count, sum and sum of squares of some values. */
export interface Moments {
  n: number;
  sum: number;
  squares: number;
}

/** At the start: no evidence. */
export const noEvidence = (): EDetector => ({
  roberts: new Array<number>(COMPONENTS).fill(0),
  cusum: new Array<number>(COMPONENTS).fill(0),
  since: { start: 0, n: 0, sum: 0, squares: 0 },
});

/**
 * One value later, in place. `level` must have been known before the value came; `position` says where the value
 * stands in whatever order the caller counts.
 */
export function advance(detector: EDetector, value: number, level: number, position: number): void {
  // Nothing can fall below 0, and a level of 1 would be refuted by the first miss: no bet.
  if (level <= 0 || level >= 1) return;
  const { roberts, cusum, since } = detector;
  const step = (level - value) / (1 - level);
  let best = 0;
  for (let j = 0; j < COMPONENTS; j++) {
    const bet = 1 + DROP_GRID[j]! * step;
    roberts[j] = Math.min(bet * (roberts[j]! + 1), EVIDENCE_MAX);
    cusum[j] = Math.min(bet * Math.max(cusum[j]!, 1), EVIDENCE_MAX);
    best += DROP_WEIGHTS[j]! * cusum[j]!;
  }
  if (best <= 1) {
    since.n = since.sum = since.squares = 0;
    return;
  }
  if (since.n === 0) since.start = position;
  since.n++;
  since.sum += value;
  since.squares += value * value;
}

/** The evidence by Shiryaev–Roberts: what a threshold on the average run length is for. */
export const evidence = (detector: EDetector): number => average(detector.roberts);

/** The evidence by CUSUM: that of the best start alone. */
export const evidenceOfBestStart = (detector: EDetector): number => average(detector.cusum);

function average(values: readonly number[]): number {
  let sum = 0;
  for (let j = 0; j < COMPONENTS; j++) sum += DROP_WEIGHTS[j]! * values[j]!;
  return sum;
}
