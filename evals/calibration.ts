import { USEFUL_SCORE } from '../src/store/fleet.ts';
import { cohenKappa, gwetAc1, krippendorffInterval } from './stats/agreement.ts';
import { type CheckerAccuracy, checkerAccuracy } from './stats/rates.ts';

/**
 * How far to believe a scorer, a judge above all: its scores held against what people said of the same runs.
 *
 * Agreement is that of two raters, of pass and fail (κ, AC1: a score passes from the one on from which a run counts as
 * useful) and of the scores themselves (α). Sensitivity and specificity are those of the scorer taken for a checker and
 * people for the truth. They need labels that are a fair sample: where the sampler chose some of the runs, they are
 * made of those alone, weighted by the chances it chose them with; else of all, which raters chose as they liked.
 */
export interface ScoredLabel {
  /** The scorer's score and the mean of the people's, in [0, 1]. */
  score: number;
  human: number;
  /** With which the sampler chose the run; `null` where its raters did. */
  probability: number | null;
}

/** What cannot be said is `null`. */
export interface Calibration {
  runs: number;
  /** Runs that both pass or both fail. */
  agreed: number;
  kappa: number | null;
  ac1: number | null;
  alpha: number | null;
  /** Mean of scorer − people: above 0 it is more lenient than they are. */
  leniency: number | null;
  /** Mean distance of the two. */
  distance: number | null;
  accuracy: CheckerAccuracy;
  /** Labels that the accuracy stands on, and whether the sampler chose their runs. */
  accuracy_labels: number;
  sampled: boolean;
}

export function calibrate(labels: readonly ScoredLabel[]): Calibration {
  const units = labels.map(({ score, human }) => [passes(score), passes(human)] as const);
  const sampled = labels.filter(({ probability }) => probability !== null);
  const fair = sampled.length > 0 ? sampled : labels;
  return {
    runs: labels.length,
    agreed: units.filter(([a, b]) => a === b).length,
    kappa: cohenKappa(units) ?? null,
    ac1: gwetAc1(units, 2) ?? null,
    alpha: krippendorffInterval(labels.map(({ score, human }) => [score, human])) ?? null,
    leniency: mean(labels.map(({ score, human }) => score - human)),
    distance: mean(labels.map(({ score, human }) => Math.abs(score - human))),
    accuracy: checkerAccuracy(
      fair.map(({ score, human, probability }) => ({
        pass: passes(score),
        good: passes(human),
        ...(probability !== null && { probability }),
      })),
    ),
    accuracy_labels: fair.length,
    sampled: sampled.length > 0,
  };
}

const passes = (score: number): boolean => score >= USEFUL_SCORE;

const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
