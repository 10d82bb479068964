import { Cron } from 'croner';
import { contentHash } from '../src/records/normalize.ts';

/**
 * Due times as pure functions of now. All times are milliseconds since the Unix epoch.
 *
 * A job is due at a time of its suite's pattern plus the suite's jitter: the same share of the pattern's gap each time,
 * known from the suite's name alone, so that a thousand suites on one pattern do not start together and every process
 * names a job alike. The jitter is shorter than the gap, so due times keep the pattern's order and number.
 *
 * A pattern's clock may be set forward or back: a time that is skipped is due when the clock goes on, and one that comes
 * twice is due the first time, where a pattern that names no hour goes on at its pace.
 */

/** A job that starts this long after it was due is counted as late. */
export const LATE_AFTER_MS = 60_000;
/** Jitter is below this share of the time to the pattern's next time, and below this time. */
const JITTER_SHARE = 0.1;
const JITTER_MS_MAX = 300_000;

/** When a suite is due, as its definition says it. */
export interface Schedule {
  suite: string;
  /** Cron pattern, with seconds or without. */
  schedule: string;
  timezone: string;
}

/**
 * The latest time in (`after`, `now`] at which a job is due, or `undefined`. However much was missed, it is
 * one time: after downtime one job catches up. Without `after` (nothing was ever done) the last time before now counts.
 */
export function dueAt(schedule: Schedule, after: number | undefined, now: number): number | undefined {
  const [last, beforeLast] = timesUntil(schedule, 2, now);
  const latest = [last, beforeLast]
    .filter((time) => time !== undefined)
    .map((time) => time + jitterMs(schedule, time))
    .find((due) => due <= now);
  return latest === undefined || (after !== undefined && latest <= after) ? undefined : latest;
}

/** The first time after `now` at which a job is due; `undefined` where none ever is again. */
export function nextDueAt(schedule: Schedule, now: number): number | undefined {
  const [last] = timesUntil(schedule, 1, now);
  const due = last === undefined ? undefined : last + jitterMs(schedule, last);
  if (due !== undefined && due > now) return due;
  const next = timeAfter(schedule, now);
  return next === undefined ? undefined : next + jitterMs(schedule, next);
}

/** The time between the next two due times after `now`; `undefined` where there are no two. */
export function gapMs(schedule: Schedule, now: number): number | undefined {
  const next = nextDueAt(schedule, now);
  const afterNext = next === undefined ? undefined : nextDueAt(schedule, next);
  return next === undefined || afterNext === undefined ? undefined : afterNext - next;
}

/**
 * How long after the process's start a job waits that was missed while nobody ran: its suite's share of the pattern's
 * gap, as on any other day, so that all the jobs that catch up do not start together.
 */
export const catchUpDelayMs = (schedule: Schedule, due: number): number =>
  Math.floor(share(schedule.suite) * jitterMsMax(gapMs(schedule, due)));

function jitterMs(schedule: Schedule, time: number): number {
  const next = timeAfter(schedule, time);
  return Math.floor(share(schedule.suite) * jitterMsMax(next === undefined ? undefined : next - time));
}

const jitterMsMax = (gap: number | undefined): number =>
  gap === undefined ? 0 : Math.min(JITTER_MS_MAX, JITTER_SHARE * gap);

/** The suite's place in [0, 1), from its name. */
function share(suite: string): number {
  return Number.parseInt(contentHash(suite).slice(0, 12), 16) / 2 ** 48;
}

/** The latest `n` times of the pattern that are not after `now`, latest first. */
function timesUntil({ schedule, timezone }: Schedule, n: number, now: number): number[] {
  // Croner looks back from whole seconds and leaves the second itself out.
  const from = new Date((Math.floor(now / 1000) + 1) * 1000);
  return cron(schedule, timezone)
    .previousRuns(n, from)
    .map((time) => time.getTime());
}

const timeAfter = ({ schedule, timezone }: Schedule, time: number): number | undefined =>
  cron(schedule, timezone).nextRun(new Date(time))?.getTime();

const cron = (pattern: string, timezone: string) => new Cron(pattern, { paused: true, timezone });

/** What is known of a suite's jobs: the newest that is over, and those that were started and never got there. */
export interface JobHistory {
  finishedDueAt: number | undefined;
  unfinishedDueAt: readonly number[];
}

/**
 * The jobs of a suite that must run now, oldest first: what was cut off before, then what has come due.
 */
export function jobsToRun(schedule: Schedule, history: JobHistory, now: number): number[] {
  const known = [history.finishedDueAt, ...history.unfinishedDueAt].filter((t) => t !== undefined);
  const due = dueAt(schedule, known.length > 0 ? Math.max(...known) : undefined, now);
  const unfinished = [...history.unfinishedDueAt].sort((a, b) => a - b);
  return due === undefined ? unfinished : [...unfinished, due];
}
