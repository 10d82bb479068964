import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import type { Store } from '../src/store/client.ts';
import { appendJob, type JobRow, jobsOver } from '../src/store/jobs.ts';
import type { Due } from './due.ts';
import type { Metrics } from './metrics.ts';
import type { Job } from './queue/queue.ts';
import { runSuite, type SuiteResult } from './score.ts';
import type { Suite } from './suite.ts';

/**
 * Runs a job of a suite. It is written down when it starts and when it ends, so that one which was cut off is known and
 * run again, and one that is over is not run, whoever asks for it.
 */
export interface RunnerContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals' | 'gateway' | 'keyOf' | 'providers' | 'prices' | 'models'>;
  gatewayUrl?: string | undefined;
  due: Due;
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
}

const NOTHING = { scored: 0, errors: 0, unmatched: 0, message: '' };

export function createRunner({ store, clock, config, due, metrics, log, signal }: RunnerContext) {
  /** Scores a suite now, outside its schedule too. */
  const score = async (suite: Suite): Promise<SuiteResult> => {
    const result = await runSuite(suite, { store, clock, config, signal });
    const labels = { suite: suite.suite };
    metrics.add('scores_total', labels, result.scored);
    for (const [code, n] of Object.entries(result.errorCodes))
      metrics.add('score_errors_total', { ...labels, code }, n);
    metrics.set('unmatched_runs', labels, result.unmatched);
    metrics.set('runs_over_cost_cap', labels, result.overCap);
    return result;
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
    /** Runs a suite's job. Throws what may pass: the job is not over then, nor is it when the signal fires. */
    run: async (suite: Suite, { dueAt }: Job): Promise<void> => {
      const job = { suite: suite.suite, due_at: dueAt };
      const over = () => due.over({ suite: suite.suite, dueAt });
      if (signal.aborted) return;
      if ((await jobsOver(store, [{ suite: suite.suite, dueAt }])).length > 0) return over();
      if (due.isLate({ suite: suite.suite, dueAt })) metrics.add('jobs_late_total', { suite: suite.suite });
      await appendJob(store, { ...job, ...NOTHING, state: 'started', at: clock.now() });
      const end = await outcome(suite);
      if (signal.aborted) return;
      await appendJob(store, { ...job, ...end, at: clock.now() });
      over();
      metrics.add('jobs_total', { suite: suite.suite, state: end.state });
      if (end.state === 'failed') log.error({ ...job, reason: end.message }, 'scoring job failed');
      else
        log.info(
          { ...job, scored: end.scored, errors: end.errors, unmatched: end.unmatched },
          'scoring job done',
        );
    },
  };
}
