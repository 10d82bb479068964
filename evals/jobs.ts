import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import type { Store } from '../src/store/client.ts';
import { appendJob, type JobRow, jobHistories } from '../src/store/jobs.ts';
import type { Metrics } from './metrics.ts';
import { type JobHistory, jobsToRun, LATE_AFTER_MS } from './schedule.ts';
import { runSuite, type SuiteResult } from './score.ts';
import type { Suite } from './suite.ts';

/**
 * Runs the jobs of suites when they are due. (suite, due time) names a job. It is written down when it starts and
 * when it ends, so that one which was cut off is known and run again, and none is run twice. This process
 * is taken to be the only one that runs jobs; were there two, their work would double but not their scores.
 */
export interface RunnerContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals'>;
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
}

const NO_JOBS: JobHistory = { finishedDueAt: undefined, unfinishedDueAt: [] };
const NOTHING = { scored: 0, errors: 0, unmatched: 0, message: '' };

export function createRunner({ store, clock, config, metrics, log, signal }: RunnerContext) {
  /** Read once; from then on this process knows best. */
  let histories: Map<string, JobHistory> | undefined;

  /** Scores a suite now, outside its schedule too. */
  const score = async (suite: Suite): Promise<SuiteResult> => {
    const result = await runSuite(suite, { store, clock, config, signal });
    const labels = { suite: suite.suite };
    metrics.add('scores_total', labels, result.scored);
    for (const [code, n] of Object.entries(result.errorCodes))
      metrics.add('score_errors_total', { ...labels, code }, n);
    metrics.set('unmatched_runs', labels, result.unmatched);
    return result;
  };

  const runJob = async (suite: Suite, dueAt: number): Promise<void> => {
    const job = { suite: suite.suite, due_at: dueAt };
    await appendJob(store, { ...job, ...NOTHING, state: 'started', at: clock.now() });
    const end = await outcome(suite);
    if (signal.aborted) return; // cut off: it runs again
    await appendJob(store, { ...job, ...end, at: clock.now() });
    metrics.add('jobs_total', { suite: suite.suite, state: end.state });
    if (end.state === 'failed') log.error({ ...job, reason: end.message }, 'scoring job failed');
    else
      log.info(
        { ...job, scored: end.scored, errors: end.errors, unmatched: end.unmatched },
        'scoring job done',
      );
  };

  const outcome = async (suite: Suite): Promise<Omit<JobRow, 'suite' | 'due_at' | 'at'>> => {
    try {
      const { scored, errors, unmatched } = await score(suite);
      return { state: 'done', scored, errors, unmatched, message: '' };
    } catch (error) {
      // What may pass is no end of the job: it stays unfinished and is taken up again.
      if (error instanceof LoopscopeError && error.retryable) throw error;
      return { ...NOTHING, state: 'failed', message: (error as Error).message };
    }
  };

  return {
    score,
    /** Learns which jobs there were; to be awaited before the first `runDue`. */
    ready: async (): Promise<void> => {
      histories ??= new Map(await jobHistories(store));
    },
    /** Runs a suite's jobs that are due, oldest first, calling `afterJob` after each. */
    runDue: async (suite: Suite, afterJob: () => Promise<unknown>): Promise<void> => {
      const history = histories?.get(suite.suite) ?? NO_JOBS;
      let { finishedDueAt } = history;
      const due = jobsToRun(suite.schedule, history, clock.now(), suite.timezone);
      for (const [n, dueAt] of due.entries()) {
        histories?.set(suite.suite, { finishedDueAt, unfinishedDueAt: due.slice(n) });
        if (history !== NO_JOBS && clock.now() - dueAt > LATE_AFTER_MS)
          metrics.add('jobs_late_total', { suite: suite.suite });
        if (signal.aborted) return;
        await runJob(suite, dueAt);
        finishedDueAt = dueAt;
        histories?.set(suite.suite, { finishedDueAt, unfinishedDueAt: due.slice(n + 1) });
        await afterJob();
      }
    },
  };
}
