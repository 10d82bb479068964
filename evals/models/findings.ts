import type { Alert, AlertChange } from '../../src/store/alerts.ts';
import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ModelUse } from '../../src/store/model-uses.ts';
import type { Calendar } from './calendar.ts';

/** What the models of a loop are judged by, and what comes of it. */

/** Everything that is known of one loop's models. */
export interface LoopModels {
  loop: string;
  uses: readonly ModelUse[];
  /** Its alerts in their newest state. */
  alerts: readonly Alert[];
}

/** What there is to tell. What was told before may be in it again: its id is the same. */
export interface Findings {
  events: ModelEvent[];
  /** To be appended in this order. */
  alerts: AlertChange[];
}

/** Findings of all kinds, within the limits. */
export interface Judgement extends Findings {
  /** Alerts that the loop has too many open for. */
  withheld: number;
}

export interface Circumstances {
  calendar: Calendar;
  noticeDays: readonly number[];
  /** Milliseconds since the epoch. */
  now: number;
}
