import type { Observation } from '../../src/records/observation.ts';
import { evidence } from '../stats/e-detector.ts';
import { type GoldenState, initial, type Settings, step, threshold } from './golden.ts';
import type { Alarm } from './report.ts';

/** What the detector says of a loop after all its runs so far. */
export interface Watched {
  alarms: Alarm[];
  /** `alarm` is the place of the alarm that ended, in `alarms`. */
  recoveries: { alarm: number; at_run: number; at: string }[];
  state: Standing;
}

export interface Standing {
  /** `learning`: too few scores for a baseline; the loop is unmeasured. */
  phase: 'learning' | 'watching' | 'alarmed';
  /** Evidence for a fall, and what it has to reach. */
  eValue: number;
  threshold: number;
  scored: number;
  /** First run of the present regime. */
  regimeStart: number;
  /** The scores the loop is held against, their mean, and the bound its mean is above. */
  baseline: { n: number; mean: number; low: number } | null;
}

/** Runs the detector over a loop's whole series, in the loop's order. */
export function watch(observations: Iterable<Observation>, settings: Settings): Watched {
  const alarms: Alarm[] = [];
  const recoveries: Watched['recoveries'] = [];
  let state = initial(settings);
  for (const observation of observations) {
    const result = step(state, observation);
    state = result.state;
    for (const event of result.events) {
      if (event.type === 'alarm') alarms.push(event.alarm);
      else {
        const alarm = alarms.findLastIndex((a) => a.kind === 'golden_drop');
        recoveries.push({ alarm, at_run: event.at_run, at: event.at });
      }
    }
  }
  return { alarms, recoveries, state: standing(state) };
}

/** The part of the detector's state that people are shown. */
export function standing(state: GoldenState): Standing {
  const { low } = state.baseline;
  return {
    phase: state.recovery ? 'alarmed' : low ? 'watching' : 'learning',
    eValue: evidence(state.fall),
    threshold: threshold(state),
    scored: state.scored,
    regimeStart: state.regimeStart,
    baseline: low && { n: low.n, mean: low.mean, low: low.value },
  };
}
