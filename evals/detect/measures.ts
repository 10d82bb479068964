import type { Observation } from '../../src/records/observation.ts';
import type { Kind } from '../attribute/cause.ts';

/**
 * What is watched of a loop: measures, each a value in [0,1] a run (or none) whose mean a healthy loop keeps up.
 *
 *   golden    the golden score
 *   catches   of a run whose answer is wrong: whether the checker failed it (its specificity)
 *   accepts   of a run whose answer is right: whether the checker passed it (its sensitivity)
 *   effects   whether the run changed anything in the world
 *   answers   of two runs in a row with different inputs: whether they answered differently
 *
 * The checker is watched given the truth, so a maker that gets worse under a checker that never caught anything is
 * a `golden_drop` alone, and a checker that turned strict or blind is a `checker_drift` whatever the scores do. A
 * pass rate that changes without golden data to say which of the two it was is no alarm.
 *
 * `answers` falls by any collapse of the answers, onto few or onto one, known or new: its mean is the probability
 * that two runs answer differently, 1 − Σ p(a)² (Simpson 1949). Pairs that share no run keep the values of
 * independent runs independent; the price is that two runs make one value. A loop with few answers has a low mean
 * from the start (½ for a yes and no in equal shares) and falls from there. It does not see answers that differ in
 * a time or a number only, nor a loop whose answers were always the same.
 *
 * What a mean is, it is given the past (level.ts): effects that rest at weekends, or answers that are the same all of
 * a quiet day, fall and rise by that, and will be told of as what they are: runs without an effect, answers alike.
 *
 * `weight` is a measure's share of the loop's promise: its threshold is the promised run length divided by it. The
 * golden score has most of it, since it is what everything is for, and loses next to nothing by the others.
 */
export type Measure = 'golden' | 'catches' | 'accepts' | 'effects' | 'answers';

interface Watching {
  /** The alarm when the measure falls; what is reported when it rises, if anything. */
  fall: Kind;
  rise: Kind | null;
  weight: number;
}

/** In the order in which a run is looked at: the golden score first. The weights sum to 1. */
export const MEASURES: Record<Measure, Watching> = {
  golden: { fall: 'golden_drop', rise: 'golden_rise', weight: 0.9 },
  catches: { fall: 'checker_drift', rise: null, weight: 0.025 },
  accepts: { fall: 'checker_drift', rise: null, weight: 0.025 },
  effects: { fall: 'no_effect', rise: null, weight: 0.025 },
  answers: { fall: 'output_collapse', rise: null, weight: 0.025 },
};

export const MEASURE_NAMES = Object.keys(MEASURES) as Measure[];

/** Those that take a score to have a value. */
export const SCORE_MEASURES: readonly Measure[] = ['golden', 'catches', 'accepts'];

/** From this score on an answer counts as right where it has to be one or the other. */
const RIGHT_FROM = 0.5;

/** Plain data: the run that waits for another to be compared with. */
export interface Memory {
  waiting: { input: string; output: string } | null;
}

export const noMemory = (): Memory => ({ waiting: null });

/** A run's value of a measure; `undefined` where it says nothing of it. Changes `memory` in place. */
export function measured(measure: Measure, run: Observation, memory: Memory): number | undefined {
  const { score, checkerPass } = run;
  switch (measure) {
    case 'golden':
      return score ?? undefined;
    case 'catches':
      return score === null || checkerPass === null || score >= RIGHT_FROM ? undefined : Number(!checkerPass);
    case 'accepts':
      return score === null || checkerPass === null || score < RIGHT_FROM ? undefined : Number(checkerPass);
    case 'effects':
      return Number(run.effects > 0);
    case 'answers':
      return comparison(run, memory);
  }
}

/** Which runs are compared hangs on the inputs alone: what the answers are has no say in it. */
function comparison(
  { inputHash: input, outputHash: output }: Observation,
  memory: Memory,
): number | undefined {
  const { waiting } = memory;
  if (input === '' || output === '' || waiting?.input === input) return undefined;
  memory.waiting = waiting ? null : { input, output };
  return waiting ? Number(waiting.output !== output) : undefined;
}

/** Each run's value of a measure, in the order given; null where it has none. */
export function valuesOf(measure: Measure, runs: readonly Observation[]): (number | null)[] {
  const memory = noMemory();
  return runs.map((run) => measured(measure, run, memory) ?? null);
}
