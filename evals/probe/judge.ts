import type { Alert, AlertChange } from '../../src/store/alerts.ts';
import type { ProbeRow } from '../../src/store/probes.ts';
import { arlOf, type Suite } from '../suite.ts';
import { evidenceOf, isProbeAlert } from './alert.ts';
import { nextCheckerChange } from './checker-alerts.ts';
import type { ProbedSuite } from './job.ts';
import { nextMakerChange, type ProbedChange } from './maker-alerts.ts';

/** What is known of a suite's probes when a job of it is over. */
export interface Known {
  suite: ProbedSuite;
  /** All suites: the loop's promise is theirs together. */
  suites: readonly Suite[];
  makers: readonly ProbeRow[];
  checkers: readonly ProbeRow[];
  /** The loop's. */
  alerts: readonly Alert[];
  changes: readonly ProbedChange[];
  jobId: string;
  now: number;
}

/** Of one job: an episode that is over already is raised and resolved. */
const CHANGES_MAX = 20;

/** The changes of alerts that the probes ask for, in order. A pure function of what is stored. */
export function judgeProbes({
  suite,
  suites,
  makers,
  checkers,
  alerts,
  changes,
  jobId,
  now,
}: Known): AlertChange[] {
  const { suite: name, loop, probe } = suite;
  const standing = new Map(
    alerts
      .filter((alert) => isProbeAlert(alert) && evidenceOf(alert).suite === name)
      .map((alert) => [alert.alert_id, alert]),
  );
  const common = { loop, suite: name, arl: arlOf(loop, suites), now };
  const agent = probe.checker?.agent;
  const next = (): AlertChange | undefined => {
    const of = (kind: string) => [...standing.values()].filter((alert) => alert.kind === kind);
    return (
      nextMakerChange({ ...common, probes: makers, alerts: of('golden_drop'), changes, jobId }) ??
      (agent === undefined
        ? undefined
        : nextCheckerChange({ ...common, agent, probes: checkers, alerts: of('checker_drift') }))
    );
  };
  const asked: AlertChange[] = [];
  for (let change = next(); change && asked.length < CHANGES_MAX; change = next()) {
    standing.set(change.alert.alert_id, change.alert);
    asked.push(change);
  }
  return asked;
}
