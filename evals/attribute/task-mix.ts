import { seededRandom } from '../../src/clock.ts';
import { type MixChange, mixChange } from '../stats/mix-change.ts';
import type { Kind } from './cause.ts';
import type { Point } from './series.ts';

/**
 * Whether the tasks explain the fall: the loop is given other tasks, and on each of them it does as before.
 *
 * Yes, where the mix shifted to tasks of lower levels (a test at MIX_ERROR), at least half of the fall there is the
 * mix's, and the levels within the tasks are not shown to differ before and after (a test at WITHIN_ERROR, which is
 * how often a true shift of the mix is passed over for it). How likely the values are when no level changed is
 * weighed besides: attribute.ts.
 */
const MIX_ERROR = 0.01;
const WITHIN_ERROR = 0.01;
const PERMUTATIONS = 199;
/** The same runs give the same p-values. */
const SEED = 1;
const NAMED_MAX = 3;

export interface TaskShift {
  change: MixChange;
  explains: boolean;
  from: string;
  to: string;
}

/** `undefined` where all runs have the same task, or the mix only got easier. */
export function taskShift(kind: Kind, points: readonly Point[]): TaskShift | undefined {
  // How often the checker is wrong depends on what it is given: that is no mix of the loop's tasks.
  if (kind === 'checker_drift') return undefined;
  const change = mixChange(points, { permutations: PERMUTATIONS, random: seededRandom(SEED) });
  if (!change) return undefined;
  const { mix, within, mixP, withinP, cut } = change;
  const explains = mixP <= MIX_ERROR && withinP > WITHIN_ERROR && mix < 0 && mix <= within;
  return { change, explains, from: mixText(points.slice(0, cut)), to: mixText(points.slice(cut)) };
}

/** The most frequent tasks with their shares. */
function mixText(values: readonly { group: string }[]): string {
  const counts = [...Map.groupBy(values, (v) => v.group)].map(
    ([group, list]) => [group, list.length] as const,
  );
  return counts
    .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
    .slice(0, NAMED_MAX)
    .map(([group, n]) => `${group} ${Math.round((100 * n) / values.length)} %`)
    .join(', ');
}
