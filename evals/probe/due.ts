import { contentHash } from '../../src/records/normalize.ts';
import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ProbeJobRow } from '../../src/store/probes.ts';
import { jobsToRun } from '../schedule.ts';
import type { ProbedSuite } from './job.ts';
import type { ProbedChange } from './maker-alerts.ts';

/**
 * Which jobs of a suite must run now: those for a change of model first, then those on schedule. A job's id is made of the
 * suite and of what it is for, and one that ended is not run again: a change is probed once, over restarts too.
 */

/** An older change is history that came late, and what answers now says nothing of it. */
const CHANGE_AGE_MAX_MS = 24 * 3_600_000;
/** How far back jobs are looked at: every change in reach, and what was cut off. */
export const JOBS_SINCE_MS = 2 * CHANGE_AGE_MAX_MS;
/** Of one suite at one look; names of models come from callers, who can make up any number of them. */
const CHANGES_AT_ONCE_MAX = 3;

export interface DueJob {
  job: Pick<ProbeJobRow, 'job_id' | 'suite' | 'loop' | 'reason' | 'due_at' | 'event_id'>;
  event: ModelEvent | undefined;
}

/** `jobs` are the suite's since `JOBS_SINCE_MS` and its newest; `events` its loop's. */
export function dueJobs(
  { suite, loop, probe, timezone }: ProbedSuite,
  jobs: readonly ProbeJobRow[],
  events: readonly ModelEvent[],
  now: number,
): DueJob[] {
  const ended = new Set(jobs.filter(({ state }) => state !== 'started').map(({ job_id }) => job_id));
  const changes = probe.on_model_change
    ? events
        .filter((event) => isChange(event) && event.at > now - CHANGE_AGE_MAX_MS)
        .map((event): DueJob => ({ job: jobFor('model_change', event.at, event.event_id), event }))
        .filter(({ job }) => !ended.has(job.job_id))
        .sort((a, b) => a.job.due_at - b.job.due_at)
        .slice(0, CHANGES_AT_ONCE_MAX)
    : [];
  const scheduled = jobs.filter(({ reason }) => reason === 'schedule');
  const finished = scheduled.filter(({ state }) => state !== 'started').map(({ due_at }) => due_at);
  const history = {
    finishedDueAt: finished.length > 0 ? Math.max(...finished) : undefined,
    unfinishedDueAt: scheduled.filter(({ state }) => state === 'started').map(({ due_at }) => due_at),
  };
  const due = jobsToRun({ suite, schedule: probe.schedule, timezone }, history, now);
  return [
    ...changes,
    ...due.map((dueAt): DueJob => ({ job: jobFor('schedule', dueAt, ''), event: undefined })),
  ];

  function jobFor(reason: ProbeJobRow['reason'], due_at: number, event_id: string): DueJob['job'] {
    const job_id = jobId({ suite, loop }, reason, reason === 'schedule' ? String(due_at) : event_id);
    return { job_id, suite, loop, reason, due_at, event_id };
  }
}

/** The changes of model in reach, each with the job that probes it. */
export const probedChanges = (
  suite: Pick<ProbedSuite, 'suite' | 'loop'>,
  events: readonly ModelEvent[],
): ProbedChange[] =>
  events.filter(isChange).map((event) => ({ event, jobId: jobId(suite, 'model_change', event.event_id) }));

const isChange = ({ kind }: ModelEvent) => kind === 'served_model_changed';

const jobId = (
  { suite, loop }: Pick<ProbedSuite, 'suite' | 'loop'>,
  reason: ProbeJobRow['reason'],
  what: string,
): string => contentHash([suite, loop, reason, what].join('\0')).slice(0, 16);
