import type { Observation } from '../../src/records/observation.ts';
import type { Value } from '../stats/stratified-change.ts';
import type { Kind } from './cause.ts';

/**
 * The series that fell, with what each value is to be compared with: values of the same task and, where an input
 * comes back (golden items do), of that input; a verdict with those on the same answer.
 */

/** Tasks beyond the most frequent ones are one. */
const TASKS_MAX = 20;
const OTHER_TASKS = 'others';

export interface Point extends Value {
  /** Of the run, in the list of runs. */
  position: number;
}

/** @param values of each run, null where it has none; lower is what the alarm is about */
export function pointsOf(
  kind: Kind,
  runs: readonly Observation[],
  values: readonly (number | null)[],
): Point[] {
  const valued = [...runs.keys()].filter((position) => values[position] !== null);
  const tasks = frequent(valued.map((position) => runs[position]!.task));
  const keys = valued.map((position) => stratumKey(kind, runs[position]!));
  const times = countOf(keys);
  return valued.map((position, i) => {
    const { task } = runs[position]!;
    const key = keys[i]!;
    return {
      position,
      value: values[position]!,
      group: tasks.has(task) ? task : OTHER_TASKS,
      stratum: key !== '' && times.get(key)! > 1 ? key : undefined,
    };
  });
}

/** '' where there is nothing to compare with. */
function stratumKey(kind: Kind, { inputHash, outputHash }: Observation): string {
  switch (kind) {
    case 'golden_drop':
    case 'golden_rise':
      return inputHash;
    case 'checker_drift':
      return inputHash === '' || outputHash === '' ? '' : `${inputHash} ${outputHash}`;
    case 'no_effect':
    case 'output_collapse':
      return '';
  }
}

function frequent(tasks: readonly string[]): Set<string> {
  const byCount = [...countOf(tasks)].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  return new Set(byCount.slice(0, TASKS_MAX).map(([task]) => task));
}

function countOf(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}
