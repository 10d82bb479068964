import type { Store } from './client.ts';

/**
 * What other loops did around a change of model: those that moved to the new one in the same days and those that
 * did not, and how many of each fell. Only loops that were at work before and are measured since count: the others
 * could not have been seen to fall.
 */

export interface ModelMove {
  /** The loop it is about: it does not count. */
  loop: string;
  from: string;
  to: string;
  /** When it moved, and how long before and after that others count as moving and falling with it, in milliseconds. */
  at: number;
  windowMs: number;
}

export interface LoopsAround {
  from: string;
  to: string;
  moved: number;
  moved_fell: number;
  stayed: number;
  stayed_fell: number;
}

export async function loopsAround(store: Store, move: ModelMove): Promise<LoopsAround> {
  const { loop, from, to, at, windowMs } = move;
  const db = store.database;
  const [row] = await store.query<Omit<LoopsAround, 'from' | 'to'>>(
    `WITH fromUnixTimestamp64Milli({since:Int64}) AS since, fromUnixTimestamp64Milli({until:Int64}) AS until
     SELECT countIf(is_mover) AS moved, countIf(is_mover AND has_fallen) AS moved_fell,
            countIf(NOT is_mover) AS stayed, countIf(NOT is_mover AND has_fallen) AS stayed_fell
     FROM (
       SELECT countIf(u.served_model = {to:String}) > 0
                AND minIf(u.first_at, u.served_model = {to:String}) >= since
                AND minIf(u.first_at, u.served_model = {to:String}) < until
                AND countIf(u.served_model = {from:String} AND u.first_at < since) > 0 AS is_mover,
              u.loop IN (SELECT a.loop FROM ${db}.alerts AS a
                         WHERE a.kind = 'golden_drop' AND a.change_at >= since AND a.change_at < until) AS has_fallen
       FROM ${db}.model_uses AS u
       WHERE u.outcome = 'answered' AND u.loop != {loop:String}
         AND u.loop IN (SELECT e.loop FROM ${db}.eval_scores AS e
                        WHERE e.score IS NOT NULL
                          AND e.scored_at >= fromUnixTimestamp64Milli({at:Int64}))
       GROUP BY u.loop
       HAVING min(u.first_at) < since AND max(u.last_at) >= fromUnixTimestamp64Milli({at:Int64}))`,
    { loop, from, to, at, since: at - windowMs, until: at + windowMs },
  );
  return { from, to, ...row! };
}
