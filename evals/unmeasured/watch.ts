import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { type Alert, appendAlert, listAlerts } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import { newestVersion } from '../../src/store/golden.ts';
import { type JobStanding, jobStandings } from '../../src/store/jobs.ts';
import { LOOK_BACK_DAYS } from '../../src/store/scores.ts';
import { lastScoredAt, waitingRuns } from '../../src/store/waiting.ts';
import type { Metrics } from '../metrics.ts';
import type { Suite } from '../suite.ts';
import { evidenceOf, raised, resolved, UNMEASURED_ALERT_KIND } from './alert.ts';
import { graceMs, type Suspicion, suspicions } from './judge.ts';

/**
 * Watches over suites that give no scores when they should. What it knows is in the tables, so it makes no difference
 * which process looks, and one that starts sees what was amiss while none ran. A fleet whose jobs go well costs one
 * query; only a suite with something amiss is looked at further.
 */
export interface UnmeasuredWatchContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals'>;
  metrics: Metrics;
  log: Logger;
}

/** Jobs before that are history. Longer than a month, so that what is due once a month is seen too. */
const JOBS_SINCE_MS = 40 * 86_400_000;

/** `look` returns how many alerts changed their state. Throws what the store throws. */
export function createUnmeasuredWatch({ store, clock, config, metrics, log }: UnmeasuredWatchContext) {
  /** What the alert of a suite would say; `undefined` when nothing is amiss or there was nothing to score. */
  const finding = async (suite: Suite, standing: JobStanding, now: number): Promise<Alert | undefined> => {
    if (suspicions(suite, standing, now).length === 0) return undefined;
    const scoredAt = await lastScoredAt(store, suite);
    for (const found of suspicions(suite, standing, now, scoredAt)) {
      const waiting = await runsWaiting(suite, found, standing, now);
      // Errors are of runs by themselves.
      if (waiting === 0 && found.reason !== 'scores_failed') continue;
      const evidence = {
        suite: suite.suite,
        dataset: suite.dataset,
        reason: found.reason,
        runs_waiting: waiting,
        jobs_failed: standing.failed,
        message: standing.message,
        errors: standing.errors,
        last_scored_at: scoredAt === null ? null : new Date(scoredAt).toISOString(),
      };
      return raised(suite.loop, found, evidence, now);
    }
    return undefined;
  };

  /** Runs that should have had a score by now. Of a dataset without a version nobody knows which they are: all. */
  const runsWaiting = async (
    suite: Suite,
    { reason, since }: Suspicion,
    { endedDueAt }: JobStanding,
    now: number,
  ): Promise<number> => {
    const version = await newestVersion(store, suite.dataset);
    const query = {
      loop: suite.loop,
      suite: suite.suite,
      dataset: suite.dataset,
      version: version ?? '',
      idleBefore: Math.floor(now - config.evals.run_idle_s * 1000),
    };
    const { matched, unmatched } = await waitingRuns(store, query, {
      // What the last job did not score it left out on purpose.
      startedFrom: (reason === 'not_run' && endedDueAt[0]) || now - LOOK_BACK_DAYS * 86_400_000,
      overBefore: now - graceMs(suite, since),
    });
    return version === undefined ? matched + unmatched : matched;
  };

  const change = async (alert: Alert, now: number): Promise<void> => {
    await appendAlert(store, { alert, at: now });
    const { loop, kind, state, alert_id } = alert;
    metrics.add('alerts_total', { loop, kind, state });
    const { suite, reason } = evidenceOf(alert);
    log.warn({ loop, alert_id, kind, state, suite, reason }, `alert ${state}`);
  };

  return {
    look: async (suites: readonly Suite[]): Promise<number> => {
      const now = clock.now();
      const names = suites.map(({ suite }) => suite);
      const standings = new Map(
        (await jobStandings(store, names, now - JOBS_SINCE_MS)).map((standing) => [standing.suite, standing]),
      );
      const alerts = (await listAlerts(store)).filter(({ kind }) => kind === UNMEASURED_ALERT_KIND);
      let changes = 0;
      const open = new Map(
        alerts.filter(({ state }) => state === 'firing').map((alert) => [evidenceOf(alert).suite, alert]),
      );
      for (const [name, alert] of open)
        if (!names.includes(name)) {
          await change(resolved(alert, 'removed', now), now);
          changes++;
        }
      for (const suite of suites) {
        const standing = standings.get(suite.suite);
        if (!standing) continue;
        try {
          const alert = open.get(suite.suite);
          const found = await finding(suite, standing, now);
          const told = alerts.some(({ alert_id }) => alert_id === found?.alert_id);
          if (alert && !found) await change(resolved(alert, 'measured', now), now);
          else if (!alert && found && !told) await change(found, now);
          else continue;
          changes++;
        } catch (error) {
          // What is wrong with one suite must not hide the others.
          if (error instanceof LoopscopeError && error.retryable) throw error;
          log.error({ suite: suite.suite, reason: (error as Error).message }, 'suite could not be looked at');
        }
      }
      return changes;
    },
  };
}
