import { advance, type EDetector, evidenceOfBestStart, noEvidence } from '../stats/e-detector.ts';

/**
 * When a loop that fell is well again: evidence against "the mean is at most halfway back up".
 *
 * An e-detector on 1 − score, by its best start: the
 * threshold is low, and Shiryaev–Roberts would reach it by the passing of time. Were the loop to stay exactly halfway, it would be called recovered by mistake
 * once in `RUN_LENGTH` scores on average; where it fell to, hardly ever. The level it fell to goes on being
 * learnt: at the alarm it rests on few scores, chosen because they were bad, so it is shrunk towards the old one.
 */
const RUN_LENGTH = 100;
const PRIOR_SCORES = 10;

export interface Recovery {
  before: number;
  /** Scores since the change, and their sum. */
  n: number;
  sum: number;
  evidence: EDetector;
}

/** @param fallen the scores from the change to the alarm */
export const startRecovery = (before: number, fallen: readonly number[]): Recovery => ({
  before,
  n: fallen.length,
  sum: fallen.reduce((a, b) => a + b, 0),
  evidence: noEvidence(),
});

/** A score later; true when the loop has recovered. Changes `recovery` in place. */
export function recovered(recovery: Recovery, score: number): boolean {
  const after = (recovery.sum + PRIOR_SCORES * recovery.before) / (recovery.n + PRIOR_SCORES);
  const halfway = (recovery.before + Math.min(after, recovery.before)) / 2;
  recovery.evidence = advance(recovery.evidence, 1 - score, 1 - halfway);
  recovery.n++;
  recovery.sum += score;
  return evidenceOfBestStart(recovery.evidence) >= RUN_LENGTH;
}
