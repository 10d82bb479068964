import type { Logger } from 'pino';
import type { Metrics } from '../metrics.ts';
import type { Suite } from '../suite.ts';
import { createTurns } from '../turns.ts';
import { type DrawContext, drawForLabels } from './draw.ts';

/** Loops for which runs are chosen at the same time; of one loop one draw follows the other, whichever suite asks. */
const DRAWS_AT_ONCE_MAX = 2;

export interface AskingContext extends DrawContext {
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
}

/** Asks people for the labels that suites want, when their jobs are done. */
export function createAsking({ metrics, log, signal, ...context }: AskingContext) {
  const turns = createTurns(DRAWS_AT_ONCE_MAX);
  return {
    /** Never rejects: a draw that failed is made at the suite's next job, from the runs that are there then. */
    ask: (suite: Suite): Promise<void> =>
      turns.take(suite.loop, async () => {
        try {
          const { considered, chosen } = await drawForLabels(suite, context);
          if (considered === 0) return;
          metrics.add('label_runs_considered_total', { loop: suite.loop }, considered);
          metrics.add('label_runs_chosen_total', { loop: suite.loop }, chosen);
        } catch (error) {
          if (!signal.aborted)
            log.error(
              { suite: suite.suite, reason: (error as Error).message },
              'no runs chosen to be labelled',
            );
        }
      }),
  };
}
