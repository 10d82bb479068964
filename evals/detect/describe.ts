import type { Observation } from '../../src/records/observation.ts';
import { describeAlarm, type MoreEvidence } from './alarm.ts';
import type { AlarmEvent } from './event.ts';
import { valuesOf } from './measures.ts';
import type { Alarm } from './report.ts';

/**
 * From an event to the alarm people read: when the change was, why, and on what evidence.
 *
 * An event knows how many values of its measure the regime has; the loop's runs, read when they are needed, say
 * the rest. Bounded: an older change is dated to the oldest run that is looked at.
 */
export const RUNS_TO_DESCRIBE_MAX = 20_000;
const VALUES_MAX = 5_000;

/**
 * Describes an alarm. `runs` are the loop's in its order of time, at most `RUNS_TO_DESCRIBE_MAX` of them are used;
 * those after the event's run are not looked at, so that it does not matter when the description is made.
 * `more` is what is known beside them, such as what other loops did.
 */
export function describeEvent(event: AlarmEvent, runs: readonly Observation[], more?: MoreEvidence): Alarm {
  const last = runs.findLastIndex((run) => run.runId === event.runId);
  if (last < 0) throw new RangeError(`expected run ${event.runId} among the ${runs.length} runs given`);
  const until = runs.slice(Math.max(0, last + 1 - RUNS_TO_DESCRIBE_MAX), last + 1);
  const values = valuesOf(event.measure, until);
  const regime = until.slice(startOf(values, Math.min(event.regime, VALUES_MAX)));
  const { kind, measure, eValue, threshold, arl, bound } = event;
  return describeAlarm({ kind, measure, run: runs[last]!, eValue, threshold, arl, bound }, regime, more);
}

/** Where the last `count` values begin; with those of the first regime begin the runs themselves. */
function startOf(values: readonly (number | null)[], count: number): number {
  let left = count;
  let start = 0;
  for (let i = values.length - 1; i >= 0 && left >= 0; i--) {
    if (values[i] === null) continue;
    if (left > 0) start = i;
    left--;
  }
  return left >= 0 ? 0 : start;
}
