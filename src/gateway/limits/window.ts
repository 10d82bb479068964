import type { Window } from './settings.ts';

/** The calendar windows, in UTC, as pure functions of the time. */
export interface Period {
  startMs: number;
  /** The first millisecond that is no longer in it. */
  endMs: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
/** The epoch was a Thursday; the Monday after it was four days on. */
const FIRST_MONDAY_MS = 4 * DAY_MS;

/** The window that `nowMs` lies in. A `run` has no bounds of its own: it lasts as long as it is used. */
export function periodAt(window: Exclude<Window, 'run'>, nowMs: number): Period {
  switch (window) {
    case 'minute':
      return aligned(nowMs, MINUTE_MS, 0);
    case 'hour':
      return aligned(nowMs, HOUR_MS, 0);
    case 'day':
      return aligned(nowMs, DAY_MS, 0);
    case 'week':
      return aligned(nowMs, WEEK_MS, FIRST_MONDAY_MS);
    case 'month': {
      const date = new Date(nowMs);
      const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
      return { startMs: Date.UTC(year, month, 1), endMs: Date.UTC(year, month + 1, 1) };
    }
  }
}

function aligned(nowMs: number, lengthMs: number, originMs: number): Period {
  const startMs = Math.floor((nowMs - originMs) / lengthMs) * lengthMs + originMs;
  return { startMs, endMs: startMs + lengthMs };
}
