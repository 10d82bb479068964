import type { Store } from './client.ts';

/** Alerts: a row each change of state, and what was delivered to whom. The newest row of an id is its state. */

export type AlertState = 'firing' | 'resolved';

/** An alert as `alerts --json` has it. Times are ISO 8601. */
export interface Alert {
  alert_id: string;
  loop: string;
  kind: string;
  state: AlertState;
  started_at: string;
  change_at: string;
  change_at_run: number;
  /** When the loop was well again; `null` while it is not. */
  resolved_at: string | null;
  cause: { dimension: string; from: string; to: string } | null;
  evidence: Record<string, unknown>;
}

/** A change of an alert, and when it was found (milliseconds). */
export interface AlertChange {
  alert: Alert;
  at: number;
  /** Names evidence that came while the state stayed the same; nobody is told of that. */
  revision?: string;
}

const COLUMNS = `
  alert_id, loop, kind, state, toUnixTimestamp64Milli(a.at) AS at, toUnixTimestamp64Milli(a.started_at) AS started_at,
  toUnixTimestamp64Milli(a.change_at) AS change_at, change_at_run, cause, evidence`;

interface Row {
  alert_id: string;
  loop: string;
  kind: string;
  state: AlertState;
  at: number;
  started_at: number;
  change_at: number;
  change_at_run: number;
  cause: string;
  evidence: string;
}

const toChange = ({ at, started_at, change_at, cause, evidence, ...row }: Row): AlertChange => {
  const facts = JSON.parse(evidence) as Record<string, unknown>;
  return {
    at,
    alert: {
      ...row,
      started_at: new Date(started_at).toISOString(),
      change_at: new Date(change_at).toISOString(),
      resolved_at:
        row.state === 'resolved' ? String(facts['recovered_at'] ?? new Date(at).toISOString()) : null,
      cause: JSON.parse(cause) as Alert['cause'],
      evidence: facts,
    },
  };
};

/** Appends a change. An alert takes each state, and each revision of it, once: told again, it adds nothing. */
export async function appendAlert(store: Store, { alert, at, revision }: AlertChange): Promise<void> {
  const { resolved_at: _derived, cause, evidence, ...row } = alert;
  await store.insert(
    'alerts',
    [
      {
        ...row,
        at: new Date(at).toISOString(),
        cause: JSON.stringify(cause),
        evidence: JSON.stringify(evidence),
      },
    ],
    `alert/${alert.alert_id}/${alert.state}${revision ? `/${revision}` : ''}`,
  );
}

/** Every alert in its newest state, open ones first, then by start, newest first; of one loop or of all. */
export async function listAlerts(store: Store, { loop }: { loop?: string } = {}): Promise<Alert[]> {
  const rows = await store.query<Row>(
    `SELECT * FROM (
       SELECT ${COLUMNS} FROM ${store.database}.alerts AS a
       ${loop === undefined ? '' : 'WHERE a.loop = {loop:String}'}
       ORDER BY a.state = 'resolved' DESC, a.at DESC LIMIT 1 BY alert_id)
     ORDER BY state, started_at DESC, alert_id`,
    { loop },
  );
  return rows.map((row) => toChange(row).alert);
}

/** An alert as it was first told of in each of its states. */
export interface AlertHistory {
  firing: AlertChange;
  resolved: AlertChange | undefined;
}

/**
 * Alerts that are open, however old, and those that were over after `since` (milliseconds), in the order in which they
 * were found; of more than `max` the newest.
 */
export async function alertHistories(store: Store, since: number, max: number): Promise<AlertHistory[]> {
  const rows = await store.query<Row>(
    `SELECT ${COLUMNS} FROM ${store.database}.alerts AS a
     WHERE a.alert_id IN (
       SELECT alert_id FROM ${store.database}.alerts GROUP BY alert_id
       HAVING countIf(state = 'resolved') = 0
           OR minIf(at, state = 'resolved') >= fromUnixTimestamp64Milli({since:Int64})
       ORDER BY min(at) DESC, alert_id LIMIT {max:UInt32})
     ORDER BY a.at, a.state LIMIT 1 BY alert_id, state`,
    { since: Math.floor(since), max },
  );
  const histories = new Map<string, Partial<AlertHistory>>();
  for (const change of rows.map(toChange)) {
    const { alert_id, state } = change.alert;
    histories.set(alert_id, { ...histories.get(alert_id), [state]: change });
  }
  return [...histories.values()].flatMap(({ firing, resolved }) => (firing ? [{ firing, resolved }] : []));
}

/** Changes whenever a row was added to the tables from which it is known whom to tell what; costs next to nothing. */
export async function notificationStamp(store: Store): Promise<string> {
  const [row] = await store.query<{ stamp: string }>(
    `SELECT concat(toString((SELECT count() FROM ${store.database}.alerts)), '/',
                   toString((SELECT count() FROM ${store.database}.alert_deliveries)), '/',
                   toString((SELECT count() FROM ${store.database}.alert_silences))) AS stamp`,
  );
  return row!.stamp;
}

export type DeliveryOutcome = 'delivered' | 'given_up';

export interface Delivery {
  /** Alert, state and receiver in one. */
  delivery_key: string;
  alert_id: string;
  state: AlertState;
  /** Its name, or where it is without the path, which may be a secret. */
  receiver: string;
  receiver_kind: string;
  /** Of the alerts that the receiver gets as one; `''` where each goes by itself. */
  group_id: string;
  outcome: DeliveryOutcome;
  /** Why it was given up. */
  reason: string;
  /** Milliseconds since the epoch. */
  delivered_at: number;
  attempts: number;
}

/** Remembers what became of the changes in one message. The same `token` again adds nothing. */
export async function recordDeliveries(
  store: Store,
  deliveries: readonly Delivery[],
  token: string,
): Promise<void> {
  await store.insert(
    'alert_deliveries',
    deliveries.map((delivery) => ({
      ...delivery,
      delivered_at: new Date(delivery.delivered_at).toISOString(),
    })),
    `delivery/${token}`,
  );
}

/** What a receiver is known to have taken. */
export type Told = Pick<Delivery, 'delivery_key' | 'group_id' | 'delivered_at'>;

/** What was taken since `since` (milliseconds). */
export async function deliveriesSince(store: Store, since: number): Promise<Told[]> {
  return store.query<Told>(
    `SELECT delivery_key, any(d.group_id) AS group_id, toUnixTimestamp64Milli(min(d.delivered_at)) AS delivered_at
     FROM ${store.database}.alert_deliveries AS d
     WHERE d.outcome = 'delivered' AND d.delivered_at >= fromUnixTimestamp64Milli({since:Int64})
     GROUP BY delivery_key`,
    { since: Math.floor(since) },
  );
}

/** Changes that a receiver refused for good since `since` (milliseconds) and has not taken later. */
export interface GivenUp {
  receiver: string;
  changes: number;
  /** Of the last one. */
  reason: string;
  at: number;
}

export async function givenUpSince(store: Store, since: number): Promise<GivenUp[]> {
  return store.query<GivenUp>(
    `SELECT receiver, count() AS changes, argMax(reason, last) AS reason, toUnixTimestamp64Milli(max(last)) AS at
     FROM (SELECT delivery_key, any(d.receiver) AS receiver, argMax(d.reason, d.delivered_at) AS reason,
                  max(d.delivered_at) AS last, countIf(d.outcome = 'delivered') AS taken
           FROM ${store.database}.alert_deliveries AS d
           WHERE d.delivered_at >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY delivery_key)
     WHERE taken = 0 GROUP BY receiver ORDER BY receiver`,
    { since: Math.floor(since) },
  );
}
