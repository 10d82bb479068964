import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { appendAlert, listAlerts } from '../../src/store/alerts.ts';
import type { Store } from '../../src/store/client.ts';
import type { GoldenRow } from '../../src/store/golden.ts';
import { listModelEvents } from '../../src/store/model-events.ts';
import { appendProbeJob, type ProbeJobRow, probeJobs, probesOf } from '../../src/store/probes.ts';
import type { Metrics } from '../metrics.ts';
import type { Suite } from '../suite.ts';
import { distinct, drawn, shareOf } from './choose.ts';
import { type DueJob, dueJobs, JOBS_SINCE_MS, probedChanges } from './due.ts';
import { type ChooseItems, type JobResult, type ProbedSuite, runProbeJob } from './job.ts';
import { judgeProbes } from './judge.ts';
import { itemHash, pairKey, scoresBefore } from './paired.ts';

/**
 * Runs the jobs of a suite's probes that are due, and judges after each what the probes say. A job is written down when it
 * starts and, after its alerts, when it ends: what was cut off goes on where it was, and tells nothing twice.
 */
export interface ProbeRunner {
  /** What is due of a suite now, by what is stored. Throws what the store throws. */
  due(suite: ProbedSuite): Promise<DueJob[]>;
  /** Runs all of that, one job after the other. Throws what the store throws; what is left is due again. */
  runDue(suite: ProbedSuite): Promise<void>;
}

export interface RunnerContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'directory' | 'providers' | 'keyOf'>;
  gatewayUrl: string;
  metrics: Metrics;
  log: Logger;
  signal: AbortSignal;
  suites: () => readonly Suite[];
  /** Called when alerts changed their state. */
  onAlerts: () => void;
}

/** Of a loop, the newest that are looked at. */
const EVENTS_MAX = 100;
const NOTHING = { planned: 0, answered: 0, errors: 0, message: '' };

export function createProbeRunner(context: RunnerContext): ProbeRunner {
  const { store, clock, metrics, log, signal, suites, onAlerts } = context;
  const eventsOf = (loop: string) => listModelEvents(store, { loop, limit: EVENTS_MAX });

  const due = async (suite: ProbedSuite): Promise<DueJob[]> => {
    const now = clock.now();
    const jobs = await probeJobs(store, { suite: suite.suite, since: now - JOBS_SINCE_MS });
    const ofLoop = jobs.filter(({ loop }) => loop === suite.loop);
    return dueJobs(suite, ofLoop, await eventsOf(suite.loop), now);
  };

  const runJob = async ({ job, event }: DueJob, suite: ProbedSuite): Promise<void> => {
    const started: ProbeJobRow = { ...job, ...NOTHING, state: 'started', at: clock.now() };
    await appendProbeJob(store, started);
    const end = await outcome(started, event, suite);
    if (signal.aborted) return; // cut off: it goes on after the next start
    await judge(suite, job.job_id);
    await appendProbeJob(store, { ...started, ...end, at: clock.now() });
    note(job, end);
  };

  const outcome = async (
    job: ProbeJobRow,
    event: DueJob['event'],
    suite: ProbedSuite,
  ): Promise<JobResult & Pick<ProbeJobRow, 'state'>> => {
    const choose = event ? await chooseForChange(job, event, suite) : chooseOnSchedule(job, suite);
    try {
      const result = await runProbeJob(job, suite, choose, {
        ...context,
        requestedModel: event?.requested_model,
      });
      const wasRefused = result.planned === 0 && result.message !== '' && !event;
      return { ...result, state: wasRefused ? 'failed' : 'done' };
    } catch (error) {
      // What may pass is no end of the job: it stays unfinished and is taken up again.
      if (!(error instanceof LoopscopeError) || error.retryable) throw error;
      return { ...NOTHING, state: 'failed', message: error.message };
    }
  };

  const chooseOnSchedule = (
    { job_id, due_at }: ProbeJobRow,
    { probe, timezone }: ProbedSuite,
  ): ChooseItems => {
    const n = shareOf(probe.items_per_day, probe.schedule, due_at, timezone);
    return (all) => drawn(all, n, job_id);
  };

  const chooseForChange = async (
    { job_id: jobId, suite, loop }: ProbeJobRow,
    { served_model: servedModel }: NonNullable<DueJob['event']>,
    { probe }: ProbedSuite,
  ): Promise<ChooseItems> => {
    const probes = await probesOf(store, { suite, loop, kind: 'maker' });
    const before = scoresBefore(probes, { jobId, servedModel, blamed: new Set() });
    return (all, version) => {
      const hasScore = (item: GoldenRow) =>
        version !== undefined &&
        before.has(pairKey({ item_hash: itemHash(item), template_version: version }));
      return distinct(all, hasScore, probe.items_per_model_change, jobId);
    };
  };

  const judge = async (suite: ProbedSuite, jobId: string): Promise<void> => {
    const { suite: name, loop } = suite;
    const changes = judgeProbes({
      suite,
      suites: suites(),
      makers: await probesOf(store, { suite: name, loop, kind: 'maker' }),
      checkers: await probesOf(store, { suite: name, loop, kind: 'checker' }),
      alerts: await listAlerts(store, { loop }),
      changes: probedChanges(suite, await eventsOf(loop)),
      jobId,
      now: clock.now(),
    });
    for (const next of changes) {
      await appendAlert(store, next);
      const { alert_id, kind, state } = next.alert;
      metrics.add('alerts_total', { loop, kind, state });
      log.warn({ loop, suite: name, alert_id, kind, state }, `alert ${state}`);
    }
    if (changes.length > 0) onAlerts();
  };

  const note = ({ suite, reason }: DueJob['job'], end: JobResult & Pick<ProbeJobRow, 'state'>): void => {
    const { planned, answered, errors, message, state } = end;
    metrics.add('probes_total', { suite, reason }, answered);
    metrics.add('probe_errors_total', { suite, reason }, errors);
    metrics.add('probe_jobs_total', { suite, reason, state });
    const facts = { suite, reason, planned, answered, errors, message };
    if (state === 'failed') log.error(facts, 'probes failed');
    else log.info(facts, 'probes done');
  };

  return {
    due,
    runDue: async (suite) => {
      for (const job of await due(suite)) {
        if (signal.aborted) return;
        await runJob(job, suite);
      }
    },
  };
}
