import { USEFUL_SCORE } from '../../src/store/fleet.ts';
import type { Label } from '../../src/store/labels.ts';
import { cohenKappa, gwetAc1, krippendorffInterval } from '../stats/agreement.ts';

/**
 * Do the people who label agree? κ and AC1 are those of pass and fail, of a pair of raters: a label passes from the
 * score on from which a run counts as useful. α is that of the scores themselves, over all raters of a loop.
 */

/** Two raters over the runs that both labelled. What cannot be said is `null`. */
export interface PairAgreement {
  raters: [string, string];
  runs: number;
  /** Runs that both say pass of, or both fail. */
  agreed: number;
  kappa: number | null;
  ac1: number | null;
}

/** A run that one rater passes and another fails. */
export interface Disagreement {
  loop: string;
  run: string;
  labels: { rater: string; score: number; comment: string }[];
}

export interface LoopAgreement {
  loop: string;
  labelled: number;
  /** Runs with at least two raters. */
  compared: number;
  alpha: number | null;
  pairs: PairAgreement[];
  disagreements: Disagreement[];
}

/** Raters of a loop whose pairs are told, those with the most labels first: pairs are many where raters are. */
const RATERS_MAX = 20;
/** Runs on which raters differ that are told, in the order of the labels. */
const DISAGREEMENTS_MAX = 50;

/** By loop, of labels that stand. */
export function agreementByLoop(labels: readonly Label[]): LoopAgreement[] {
  return [...Map.groupBy(labels, (label) => label.loop)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([loop, ofLoop]) => agreementOf(loop, ofLoop));
}

function agreementOf(loop: string, labels: readonly Label[]): LoopAgreement {
  const runs = [...Map.groupBy(labels, (label) => label.run_id).values()];
  const compared = runs.filter((ofRun) => ofRun.length > 1);
  return {
    loop,
    labelled: runs.length,
    compared: compared.length,
    alpha: krippendorffInterval(compared.map((ofRun) => ofRun.map((label) => label.score))) ?? null,
    pairs: pairsOf(labels, compared),
    disagreements: compared
      .filter((ofRun) => new Set(ofRun.map(passes)).size > 1)
      .slice(0, DISAGREEMENTS_MAX)
      .map((ofRun) => ({
        loop,
        run: ofRun[0]!.run_id,
        labels: ofRun
          .map(({ rater, score, comment }) => ({ rater, score, comment }))
          .sort((a, b) => (a.rater < b.rater ? -1 : 1)),
      })),
  };
}

function pairsOf(labels: readonly Label[], compared: readonly Label[][]): PairAgreement[] {
  const counts = [...Map.groupBy(labels, (label) => label.rater)].map(([rater, own]) => ({
    rater,
    n: own.length,
  }));
  const raters = counts
    .sort((a, b) => b.n - a.n || (a.rater < b.rater ? -1 : 1))
    .slice(0, RATERS_MAX)
    .map(({ rater }) => rater)
    .sort();
  const units = compared.map((ofRun) => new Map(ofRun.map((label) => [label.rater, passes(label)])));
  return raters.flatMap((first, i) =>
    raters.slice(i + 1).flatMap((second) => {
      const both = units
        .map((unit) => [unit.get(first) ?? null, unit.get(second) ?? null] as const)
        .filter(([a, b]) => a !== null && b !== null);
      if (both.length === 0) return [];
      return [
        {
          raters: [first, second] as [string, string],
          runs: both.length,
          agreed: both.filter(([a, b]) => a === b).length,
          kappa: cohenKappa(both) ?? null,
          ac1: gwetAc1(both, 2) ?? null,
        },
      ];
    }),
  );
}

const passes = (label: Pick<Label, 'score'>): boolean => label.score >= USEFUL_SCORE;
