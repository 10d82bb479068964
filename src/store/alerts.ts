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

/** The changes of state found since `since` (milliseconds), in order. */
export async function alertChanges(store: Store, since: number): Promise<AlertChange[]> {
  const rows = await store.query<Row>(
    `SELECT ${COLUMNS} FROM ${store.database}.alerts AS a
     WHERE a.at >= fromUnixTimestamp64Milli({since:Int64})
     ORDER BY a.at, a.state LIMIT 1 BY alert_id, state`,
    { since },
  );
  return rows.map(toChange);
}

export interface Delivery {
  /** Alert, state and receiver in one. */
  delivery_key: string;
  alert_id: string;
  state: AlertState;
  /** Where it went, without the path, which may be a secret. */
  receiver: string;
  /** Milliseconds since the epoch. */
  delivered_at: number;
  attempts: number;
}

/** Remembers that a receiver took a message. */
export async function recordDelivery(store: Store, delivery: Delivery): Promise<void> {
  await store.insert(
    'alert_deliveries',
    [{ ...delivery, delivered_at: new Date(delivery.delivered_at).toISOString() }],
    `delivery/${delivery.delivery_key}`,
  );
}

/** Keys of the deliveries made since `since` (milliseconds). */
export async function deliveredKeys(store: Store, since: number): Promise<Set<string>> {
  const rows = await store.query<{ delivery_key: string }>(
    `SELECT DISTINCT delivery_key FROM ${store.database}.alert_deliveries
     WHERE delivered_at >= fromUnixTimestamp64Milli({since:Int64})`,
    { since },
  );
  return new Set(rows.map((row) => row.delivery_key));
}
