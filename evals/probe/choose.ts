import { Cron } from 'croner';
import { contentHash } from '../../src/records/normalize.ts';
import type { GoldenRow } from '../../src/store/golden.ts';

/**
 * Which items are asked. Pure functions of the job's id, so that a job which was cut off asks the rest of the same ones.
 *
 * On schedule items are drawn evenly and with replacement: whatever was asked before, the next answer's mean is then the
 * dataset's, which is what a detector on the series of scores rests on. After a change of model each item is asked once,
 * those first that have a score from before, in an order that hangs on nothing but the ids.
 */
const DAY_MS = 86_400_000;
/** A schedule that is due more often counts as if it were due this often. */
const DUE_A_DAY_MAX = 1_440;

/** Items for a job on schedule. */
export const drawn = (items: readonly GoldenRow[], n: number, jobId: string): GoldenRow[] =>
  items.length === 0
    ? []
    : Array.from({ length: n }, (_, k) => items[Math.floor(uniform(jobId, String(k)) * items.length)]!);

/** Items for a job after a change of model, at most `max`. */
export function distinct(
  items: readonly GoldenRow[],
  hasScoreBefore: (item: GoldenRow) => boolean,
  max: number,
  jobId: string,
): GoldenRow[] {
  const rank = new Map(items.map((item) => [item, uniform(jobId, item.item_id)]));
  const late = (item: GoldenRow) => (hasScoreBefore(item) ? 0 : 1);
  return items.toSorted((a, b) => late(a) - late(b) || rank.get(a)! - rank.get(b)!).slice(0, max);
}

/** Another item, whose expected answer is a wrong one for this: another answer, or none where all expect the same. */
export function wrongAnswerFor(
  item: GoldenRow,
  items: readonly GoldenRow[],
  jobId: string,
): string | undefined {
  const others = [...new Set(items.map(({ expected }) => expected))]
    .filter((answer) => answer !== item.expected)
    .sort();
  return others.length === 0 ? undefined : others[Math.floor(uniform(jobId, item.item_id) * others.length)];
}

/**
 * How many of the day's items fall to the job that is due at `dueAt` (milliseconds): the k-th of a UTC day's J jobs brings
 * their sum to k/J of them. A job that never ran is not made up for.
 */
export function shareOf(itemsPerDay: number, schedule: string, dueAt: number, timezone: string): number {
  const day = Math.floor(dueAt / DAY_MS) * DAY_MS;
  const cron = new Cron(schedule, { paused: true, timezone });
  const due: number[] = [];
  let next = cron.nextRun(new Date(day - 1_000))?.getTime();
  while (next !== undefined && next < day + DAY_MS && due.length < DUE_A_DAY_MAX) {
    if (next >= day) due.push(next);
    next = cron.nextRun(new Date(next))?.getTime();
  }
  const jobs = Math.max(1, due.length);
  // A job is due a little after its time: each suite has its own jitter.
  const nth = Math.max(1, due.filter((time) => time <= dueAt).length);
  const until = (k: number) => Math.floor((k / jobs) * itemsPerDay);
  return until(nth) - until(nth - 1);
}

/** Uniform in [0, 1), from 48 bits of a hash. */
const uniform = (jobId: string, name: string): number =>
  Number.parseInt(contentHash(`${jobId}\0${name}`).slice(0, 12), 16) / 2 ** 48;
