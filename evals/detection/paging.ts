import { fleetEvidence, type WatchState } from '../detect/watch.ts';
import { eBenjaminiHochberg } from '../stats/e-bh.ts';

/**
 * Which alarms of a fleet are worth waking someone: a thousand loops must not mean a thousand pages.
 *
 * Each series keeps its own promise, one false alarm in `arl` runs; a thousand of them have a thousand times as many.
 * So an alarm waits, its loop `suspect`, until it stands out in the fleet: until e-BH over all that are watched picks
 * it. Evidence goes on growing while a loop is down, so a loop that has failed does stand out, a few runs later the
 * more loops there are; one that was unlucky goes back, and nobody is told.
 *
 * The promise. At every look, of the series that are picked the expected share of false ones is at most `share`,
 * beside the few whose learnt baseline is wrong (BASELINE_ERROR; they need e-BH's evidence all the same).
 * The argument. S = Σ w_i·M_i has E[S_τ] ≤ E[τ] (evals/detect/fold.ts). A look comes when the clock says so, and how
 * many runs a series had by then does not hang on its scores: at a look after n runs E[S/n] ≤ 1, so S/n is an e-value
 * of "this series never fell", and e-BH needs no more (evals/stats/e-bh.ts), whatever the series have in common.
 * Where an alarm was over before anybody looked, the series brings what it had at the alarm: stopped there, it is one too.
 * A fleet of one is picked from S = n/share on: at a share of .05 and an arl of 10⁴ its own alarm asks for more than
 * that in its first 500 runs.
 */

/** What a series brings to e-BH; `undefined` while it has no baseline to fall from: it is not put to the test. */
export function eValueOf(watch: WatchState): number | undefined {
  if (!Object.values(watch.levels).some((level) => level.baseline.low !== null)) return undefined;
  // In units of arl/(1 − BASELINE_ERROR): a little less than S, on the safe side.
  return (fleetEvidence(watch) * watch.arl) / watch.runs;
}

/** The places of the e-values that stand out. `share` is the share of false ones that is borne. */
export function standOut(eValues: readonly (number | undefined)[], share: number): Set<number> {
  const tested = [...eValues.keys()].filter((place) => eValues[place] !== undefined);
  const picked = eBenjaminiHochberg(
    tested.map((place) => eValues[place]!),
    share,
  );
  return new Set(picked.map((i) => tested[i]!));
}
