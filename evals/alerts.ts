import { contentHash } from '../src/records/normalize.ts';
import type { Alert, AlertChange } from '../src/store/alerts.ts';
import type { Alarm } from './detect/report.ts';
import { isProbeAlert } from './probe/alert.ts';

/**
 * From the episodes of a loop to the states of its alerts.
 *
 * One alert a change: while one is open, an alarm that the same change explains joins its evidence, and so does
 * another of its kind. An alert is over when all is well that it tells of. What was told stands: an alert's id
 * follows from the alarm, so that telling it again changes nothing, and an episode found anew, when a history was
 * read again, is recognised by its kind and time.
 */
const KINDS: readonly string[] = [
  'golden_drop',
  'checker_drift',
  'no_effect',
  'output_collapse',
] satisfies Alarm['kind'][];

/** Whether a loop's runs raised it; probes raise alerts of the same kinds. */
export const isOfRuns = (alert: Alert): boolean => KINDS.includes(alert.kind) && !isProbeAlert(alert);

/** An episode in the words of people. */
export interface Tale {
  alarm: Alarm;
  /** What else fell with it. */
  joined: readonly Joined[];
  /** When all of it was well again, or accepted as the new normal. */
  recovery: { at: string; at_run: number; accepted?: Accepted | null } | null;
  /** The alert that tells of it, where one is known to. */
  alertId: string | null;
  /** The alarm in the light of what came since, where that was looked at. */
  judged?: Alarm | undefined;
}

/** Who said that this is how the loop is to be, and why. */
export interface Accepted {
  by: string;
  reason: string;
}

/** An alarm that did not make an alert of its own. */
export interface Joined {
  kind: string;
  at: string;
  at_run: number;
  e_value: number;
}

export interface Settled {
  /** In the order in which they are to be stored. */
  changes: AlertChange[];
  /** The alert of each tale. */
  alertIds: string[];
}

/**
 * What has to be told so that the alerts say what the tales do. `alerts` are the loop's in their newest states, `now`
 * in milliseconds. `isFresh`: the tales are all there is, found in a history that was read again, so that an open
 * alert without one has nothing to stand on.
 */
export function settle(
  loop: string,
  tales: readonly Tale[],
  alerts: readonly Alert[],
  { now, isFresh }: { now: number; isFresh: boolean },
): Settled {
  const book = new Map(alerts.filter(isOfRuns).map((alert) => [alert.alert_id, alert]));
  const changed = new Map<string, AlertChange>();
  const tell = (alert: Alert, revision = '') => {
    book.set(alert.alert_id, alert);
    // A change that is not stored yet takes further evidence with it.
    const before = changed.get(`${alert.alert_id}/${alert.state}`);
    changed.set(`${alert.alert_id}/${alert.state}`, {
      alert,
      at: now,
      revision: before?.revision ?? revision,
    });
  };
  const alertIds = tales.map((tale) => {
    const own = fromAlarm(loop, tale.alarm);
    const known = knownAlert(tale, own.alert_id, [...book.values()], isFresh);
    const alert = known ?? partner(tale.alarm, [...book.values()]);
    if (!alert) {
      tell({ ...own, evidence: { ...own.evidence, ...joinedEvidence([], tale.joined) } });
      return own.alert_id;
    }
    const { kind, at, at_run, e_value } = tale.alarm;
    const itself = known && alert.kind === kind ? [] : [{ kind, at, at_run, e_value }];
    if (alert.state !== 'firing') return alert.alert_id;
    if (tale.judged && alert.kind === kind) tell(judgedAgain(alert, tale.judged), `judged@${at}`);
    join(book.get(alert.alert_id)!, [...itself, ...tale.joined], tell);
    return alert.alert_id;
  });
  for (const alert of [...book.values()]) {
    if (alert.state !== 'firing') continue;
    const told = tales.filter((_, i) => alertIds[i] === alert.alert_id);
    const evidence = told.length > 0 ? recovery(told) : isFresh ? { withdrawn: true } : undefined;
    if (evidence) tell({ ...alert, state: 'resolved', evidence: { ...alert.evidence, ...evidence } });
  }
  return { changes: [...changed.values()], alertIds };
}

