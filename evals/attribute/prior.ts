import type { Kind } from './cause.ts';
import type { Versioned } from './versions.ts';

/**
 * What is thought of a change before any run is looked at. The unit is a run without a version change: how likely
 * the level is to change there, for no reason that Loopscope sees.
 *
 * A version change is as likely to change it as VERSION such runs: its moment is named before the scores are looked
 * at, and the best of n cuts is not. At fewer, a fall that has no cause among the versions is put to a harmless one
 * less often, and a true cause passed over more often. Another model is a little likelier than the rest, a new wording
 * being often no more than that. Where other tasks explain the fall, no level has to have changed at all: that is held
 * as likely as 20 version changes together.
 */
export const VERSION = 4_500;
export const UNCHANGED = 20 * VERSION;

const OF_WORK: Readonly<Record<Versioned, number>> = {
  model: 1.4,
  prompt: 1,
  tools: 1,
  dataset: 1,
  checker: 0.3,
};

/**
 * What can move what. Golden scores are taken past the checker, so a new checker moves them only by way of what its
 * verdicts make the loop do; and whether verdicts are right given the truth hangs on little but the checker.
 */
export const PLAUSIBLE: Readonly<Record<Kind, Readonly<Record<Versioned, number>>>> = {
  golden_drop: OF_WORK,
  golden_rise: OF_WORK,
  no_effect: { ...OF_WORK, dataset: 0.01 },
  output_collapse: { ...OF_WORK, dataset: 0.01 },
  checker_drift: { model: 0.02, prompt: 0.02, tools: 0.02, dataset: 0.1, checker: 6 },
};
