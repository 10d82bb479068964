import type { Store } from './client.ts';

/** What people said is not to be told for a while. Append-only: the newest row of an id is in force. */
export interface Silence {
  id: string;
  /** A name, or a pattern with `*` and `?`. */
  loop: string;
  /** Of alerts; all where there is none. */
  kinds: readonly string[];
  /** Milliseconds since the epoch: when it was made, and when it ends or was ended. */
  from: number;
  until: number;
  by: string;
  reason: string;
}

interface Row extends Omit<Silence, 'from'> {
  made: number;
  /** Of its end before the time; 0 without one. */
  ended: number;
}

/** Appends one that begins now, by the database's clock. */
export const appendSilence = (store: Store, silence: Omit<Silence, 'from'>): Promise<void> =>
  store.insert('alert_silences', [toRow(silence, 'on')], `silence/${silence.id}/on`);

/** Ends one before its time. Ended again it stays as it is. */
export const endSilence = (store: Store, silence: Omit<Silence, 'from'>): Promise<void> =>
  store.insert('alert_silences', [toRow(silence, 'off')], `silence/${silence.id}/off`);

const toRow = ({ id, loop, kinds, until, by, reason }: Omit<Silence, 'from'>, state: 'on' | 'off') => ({
  silence_id: id,
  state,
  loop,
  kinds,
  until: new Date(until).toISOString(),
  silenced_by: by,
  reason,
});

/** Those that ended after `since` (milliseconds) or have not ended, the newest first, `max` of them at most. */
export async function listSilences(store: Store, since: number, max: number): Promise<Silence[]> {
  const rows = await store.query<Row>(
    `SELECT silence_id AS id, any(s.loop) AS loop, any(s.kinds) AS kinds, any(silenced_by) AS by, any(s.reason) AS reason,
            toUnixTimestamp64Milli(min(at)) AS made, toUnixTimestamp64Milli(minIf(at, state = 'off')) AS ended,
            toUnixTimestamp64Milli(any(s.until)) AS until
     FROM ${store.database}.alert_silences AS s GROUP BY silence_id
     HAVING until > {since:Int64} AND (ended = 0 OR ended > {since:Int64})
     ORDER BY made DESC, id LIMIT {max:UInt32}`,
    { since: Math.floor(since), max },
  );
  return rows.map(({ made, ended, until, ...silence }) => ({
    ...silence,
    from: made,
    until: ended === 0 ? until : Math.min(until, ended),
  }));
}
