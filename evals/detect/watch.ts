import type { Observation } from '../../src/records/observation.ts';
import { evidence } from '../stats/e-detector.ts';
import { describeEvent } from './describe.ts';
import { initialWatch, settingsOf, stepWatch, type WatchSettings, type WatchState } from './fold.ts';
import type { Alarm, Joined, Kind } from './report.ts';

export { type MoreEvidence, rejudge } from './alarm.ts';
export { describeEvent, RUNS_TO_DESCRIBE_MAX } from './describe.ts';
export type { AlarmEvent, RecoveredEvent, WatchEvent } from './event.ts';
export { fleetEvidence } from './fleet.ts';
export {
  acceptWatch,
  initialWatch,
  LEARN_SCORES,
  stepScore,
  stepWatch,
  type WatchSettings,
  type WatchState,
} from './fold.ts';
export { MEASURES, type Measure } from './measures.ts';

/**
 * The detector as others use it: run by run with a state they keep (fold.ts), or at once over a whole series.
 */

/** What the detector says of a loop after all its runs so far. */
export interface Watched {
  /** One a change. Where several kinds tell of it, that of the golden score is the one described, if it is among them. */
  alarms: Alarm[];
  /** The other kinds that told of an alarm's change; `alarm` is its place in `alarms`. */
  joined: (Joined & { alarm: number })[];
  /** `alarm` is the place of the alarm that ended, in `alarms`. */
  recoveries: { alarm: number; at_run: number; at: string }[];
  state: Standing;
}

export interface Standing {
  /** `learning`: too few scores for a baseline; the loop is unmeasured. */
  phase: 'learning' | 'watching' | 'alarmed';
  /** Evidence for a fall of the golden score, and what it has to reach. */
  eValue: number;
  threshold: number;
  scored: number;
  /** First run of the golden score's present regime. */
  regimeStart: number;
  /** The scores the loop is held against, their mean, and the bound its mean is above. */
  baseline: { n: number; mean: number; low: number } | null;
}

/** Runs the detector over a loop's whole series, in the loop's order. */
export function watch(observations: Iterable<Observation>, settings: WatchSettings): Watched {
  const watched: Omit<Watched, 'state'> = { alarms: [], joined: [], recoveries: [] };
  const { alarms, joined, recoveries } = watched;
  const runs: Observation[] = [];
  const state = initialWatch(settings);
  /** By the kind that leads an episode, the place of its alarm. */
  const places = new Map<Kind, number>();
  for (const run of observations) {
    runs.push(run);
    const when = { at_run: run.index, at: run.at };
    for (const event of stepWatch(state, run)) {
      if (event.type === 'recovered') {
        recoveries.push({ alarm: places.get(event.kind)!, ...when });
      } else if (event.joins === null) {
        places.set(event.kind, alarms.length);
        alarms.push(describeEvent(event, runs));
      } else {
        const alarm = places.get(event.joins)!;
        if (event.kind !== 'golden_drop') {
          joined.push({ alarm, kind: event.kind, ...when, e_value: event.eValue });
        } else {
          const { kind, at_run, at, e_value } = alarms[alarm]!;
          joined.push({ alarm, kind, at_run, at, e_value });
          alarms[alarm] = describeEvent(event, runs);
        }
      }
    }
  }
  return { ...watched, state: standing(state, runs) };
}

/** The part of the detector's state that people are shown. `runs` are the loop's, in its order. */
export function standing(state: WatchState, runs: readonly Observation[]): Standing {
  const { golden } = state.levels;
  const low = golden?.baseline.low ?? null;
  const scored = runs.filter((run) => run.score !== null);
  return {
    phase: state.open.length > 0 ? 'alarmed' : low ? 'watching' : 'learning',
    eValue: golden ? evidence(golden.fall) : 0,
    threshold: settingsOf(state, 'golden').fallAt,
    scored: scored.length,
    regimeStart: golden ? (scored.at(-golden.regime)?.index ?? 0) : 0,
    baseline: low && { n: low.n, mean: low.mean, low: low.value },
  };
}
