import type { Severity } from '../../src/alert-settings.ts';
import type { Alert } from '../../src/store/alerts.ts';

/**
 * The port to whoever is told of alerts.
 *
 * What a receiver may rely on: each change of state comes at least once, and of one alert `firing` before `resolved`;
 * what comes again is recognisable by its key. What it owes: to say how it went, and to throw nothing.
 */
export interface Receiver {
  /** Of the settings; an Alertmanager of several has its place too. Shown in metrics and logs. */
  readonly name: string;
  readonly kind: ReceiverKind;
  /** Whether alerts of one group come in one notice, or each in its own. */
  readonly grouped: boolean;
  /** Names a change of state at this receiver, now and after every restart. */
  keyOf(alert: Pick<Alert, 'alert_id' | 'state'>): string;
  send(notice: Notice, signal: AbortSignal): Promise<Outcome>;
  /** For receivers that forget what they are not reminded of. */
  readonly reminder?: Reminder;
}

export type ReceiverKind = 'alertmanager' | 'slack' | 'pagerduty' | 'webhook';

export interface Reminder {
  everyMs: number;
  /** How long what is over is still told of. */
  resolvedForMs: number;
  /** `items`: what it was told of that fires or was over a short while ago. */
  send(items: readonly Item[], signal: AbortSignal): Promise<Outcome>;
}

/** An alert in a state, and what the registry says of it. */
export interface Item {
  alert: Alert;
  /** What the alert was taken to come from when it was raised; later runs may show another. */
  firstCause: Alert['cause'];
  /** When that state was found, in milliseconds. */
  at: number;
  severity: Severity;
  owner: string | undefined;
  team: string | undefined;
}

export interface Notice {
  /** The same whenever the same changes are told. */
  key: string;
  /** Of the group, from its first alert to its last; an alert's own id where it goes by itself. */
  groupId: string;
  /** What is new, in the order in which it was found. */
  changes: readonly Item[];
  /** All alerts of the group in the state that the receiver will know them in, those that were over before left out. */
  members: readonly Item[];
}

export type Outcome =
  | { outcome: 'taken' }
  /** Worth another try. `isAway`: it is the receiver that is not well, whatever it is sent. */
  | { outcome: 'failed'; reason: string; retryAfterMs: number; isAway: boolean }
  /** Another try of the same is hardly worth it. */
  | { outcome: 'refused'; reason: string };

/** Whether all is well with the group after this notice. */
export const isOver = ({ members }: Notice): boolean =>
  members.every(({ alert }) => alert.state === 'resolved');

/** The most urgent severity among them. */
export const worstSeverity = (items: readonly Item[]): Severity => {
  for (const severity of ['page', 'ticket'] as const)
    if (items.some((item) => item.severity === severity)) return severity;
  return 'info';
};
