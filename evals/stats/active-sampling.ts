/**
 * Which runs to have labelled, where labels are dear: the most where the checker is least to be trusted.
 *
 * With f the checker's word (pass 1, fail 0, none ½) and Y the label, θ = mean[f + (ξ/π)(Y − f)] estimates the
 * mean of Y without bias whatever the chances π > 0 of being labelled are; its variance is least for
 * π ∝ sqrt(E[(Y − f)² | x]) (Zrnic & Candès, "Active statistical inference", ICML 2024). So
 *  - E[(Y − f)²] is learnt from the labels so far, by verdict, within it by loop, within that by feature. Each
 *    level is shrunk to the one above as if that had `PSEUDO_LABELS` labels of its own, so that a loop nobody has
 *    looked at is treated like its like; at the top stands that of a coin toss.
 *  - π is scaled so that the expected number of labels is the budget, and is never below the floor: what has always
 *    been right is still looked at now and then, which also bounds the weights 1/π.
 *  - A run is chosen when the hash of its id, u, is below π. The choice never depends on what came out later, is
 *    the same for whoever repeats it, and is independent from run to run.
 *
 * The invariant on which everything stands: π is set before the run's label, and a run is a candidate once. Give
 * all runs of a stretch of time that is over (a UTC day), never one run again after it was passed over: a second
 * draw would make its true chance higher than the π on record. The number chosen varies around the budget with a
 * standard deviation of at most its square root.
 */
export interface LabelCandidate {
  runId: string;
  loop: string;
  /** `null`: no verdict. */
  checkerPass: boolean | null;
  /** Hash of the run id, uniform in [0, 1). */
  u: number;
  /** Anything else known of the run before its label that may tell where the checker errs. */
  feature?: string;
}

/** A label that is there. */
export interface LabelSeen {
  loop: string;
  checkerPass: boolean | null;
  feature?: string;
  /** In [0, 1]. */
  score: number;
}

/** Labels and the sum of their (Y − f)², by key. Plain data: it can be stored as JSON and taken up again. */
export type Learnt = Record<string, { labels: number; squares: number }>;

export interface LabelBudget {
  /** Labels wanted from these candidates, on average. */
  labels: number;
  /** Least chance of a run to be labelled, as far as the budget allows. */
  floor: number;
}

export interface ChosenRun {
  runId: string;
  /** The chance π with which it was chosen; the weight of its label is 1/π. */
  probability: number;
}

const PSEUDO_LABELS = 5;
const COIN_TOSS = 0.25;
/** Below it a stratum would hardly be looked at: no amount of agreement makes a checker perfect. */
const ERROR_MIN = 1e-4;

/** The checker's word as a number. */
export const prediction = (checkerPass: boolean | null): number =>
  checkerPass === null ? 0.5 : Number(checkerPass);

/** What the labels so far say of where the checker errs. */
export function learnErrors(labels: Iterable<LabelSeen>): Learnt {
  const learnt: Learnt = {};
  for (const label of labels) {
    if (!(label.score >= 0 && label.score <= 1))
      throw new RangeError(`expected a score in [0, 1], got ${label.score}`);
    const square = (label.score - prediction(label.checkerPass)) ** 2;
    for (const key of keysOf(label)) {
      learnt[key] ??= { labels: 0, squares: 0 };
      const stratum = learnt[key];
      stratum.labels++;
      stratum.squares += square;
    }
  }
  return learnt;
}

/** The expected (Y − f)² of a run. */
export function expectedError(learnt: Learnt, run: Omit<LabelSeen, 'score'>): number {
  let error = COIN_TOSS;
  for (const key of keysOf(run)) {
    const stratum = Object.hasOwn(learnt, key) ? learnt[key]! : { labels: 0, squares: 0 };
    error = (stratum.squares + PSEUDO_LABELS * error) / (stratum.labels + PSEUDO_LABELS);
  }
  return Math.max(error, ERROR_MIN);
}

/** The runs to be labelled, each with the chance it had, in their given order. */
export function chooseForLabels(
  candidates: readonly LabelCandidate[],
  learnt: Learnt,
  budget: LabelBudget,
): ChosenRun[] {
  const probabilities = inclusionProbabilities(
    candidates.map((run) => Math.sqrt(expectedError(learnt, run))),
    budget,
  );
  return candidates.flatMap(({ runId, u }, i) =>
    u < probabilities[i]! ? [{ runId, probability: probabilities[i]! }] : [],
  );
}

/**
 * Chances proportional to `sizes` (> 0) within [floor, 1] whose sum is the budget; all 1 where the budget is enough
 * for all, all alike where the floor alone would exceed it.
 */
export function inclusionProbabilities(sizes: readonly number[], { labels, floor }: LabelBudget): number[] {
  if (!(labels >= 0 && floor >= 0 && floor <= 1))
    throw new RangeError(`expected labels ≥ 0 and a floor in [0, 1], got ${labels} and ${floor}`);
  if (labels >= sizes.length) return sizes.map(() => 1);
  if (floor * sizes.length >= labels) return sizes.map(() => labels / sizes.length);
  const at = (scale: number) => sizes.map((size) => Math.min(1, Math.max(floor, scale * size)));
  let low = 0;
  // Here every size is worth a chance of 1.
  let high = 1 / sizes.reduce((a, b) => Math.min(a, b));
  for (let i = 0; i < 60; i++) {
    const scale = (low + high) / 2;
    let sum = 0;
    for (const p of at(scale)) sum += p;
    if (sum < labels) low = scale;
    else high = scale;
  }
  return at(low);
}

/** From the widest stratum to the narrowest. */
const keysOf = ({ loop, checkerPass, feature }: Omit<LabelSeen, 'score'>): string[] => {
  const path: (string | boolean | null)[] = [checkerPass, loop];
  if (feature !== undefined) path.push(feature);
  return path.map((_, i) => JSON.stringify(path.slice(0, i + 1)));
};
