import type { Store } from './client.ts';

/** What people accepted as the new normal of a loop. */
export interface Acceptance {
  loop: string;
  alertId: string;
  /** Of alarms: the alert's own, and those that joined it. */
  kinds: readonly string[];
  by: string;
  reason: string;
  /** By the database's clock, in milliseconds. */
  at: number;
}

/** Appends one, at the time of the database. */
export async function appendAcceptance(
  store: Store,
  { loop, alertId, kinds, by, reason }: Omit<Acceptance, 'at'>,
): Promise<void> {
  const row = { loop, alert_id: alertId, kinds, accepted_by: by, reason };
  await store.insert('alert_acceptances', [row]);
}

/** Those made up to the time `now` of the database, by loop, in the order in which they were. */
export async function acceptances(store: Store, now: number): Promise<Map<string, Acceptance[]>> {
  const rows = await store.query<Acceptance>(
    `SELECT loop, alert_id AS alertId, kinds, accepted_by AS by, reason,
            toUnixTimestamp64Milli(accepted_at) AS at
     FROM ${store.database}.alert_acceptances
     WHERE accepted_at <= fromUnixTimestamp64Milli({now:Int64})
     ORDER BY loop, accepted_at, alert_id`,
    { now },
  );
  return Map.groupBy(rows, ({ loop }) => loop);
}
