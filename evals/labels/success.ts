import type { LookedAt } from '../../src/store/label-queue.ts';
import { type ActiveEstimate, activeMean } from '../stats/active-estimate.ts';
import { prediction } from '../stats/active-sampling.ts';

/**
 * How often a loop succeeds, by its labels, of all runs that the sampler looked at. A plain mean of labels would be wrong:
 * people are asked more where the checker errs. Each label weighs for the chance it had, and what that promises holds
 * where every chosen run was labelled: so a draw counts when all its chosen runs are. `undefined` while too little is
 * labelled to say.
 */
export function successByLabels(runs: readonly LookedAt[]): ActiveEstimate | undefined {
  const whole = [...Map.groupBy(runs, (run) => run.at).values()].filter((draw) =>
    draw.every(({ probability, label }) => probability === null || label !== null),
  );
  return activeMean(
    whole.flat().map(({ checkerPass, probability, label }) => ({
      f: prediction(checkerPass),
      ...(probability !== null && { label: { y: label!, probability } }),
    })),
  );
}
