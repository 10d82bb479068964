import type { LimitedCall, PlannedCounter } from './plan.ts';
import type { Window } from './settings.ts';
import type { Counter } from './store.ts';
import { type Period, periodAt } from './window.ts';

/** From the plan of a call to the counters it is on at a time. */

/** A call lasts no longer, as far as limits are concerned: its reservation is given up then. */
export const CALL_MS_MAX = 3_600_000;
/** Counts of a run are kept this long after its last call. */
const RUN_KEPT_MS = 7 * 86_400_000;

interface Labelled extends Period {
  label: string;
}

export class Calendar {
  readonly #periods = new Map<Window, Labelled>();

  /** The window around `nowMs`; worked out once for each. */
  at(window: Exclude<Window, 'run'>, nowMs: number): Labelled {
    let period = this.#periods.get(window);
    if (!period || nowMs >= period.endMs || nowMs < period.startMs) {
      const { startMs, endMs } = periodAt(window, nowMs);
      period = { startMs, endMs, label: new Date(startMs).toISOString().slice(0, 16) };
      this.#periods.set(window, period);
    }
    return period;
  }

  /** Counters of windows stay until no call that began in them can be under way. */
  counter({ scope, window, subject, max }: PlannedCounter, call: LimitedCall, nowMs: number): Counter {
    const who = subject ?? `${call.loop}/${call.runId}`;
    if (window === 'run') {
      const key =
        subject === undefined ? `${scope}|${who}|run` : `${scope}|${who}|run|${call.loop}/${call.runId}`;
      return { key, max, keepMs: RUN_KEPT_MS };
    }
    const { endMs, label } = this.at(window, nowMs);
    return { key: `${scope}|${who}|${window}|${label}`, max, keepMs: endMs - nowMs + CALL_MS_MAX };
  }
}
