import { contentHash } from '../src/records/normalize.ts';
import type { Alert, AlertChange } from '../src/store/alerts.ts';
import type { Alarm } from './detect/report.ts';
import type { Watched } from './detect/watch.ts';

/**
 * From what the detector says of a loop to the states of its alerts. The detector reads a loop's whole series
 * each time, and scores that come late may move what it said before. So the alerts that were raised are what
 * stands: one is open at a time, and an episode that had its alert gets no other.
 */
export const ALERT_KIND = 'golden_drop';

/**
 * The next change of state that `watched` asks for, or `undefined` when the alerts say it all. To be asked again
 * after each change. `alerts` are the loop's alerts of this kind in their newest state; `now` is in milliseconds.
 */
export function nextChange(
  loop: string,
  watched: Pick<Watched, 'alarms' | 'recoveries'>,
  alerts: readonly Alert[],
  now: number,
): AlertChange | undefined {
  const open = alerts.find((alert) => alert.state === 'firing');
  const alert = open ? resolved(open, watched, alerts) : raised(loop, watched, alerts);
  return alert && { alert, at: now };
}

function resolved(
  open: Alert,
  { alarms, recoveries }: Pick<Watched, 'alarms' | 'recoveries'>,
  alerts: readonly Alert[],
): Alert | undefined {
  const since = Date.parse(open.started_at);
  let end = recoveries.find((recovery) => Date.parse(recovery.at) > since);
  if (!end) {
    // The alarm of an earlier alert is not this one's, nor is its recovery.
    const told = Math.max(...alerts.filter((alert) => alert !== open).map(lastTold));
    const last = alarms.findLastIndex((alarm) => alarm.kind === ALERT_KIND && Date.parse(alarm.at) > told);
    end = recoveries.find((recovery) => recovery.alarm === last);
    // Late scores can take an alarm back altogether; then nothing would ever end it.
    if (last >= 0 && !end) return undefined;
  }
  const evidence = end
    ? { ...open.evidence, recovered_at: end.at, recovered_at_run: end.at_run }
    : { ...open.evidence, withdrawn: true };
  return { ...open, state: 'resolved', evidence };
}

function raised(
  loop: string,
  { alarms }: Pick<Watched, 'alarms'>,
  past: readonly Alert[],
): Alert | undefined {
  const newest = alarms.findLast((alarm) => alarm.kind === ALERT_KIND);
  const told = Math.max(...past.map(lastTold));
  if (!newest || Date.parse(newest.at) <= told) return undefined;
  return fromAlarm(loop, newest);
}

/** Until when an alert has told of its loop. What the detector dates before that is the same episode. */
function lastTold({ started_at, evidence }: Alert): number {
  const recovered = evidence['recovered_at'];
  return Math.max(Date.parse(started_at), typeof recovered === 'string' ? Date.parse(recovered) : 0);
}

function fromAlarm(loop: string, alarm: Alarm): Alert {
  return {
    alert_id: contentHash([loop, alarm.kind, alarm.at].join('\0')).slice(0, 16),
    loop,
    kind: alarm.kind,
    state: 'firing',
    started_at: alarm.at,
    change_at: alarm.change_at,
    change_at_run: alarm.change_at_run,
    resolved_at: null,
    cause: alarm.cause,
    evidence: {
      ...alarm.evidence,
      at_run: alarm.at_run,
      e_value: alarm.e_value,
      checker_pass_rate: alarm.checker_pass_rate,
      golden: alarm.golden,
    },
  };
}
