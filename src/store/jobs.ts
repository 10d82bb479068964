import type { Store } from './client.ts';

/** The jobs of suites, a row each change of state; (suite, due_at) names one. */

export type JobState = 'started' | 'done' | 'failed';

export interface JobRow {
  suite: string;
  /** Milliseconds since the Unix epoch, as all times here. */
  due_at: number;
  state: JobState;
  at: number;
  scored: number;
  errors: number;
  unmatched: number;
  message: string;
}

/** Appends a change of state. A job ends once: the same end told again, after an answer was lost, adds nothing. */
export async function appendJob(store: Store, job: JobRow): Promise<void> {
  const row = {
    ...job,
    due_at: new Date(job.due_at).toISOString(),
    at: new Date(job.at).toISOString(),
  };
  await store.insert(
    'eval_jobs',
    [row],
    job.state === 'started' ? undefined : `job/${job.suite}/${job.due_at}/end`,
  );
}

/** By suite: when the newest finished job was due, and the due times of those that were started and not finished. */
export async function jobHistories(
  store: Store,
): Promise<Map<string, { finishedDueAt: number | undefined; unfinishedDueAt: number[] }>> {
  const rows = await store.query<{ suite: string; finished: number; newest: number; unfinished: number[] }>(
    `SELECT suite, countIf(over) AS finished, maxIf(due, over) AS newest, groupArrayIf(due, NOT over) AS unfinished
     FROM (SELECT suite, toUnixTimestamp64Milli(due_at) AS due, countIf(state IN ('done', 'failed')) > 0 AS over
           FROM ${store.database}.eval_jobs GROUP BY suite, due_at)
     GROUP BY suite`,
  );
  return new Map(
    rows.map((row) => [
      row.suite,
      {
        finishedDueAt: row.finished > 0 ? row.newest : undefined,
        unfinishedDueAt: row.unfinished.sort((a, b) => a - b),
      },
    ]),
  );
}

/** Those of `jobs` that are over, whoever ran them. */
export async function jobsOver(
  store: Store,
  jobs: readonly { suite: string; dueAt: number }[],
): Promise<{ suite: string; dueAt: number }[]> {
  if (jobs.length === 0) return [];
  return store.query(
    `SELECT DISTINCT suite, toUnixTimestamp64Milli(due_at) AS dueAt FROM ${store.database}.eval_jobs
     WHERE suite IN {suites:Array(String)} AND due_at >= fromUnixTimestamp64Milli({oldest:Int64})
       AND (suite, toUnixTimestamp64Milli(due_at)) IN (
         SELECT tupleElement(job, 1), tupleElement(job, 2)
         FROM (SELECT arrayJoin(arrayZip({names:Array(String)}, {dues:Array(Int64)})) AS job))
       AND state IN ('done', 'failed')`,
    {
      suites: [...new Set(jobs.map(({ suite }) => suite))],
      oldest: Math.min(...jobs.map(({ dueAt }) => dueAt)),
      names: jobs.map(({ suite }) => suite),
      dues: jobs.map(({ dueAt }) => dueAt),
    },
  );
}

/** By suite: the newest state of its newest job. */
export async function lastJobs(store: Store): Promise<Map<string, JobRow>> {
  const rows = await store.query<JobRow>(
    `SELECT suite, toUnixTimestamp64Milli(j.due_at) AS due_at, state, toUnixTimestamp64Milli(j.at) AS at,
            scored, errors, unmatched, message
     FROM ${store.database}.eval_jobs AS j
     ORDER BY j.due_at DESC, state != 'started' DESC, j.at DESC LIMIT 1 BY suite`,
  );
  return new Map(rows.map((row) => [row.suite, row]));
}

/** How the jobs of a suite went of late. Times are milliseconds since the epoch, `null` where there is none. */
export interface JobStanding {
  suite: string;
  /** When the newest jobs that ended were due, newest first, at most `ENDED_MAX`. */
  endedDueAt: number[];
  /** When the first job started; it may be the only one, and still there. */
  startedAt: number | null;
  /** When the first job failed since one was done, how many did, and what the newest said. */
  failedSince: number | null;
  failed: number;
  message: string;
  /** When the first run got an error for its score since one got a score, and how many did. */
  errorsSince: number | null;
  errors: number;
}

const ENDED_MAX = 4;

/** How the jobs went of those `suites` that had any due since `since`. */
export function jobStandings(store: Store, suites: readonly string[], since: number): Promise<JobStanding[]> {
  const jobs = `
    SELECT suite, toUnixTimestamp64Milli(due_at) AS due, state, toUnixTimestamp64Milli(at) AS ms, scored, errors, message
    FROM ${store.database}.eval_jobs
    WHERE suite IN {suites:Array(String)} AND due_at >= fromUnixTimestamp64Milli({since:Int64})`;
  return store.query<JobStanding>(
    `SELECT j.suite AS suite,
       arrayMap(due -> -due, groupArraySortedIf(${ENDED_MAX})(-j.due, j.state != 'started')) AS endedDueAt,
       minOrNullIf(j.ms, j.state = 'started') AS startedAt,
       minOrNullIf(j.ms, j.state = 'failed' AND j.ms > l.doneAt) AS failedSince,
       countIf(j.state = 'failed' AND j.ms > l.doneAt) AS failed,
       argMaxIf(j.message, j.ms, j.state = 'failed' AND j.ms > l.doneAt) AS message,
       minOrNullIf(j.ms, j.errors > 0 AND j.ms > l.scoredAt) AS errorsSince,
       sumIf(j.errors, j.ms > l.scoredAt) AS errors
     FROM (${jobs}) AS j
     JOIN (
       SELECT suite, maxIf(ms, state = 'done') AS doneAt, maxIf(ms, scored > 0) AS scoredAt
       FROM (${jobs}) GROUP BY suite
     ) AS l ON l.suite = j.suite
     GROUP BY j.suite ORDER BY j.suite`,
    { suites, since },
  );
}
