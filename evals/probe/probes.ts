import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { openQueue } from '../queue/open.ts';
import type { Queue, Work } from '../queue/queue.ts';
import { createTurns } from '../turns.ts';
import type { ProbedSuite } from './job.ts';
import { createProbeRunner, type RunnerContext } from './runner.ts';

/**
 * Probes: asks the loops' live agents about golden data, on schedule and at once when another model answers, so that a loop
 * with few runs is measured and a bad model is caught before the next real run. They are calls of the loop, under its
 * limits and on its bill, and no runs of it: what they find is in `probes` and in alerts of `source: probe`.
 *
 * With `redis_url` all evals processes share a queue, and of a suite's probes one of them has the work at a time.
 */
export interface Probes {
  /** Runs what is due and judges it, in this process; resolves when that is over. Throws what the store throws. */
  look(): Promise<void>;
  /** Has what is due run in its time until the signal fires. Never rejects. */
  run(): Promise<void>;
}

export interface ProbesContext extends RunnerContext {
  clock: Clock;
  config: RunnerContext['config'] & Pick<Config, 'evals' | 'redis_url'>;
}

/** Suites that are probed at the same time. */
const SUITES_AT_ONCE_MAX = 4;

export function createProbes(context: ProbesContext): Probes {
  const { clock, config, log, signal, suites } = context;
  const turns = createTurns(SUITES_AT_ONCE_MAX);
  const runner = createProbeRunner(context);
  const probed = () => suites().filter((suite): suite is ProbedSuite => suite.probe !== undefined);
  const runDue = (suite: ProbedSuite) => turns.take(suite.suite, () => runner.runDue(suite));
  const heldUp = (suite: string, error: unknown) => {
    if (!signal.aborted) log.error({ suite, reason: (error as Error).message }, 'probes are held up');
  };

  /** A job says only whose probes are due: which these are is read again by whoever gets it. */
  const work: Work = async ({ suite: name }) => {
    const suite = probed().find(({ suite }) => suite === name);
    if (suite) await runDue(suite).catch((error) => heldUp(name, error));
  };

  const putIn = async (queue: Queue, suite: ProbedSuite): Promise<void> => {
    if (queue.isBusy(suite.suite) || turns.isBusy(suite.suite)) return;
    const [first] = await runner.due(suite);
    if (first) await queue.add({ suite: suite.suite, dueAt: first.job.due_at });
  };

  return {
    look: async () => {
      await Promise.all(probed().map(runDue));
    },
    run: async () => {
      const queue = await openQueue(context, { name: 'probes', atOnceMax: SUITES_AT_ONCE_MAX, work });
      while (!signal.aborted) {
        for (const suite of probed()) await putIn(queue, suite).catch((error) => heldUp(suite.suite, error));
        await clock.sleep(config.evals.detect_every_s * 1000, signal).catch(() => {});
      }
      await queue.close();
      await turns.settled();
    },
  };
}
