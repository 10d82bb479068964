import {
  advance,
  type EDetector,
  evidenceOfBestStart,
  type Moments,
  noEvidence,
} from '../stats/e-detector.ts';

/**
 * When a loop that fell is well again: evidence against "the mean is at most halfway back up".
 *
 * An e-detector on 1 − value, by its best start: the threshold is low, and Shiryaev–Roberts would reach it by the
 * passing of time. Were the loop to stay exactly halfway, it would be called recovered by mistake once in
 * `RUN_LENGTH` values on average; where it fell to, hardly ever. The level it fell to goes on being learnt: at the
 * alarm it rests on few values, chosen because they were bad, so it is shrunk towards the old one.
 */
const RUN_LENGTH = 100;
const PRIOR_VALUES = 10;

/** Plain data. */
export interface Recovery {
  before: number;
  /** Values since the change, and their sum. */
  n: number;
  sum: number;
  evidence: EDetector;
}

/** @param fallen the values from the change to the alarm */
export const startRecovery = (before: number, fallen: Moments): Recovery => ({
  before,
  n: fallen.n,
  sum: fallen.sum,
  evidence: noEvidence(),
});

/** A value later; true when the loop has recovered. Changes `recovery` in place. */
export function recovered(recovery: Recovery, value: number, position: number): boolean {
  const after = (recovery.sum + PRIOR_VALUES * recovery.before) / (recovery.n + PRIOR_VALUES);
  const halfway = (recovery.before + Math.min(after, recovery.before)) / 2;
  advance(recovery.evidence, 1 - value, 1 - halfway, position);
  recovery.n++;
  recovery.sum += value;
  return evidenceOfBestStart(recovery.evidence) >= RUN_LENGTH;
}