/** The alert, with the moment and the cause that later runs show. */
const judgedAgain = (alert: Alert, { change_at, change_at_run, cause, ...judged }: Alarm): Alert => ({
  ...alert,
  change_at,
  change_at_run,
  cause,
  evidence: {
    ...alert.evidence,
    ...judged.evidence,
    checker_pass_rate: judged.checker_pass_rate,
    golden: judged.golden,
  },
});

/** The alert that tells of this episode already. */
function knownAlert(
  { alarm, alertId }: Tale,
  ownId: string,
  alerts: readonly Alert[],
  isFresh: boolean,
): Alert | undefined {
  const known = alerts.find(
    (alert) =>
      alert.alert_id === (alertId ?? ownId) ||
      joinedOf(alert).some(({ kind, at }) => kind === alarm.kind && at === alarm.at),
  );
  return known ?? (isFresh ? foundAgain(alarm, alerts) : undefined);
}

/** Whether alerts tell of an alarm that was found in a history that was read again. */
export const isTold = (alarm: Pick<Alarm, 'kind' | 'at'>, alerts: readonly Alert[]): boolean =>
  foundAgain(alarm, alerts) !== undefined;

/** Late scores may have moved it since: what is open is the same, and so is what lies within the time that was told of. */
function foundAgain({ kind, at }: Pick<Alarm, 'kind' | 'at'>, alerts: readonly Alert[]): Alert | undefined {
  const ofKind = alerts.filter(
    (alert) => alert.kind === kind || joinedOf(alert).some((joined) => joined.kind === kind),
  );
  return (
    ofKind.find(({ state }) => state === 'firing') ??
    ofKind.find((alert) => lastTold(alert) >= Date.parse(at))
  );
}

/** An open alert that this alarm is no news beside. */
function partner(alarm: Alarm, alerts: readonly Alert[]): Alert | undefined {
  const open = alerts.filter(({ state }) => state === 'firing');
  return open.find(({ kind }) => kind === alarm.kind) ?? open.find((alert) => isSameChange(alarm, alert));
}

/** Whether the alarm's change may have been there when the alert was raised. */
function isSameChange({ evidence }: Alarm, { evidence: { at_run } }: Alert): boolean {
  return typeof at_run === 'number' && evidence.change_at_run_interval[0] <= at_run;
}

function join(alert: Alert, joined: readonly Joined[], tell: (alert: Alert, revision: string) => void): void {
  const before = joinedOf(alert);
  const news = joined.filter((one) => !before.some(({ kind, at }) => kind === one.kind && at === one.at));
  if (news.length === 0) return;
  const evidence = { ...alert.evidence, ...joinedEvidence(before, news) };
  tell({ ...alert, evidence }, news.map(({ kind, at }) => `${kind}@${at}`).join());
}

const joinedEvidence = (before: readonly Joined[], news: readonly Joined[]): { joined?: Joined[] } =>
  before.length + news.length === 0 ? {} : { joined: [...before, ...news].slice(0, JOINED_MAX) };

/** Alarms that an alert names besides its own. */
const JOINED_MAX = 20;

const joinedOf = ({ evidence }: Alert): readonly Joined[] =>
  Array.isArray(evidence['joined']) ? (evidence['joined'] as Joined[]) : [];

/** The end of the last of them, and who accepted one; `undefined` while one lasts. */
function recovery(
  tales: readonly Tale[],
): { recovered_at: string; recovered_at_run: number; accepted?: Accepted } | undefined {
  const ends = tales.flatMap((tale) => tale.recovery ?? []);
  if (ends.length < tales.length) return undefined;
  const { at, at_run } = ends.toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at)).at(-1)!;
  const accepted = ends.find((end) => end.accepted)?.accepted;
  return { recovered_at: at, recovered_at_run: at_run, ...(accepted && { accepted }) };
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
