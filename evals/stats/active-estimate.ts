import { type Interval, normalQuantile } from './binomial-interval.ts';
import { extendSequence, sequenceInterval, startSequence } from './confidence-sequence.ts';

/**
 * The mean label of all runs from the few that were labelled, each with a known chance (active-sampling.ts).
 *
 * Z = f + (ξ/π)(Y − f) has the conditional mean E[Y | x] for any f and any π > 0 that was set before the label, so
 * the mean of Z over ALL runs, labelled or not, estimates the mean of Y without bias: what an inverse-probability
 * weighted mean of labels does, minus most of its variance where f is good (Zrnic & Candès 2024; Horvitz & Thompson,
 * JASA 47, 1952).
 *
 * The interval is normal, θ ± z·sd(Z)/√N, right for large N by the martingale central limit theorem. It speaks only
 * where enough labels came out: `undefined` below `LABELS_MIN` labels or where none of them contradicts f, as the
 * sample variance then knows nothing of the errors that were not drawn. `anytimeActiveMean` needs no large N.
 */
export interface ActiveRun {
  /** The checker's word, in [0, 1]. */
  f: number;
  /** Absent where the run was not chosen. */
  label?: { y: number; probability: number };
}

export interface ActiveEstimate extends Interval {
  estimate: number;
  /** Labels, and runs in all. */
  n: number;
  N: number;
}

export const LABELS_MIN = 20;

/**
 * Every run, each once. A run that was chosen and then not labelled breaks the promise: leave it out only if why it
 * was not labelled has nothing to do with how good it was.
 */
export function activeMean(runs: readonly ActiveRun[], confidence = 0.95): ActiveEstimate | undefined {
  const N = runs.length;
  const z = runs.map(corrected);
  const labelled = runs.filter((run) => run.label);
  if (labelled.length < LABELS_MIN || labelled.every(({ f, label }) => label!.y === f)) return undefined;
  const estimate = z.reduce((a, b) => a + b, 0) / N;
  let squares = 0;
  for (const value of z) squares += (value - estimate) ** 2;
  const half = normalQuantile(0.5 + confidence / 2) * Math.sqrt(squares / (N - 1) / N);
  return {
    estimate: clip(estimate),
    low: clip(estimate - half),
    high: clip(estimate + half),
    n: labelled.length,
    N,
  };
}

/**
 * The same with an interval that holds for any number of runs and at all times at once, given that every chance is
 * at least `floor`: Z then lies in [1 − 1/floor, 1/floor], and a confidence sequence does the rest. The price is the
 * width of that range: expect it to say something from about 100/floor runs on.
 */
export function anytimeActiveMean(
  runs: readonly ActiveRun[],
  floor: number,
  confidence = 0.95,
): ActiveEstimate | undefined {
  if (!(floor > 0 && floor <= 1)) throw new RangeError(`expected a floor in (0, 1], got ${floor}`);
  let sequence = startSequence(1 - confidence, 1 - 1 / floor, 1 / floor);
  let sum = 0;
  let n = 0;
  for (const run of runs) {
    if (run.label && run.label.probability < floor)
      throw new RangeError(`expected chances of at least ${floor}, got ${run.label.probability}`);
    const z = corrected(run);
    sequence = extendSequence(sequence, z);
    sum += z;
    if (run.label) n++;
  }
  const interval = sequenceInterval(sequence);
  if (!interval) return undefined;
  return {
    estimate: clip(sum / runs.length),
    low: clip(interval.low),
    high: clip(interval.high),
    n,
    N: runs.length,
  };
}

function corrected({ f, label }: ActiveRun): number {
  if (!label) return f;
  if (!(label.probability > 0 && label.probability <= 1 && label.y >= 0 && label.y <= 1))
    throw new RangeError(`expected y in [0, 1] and a chance in (0, 1], got ${label.y}, ${label.probability}`);
  return f + (label.y - f) / label.probability;
}

const clip = (x: number): number => Math.min(1, Math.max(0, x));
