import type { Observation } from '../../src/records/observation.ts';
import type { PairCounts } from '../stats/count-evidence.ts';
import { mcnemarP } from '../stats/mcnemar.ts';
import type { Kind, PairedOutputs } from './cause.ts';

/**
 * The same answer to the same input, judged twice. What was answered is byte-identical, so when the judgment
 * differs, what judges has moved: the golden data (or its scorer) where it is the score, the checker where it is
 * the verdict. Each input with its answer counts once, however often it came.
 */
/** From this golden score on an answer is right. */
const RIGHT_FROM = 0.5;
/** Scores that differ by less are alike: a scorer that is a model seldom says the same number twice. */
const DIFFERENCE_MIN = 0.25;

export interface Pairs {
  /** One run before and one after. */
  across: PairCounts;
  /** Two runs before: how much differs by chance. */
  within: PairCounts;
}

/** Below 0 where `now` is judged worse than `then`, 0 where alike, null where one of them was not judged. */
export type Comparison = (then: Observation, now: Observation) => number | null;

/** By golden score. Worse is what an alarm of `kind` is about: lower, for a rise higher. */
export const byScore =
  (kind: Kind): Comparison =>
  (then, now) => {
    if (then.score === null || now.score === null) return null;
    return kind === 'golden_rise' ? then.score - now.score : now.score - then.score;
  };

/** By verdict. Worse is the verdict that the golden score contradicts; without a score, no pair. */
export const byVerdict: Comparison = (then, now) => {
  if (then.checkerPass === null || now.checkerPass === null || now.score === null) return null;
  if (then.checkerPass === now.checkerPass) return 0;
  return now.checkerPass === now.score >= RIGHT_FROM ? 1 : -1;
};

export function judgedTwice(
  before: readonly Observation[],
  after: readonly Observation[],
  compare: Comparison,
): Pairs {
  const across = noPairs();
  const within = noPairs();
  const earlier = answersOf(before);
  for (const [first, second] of earlier.values()) if (second) count(within, compare(first, second));
  for (const [answer, [now]] of answersOf(after)) {
    const then = earlier.get(answer);
    if (then) count(across, compare(then[1] ?? then[0], now));
  }
  return { across, within };
}

const noPairs = (): PairCounts => ({ pairs: 0, worse: 0, better: 0 });

function count(counts: PairCounts, difference: number | null): void {
  if (difference === null) return;
  counts.pairs++;
  if (difference <= -DIFFERENCE_MIN) counts.worse++;
  if (difference >= DIFFERENCE_MIN) counts.better++;
}

/** The first and the last run that gave an input the same answer; the last only where there are two. */
function answersOf(runs: readonly Observation[]) {
  const found = new Map<string, [first: Observation, last?: Observation]>();
  for (const run of runs) {
    if (run.score === null || run.inputHash === '' || run.outputHash === '') continue;
    const key = `${run.inputHash} ${run.outputHash}`;
    const known = found.get(key);
    if (known) known[1] = run;
    else found.set(key, [run]);
  }
  return found;
}

export const asEvidence = (of: PairedOutputs['of'], { pairs, worse, better }: PairCounts): PairedOutputs => ({
  of,
  pairs,
  worse,
  better,
  p_value: mcnemarP(worse, better) ?? null,
});
