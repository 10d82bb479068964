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
