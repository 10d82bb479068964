import { Cron } from 'croner';

/** Due times as pure functions of now. All times are milliseconds since the Unix epoch. */

/** A job that starts this long after it was due is counted as late. */
export const LATE_AFTER_MS = 60_000;

/**
 * The latest time in (`after`, `now`] at which `pattern` is due, or `undefined`. However much was missed, it is
 * one time: after downtime one job catches up. Without `after` (nothing was ever done) the last time before now counts.
 */
export function dueAt(
  pattern: string,
  after: number | undefined,
  now: number,
  timezone = 'UTC',
): number | undefined {
  // Croner looks back from whole seconds and leaves the second itself out.
  const from = new Date((Math.floor(now / 1000) + 1) * 1000);
  const latest = cron(pattern, timezone).previousRuns(1, from)[0]?.getTime();
  if (latest === undefined || latest > now) return undefined;
  return after === undefined || latest > after ? latest : undefined;
}

/** The first time after `now` at which `pattern` is due; `undefined` where it never is again. */
export function nextDueAt(pattern: string, now: number, timezone = 'UTC'): number | undefined {
  return cron(pattern, timezone).nextRun(new Date(now))?.getTime();
}

const cron = (pattern: string, timezone: string) => new Cron(pattern, { paused: true, timezone });

/** What is known of a suite's jobs: the newest that is over, and those that were started and never got there. */
export interface JobHistory {
  finishedDueAt: number | undefined;
  unfinishedDueAt: readonly number[];
}

/**
 * The jobs of a suite that must run now, oldest first: what was cut off before, then what has come due.
 */
export function jobsToRun(pattern: string, history: JobHistory, now: number, timezone = 'UTC'): number[] {
  const known = [history.finishedDueAt, ...history.unfinishedDueAt].filter((t) => t !== undefined);
  const due = dueAt(pattern, known.length > 0 ? Math.max(...known) : undefined, now, timezone);
  const unfinished = [...history.unfinishedDueAt].sort((a, b) => a - b);
  return due === undefined ? unfinished : [...unfinished, due];
}
