import { bootstrapInterval } from '../stats/bootstrap.ts';
import {
  addConfusions,
  type Confusion,
  type ConfusionAgreement,
  confusionAgreement,
  judgedRuns,
  spreadLikeRuns,
} from '../stats/confusion.ts';
import type { EstimateCounts } from './loop-estimate.ts';

/**
 * How far checkers and truth agree over a fleet, with 95 % intervals clustered by loop: ten thousand runs of three
 * loops say little of the fourth. With fewer loops than a bootstrap needs (bootstrap.ts) there is no interval, and
 * without one there is no figure. A loop whose scores leave out a verdict it has is left out (loop-estimate.ts).
 */
export interface FleetAgreement {
  kappa: Coefficient | null;
  ac1: Coefficient | null;
  alpha: Coefficient | null;
  /** Loops that count, and their runs with both a verdict and a score. */
  loops: number;
  judged: number;
}

export interface Coefficient {
  value: number;
  low: number;
  high: number;
}

/** From the counts that each loop's estimate stands on. `random` is uniform in [0, 1); the same seed and fleet give the same figures. */
export function fleetAgreement(
  loops: Iterable<Pick<EstimateCounts, 'judged' | 'passed' | 'failed'>>,
  random: () => number,
): FleetAgreement {
  const clusters: Confusion[] = [];
  for (const { judged, passed, failed } of loops) {
    const spread = judgedRuns(judged) > 0 ? spreadLikeRuns(judged, passed, failed) : undefined;
    if (spread) clusters.push(spread);
  }
  const coefficient = (name: keyof ConfusionAgreement): Coefficient | null => {
    const figure = (drawn: readonly Confusion[]) => confusionAgreement(addConfusions(drawn))[name];
    const value = figure(clusters);
    const interval = bootstrapInterval(clusters, figure, { random });
    return value === undefined || !interval ? null : { value, low: interval.low, high: interval.high };
  };
  return {
    kappa: coefficient('kappa'),
    ac1: coefficient('ac1'),
    alpha: coefficient('alpha'),
    loops: clusters.length,
    judged: Math.round(judgedRuns(addConfusions(clusters))),
  };
}
