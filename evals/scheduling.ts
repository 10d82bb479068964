import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import type { Store } from '../src/store/client.ts';
import { createDue } from './due.ts';
import { createRunner } from './jobs.ts';
import type { Metrics } from './metrics.ts';
import { openQueue } from './queue/open.ts';
import type { Work } from './queue/queue.ts';
import type { SuiteResult } from './score.ts';
import type { Suite, SuiteBook } from './suite.ts';
import { createTurns } from './turns.ts';

/**
 * Has suites scored when they are due: what is due goes into the queue, and what comes out of it is run, some suites
 * at once. With `redis_url` all evals processes share the queue; without it this process is taken to be the only one.
 */
export interface Scheduling {
  /** Puts what is due now in the queue and waits for none of it. Throws what the store and the queue throw. */
  tick(): Promise<void>;
  /** Scores a suite now, off its schedule, when no job of it runs in this process. */
  score(suite: Suite): Promise<SuiteResult>;
  /** Why no job can be had just now; `undefined` when all is well. */
  whyAway(): string | undefined;
  /** Resolves when nothing runs any more. To be called after the signal fired. */
  close(): Promise<void>;
}

export interface SchedulingContext {
  config: Pick<Config, 'evals' | 'redis_url' | 'gateway' | 'keyOf' | 'providers' | 'prices' | 'models'>;
  store: Store;
  clock: Clock;
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
  suites: Pick<SuiteBook, 'current'>;
  /** Called after each job, before its suite can have another. */
  afterJob: (suite: Suite) => Promise<unknown>;
}

/** A suite whose job could not come to its end waits so long for the next try. */
const HELD_UP_MS = 2_000;

export async function createScheduling(context: SchedulingContext): Promise<Scheduling> {
  const { store, clock, config, metrics, log, signal, suites, afterJob } = context;
  const due = createDue({ store, clock });
  const runner = createRunner({ store, clock, config, due, metrics, log, signal });
  const atOnceMax = config.evals.suites_at_once;
  const turns = createTurns(atOnceMax);
  const heldUpUntil = new Map<string, number>();

  const work: Work = async (job) => {
    const suite = suites.current().find(({ suite }) => suite === job.suite);
    if (!suite) {
      // Another process knows it, and puts it in again should it have to.
      metrics.add('jobs_total', { suite: job.suite, state: 'unknown' });
      return;
    }
    try {
      await turns.take(suite.suite, () => runner.run(suite, job));
      if (!signal.aborted) await afterJob(suite);
    } catch (error) {
      heldUpUntil.set(suite.suite, clock.now() + HELD_UP_MS);
      if (!signal.aborted)
        log.error({ suite: suite.suite, reason: (error as Error).message }, 'suite is held up');
    }
  };
  const queue = await openQueue(context, { name: 'jobs', atOnceMax, work });

  return {
    tick: async () => {
      await due.ready();
      const isLeftOut = (suite: string) =>
        queue.isBusy(suite) || turns.isBusy(suite) || (heldUpUntil.get(suite) ?? 0) > clock.now();
      for (const job of await due.jobs(suites.current(), isLeftOut)) await queue.add(job);
    },
    score: (suite) => turns.take(suite.suite, () => runner.score(suite)),
    whyAway: () => queue.whyAway(),
    close: async () => {
      await queue.close();
      await turns.settled();
    },
  };
}
