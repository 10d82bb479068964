import { evidence } from '../stats/e-detector.ts';
import { BASELINE_ERROR, type WatchState } from './fold.ts';
import { MEASURE_NAMES, MEASURES } from './measures.ts';

/**
 * How a loop stands beside others: what it brings to e-BH (evals/stats/e-bh.ts) at a look over the fleet.
 *
 * The evidence of all its measures, S = Σ w_i·M_i, in units of what its alarm asks for: e = S·(1 − B)/arl. While
 * the loop is well and its baselines hold, E[e_τ] ≤ E[τ]/arl for every stopping time τ (fold.ts). So of the loops
 * that e-BH picks at level `share`, at a look up to which each had T runs, on average at most share · T/arl are
 * false; beside them only loops count whose learnt baseline is wrong, which happens to less than B of the loops and
 * takes e-BH's many times larger evidence to be picked. An alarm implies e ≥ 1 at that moment, and the evidence goes
 * on growing while the loop is down, until it has recovered: a loop that is not picked yet may be later.
 */
export function fleetEvidence({ levels, arl }: WatchState): number {
  let sum = 0;
  for (const measure of MEASURE_NAMES) {
    const level = levels[measure];
    if (level) sum += MEASURES[measure].weight * evidence(level.fall);
  }
  return (sum * (1 - BASELINE_ERROR)) / arl;
}
