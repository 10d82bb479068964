import type { JobStanding } from '../../src/store/jobs.ts';
import { gapMs, nextDueAt, type Schedule } from '../schedule.ts';

/**
 * Whether a suite gave no score when it should have. Three things keep scores from coming, and each shows in what is
 * written of the suite's jobs:
 *
 * - `not_run`: a job was due and none ended, since the evals role was down or its queue was, or the job hangs.
 * - `jobs_failed`: jobs end as failed, say because the dataset has no golden data.
 * - `scores_failed`: jobs run, and every run gets an error in place of a score.
 *
 * Each must last for a while: one failure is no news. Whether there was anything to score is for the caller to see; a
 * loop without runs is idle, not unmeasured.
 */
export type UnmeasuredReason = 'not_run' | 'jobs_failed' | 'scores_failed';

export interface Suspicion {
  reason: UnmeasuredReason;
  /** Since when, in milliseconds since the epoch. */
  since: number;
}

/** So many jobs of a suite may be amiss before anyone is told, within these bounds. */
const GRACE_JOBS = 3;
const GRACE_MS_MIN = 15 * 60_000;
const GRACE_MS_MAX = 24 * 3_600_000;
/** Fewer errors than this say more of the runs than of the scorer. */
const ERRORS_MIN = 3;

/** How long a suite may go without what it should have had since `since`. */
export const graceMs = (schedule: Schedule, since: number): number =>
  Math.min(GRACE_MS_MAX, Math.max(GRACE_MS_MIN, GRACE_JOBS * (gapMs(schedule, since) ?? 0)));

/** What is amiss at `now`, and for long enough, worst first. Scores that came at `scoredAt` put it off. */
export function suspicions(
  schedule: Schedule,
  standing: JobStanding,
  now: number,
  scoredAt: number | null = null,
): Suspicion[] {
  const began: Record<UnmeasuredReason, number | null | undefined> = {
    not_run: missedSince(schedule, standing),
    jobs_failed: standing.failedSince,
    scores_failed:
      standing.errors >= ERRORS_MIN && standing.errorsSince! > (scoredAt ?? 0) ? standing.errorsSince : null,
  };
  return Object.entries(began)
    .filter((entry): entry is [UnmeasuredReason, number] => typeof entry[1] === 'number')
    .map(([reason, since]) => ({ reason, since: Math.max(since, scoredAt ?? 0) }))
    .filter(({ since }) => now - since >= graceMs(schedule, since));
}

/** When the first job was due that did not end, going by the schedule and, should that be new, by the jobs before. */
function missedSince(schedule: Schedule, { endedDueAt, startedAt }: JobStanding): number | null | undefined {
  const [last] = endedDueAt;
  if (last === undefined) return startedAt;
  const next = nextDueAt(schedule, last);
  if (next === undefined) return undefined;
  const gaps = endedDueAt.slice(1).map((due, i) => endedDueAt[i]! - due);
  return gaps.length === 0 ? next : Math.max(next, last + Math.min(...gaps));
}
