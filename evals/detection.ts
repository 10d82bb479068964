import type { Logger } from 'pino';
import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import { appendAlert, listAlerts } from '../src/store/alerts.ts';
import type { Store } from '../src/store/client.ts';
import { loopSeries, scoreCounts } from '../src/store/scores.ts';
import { ALERT_KIND, nextChange } from './alerts.ts';
import { watch } from './detect/watch.ts';
import type { Metrics } from './metrics.ts';
import { arlOf, type Suite } from './suite.ts';

/** Of one loop at one look: an episode that is over already is raised and resolved. */
const CHANGES_MAX = 4;

export interface DetectionContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals'>;
  metrics: Metrics;
  log: Logger;
}

/**
 * Looks at the loops that have scores nobody looked at yet; `look` returns how many alerts changed their state.
 * After a restart every loop is looked at once: what is found again is found to be told already.
 */
export function createDetection({ store, clock, config, metrics, log }: DetectionContext) {
  const looked = new Map<string, number>();

  const lookAt = async (loop: string, arl: number): Promise<number> => {
    const series = await loopSeries(store, loop, Math.floor(clock.now() - config.evals.run_idle_s * 1000));
    const watched = watch(series, { arl });
    for (let changes = 0; changes < CHANGES_MAX; changes++) {
      const alerts = (await listAlerts(store, { loop })).filter((alert) => alert.kind === ALERT_KIND);
      const change = nextChange(loop, watched, alerts, clock.now());
      if (!change) return changes;
      await appendAlert(store, change);
      const { alert_id, kind, state, change_at_run } = change.alert;
      metrics.add('alerts_total', { loop, kind, state });
      log.warn({ loop, alert_id, kind, state, change_at_run }, `alert ${state}`);
    }
    return CHANGES_MAX;
  };

  return {
    look: async (suites: readonly Suite[]): Promise<number> => {
      let changes = 0;
      for (const [loop, scores] of await scoreCounts(store)) {
        if (looked.get(loop) === scores) continue;
        try {
          changes += await lookAt(loop, arlOf(loop, suites));
        } catch (error) {
          // One loop's bad data must not hide the others. It is looked at again with its next score.
          if (error instanceof LoopscopeError && error.retryable) throw error;
          log.error({ loop, reason: (error as Error).message }, 'loop could not be looked at');
        }
        looked.set(loop, scores);
      }
      return changes;
    },
  };
}
