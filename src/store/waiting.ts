import type { Store } from './client.ts';
import { runsInReach, type ScoreQuery } from './scores.ts';

/** Runs that are over and have no score of a suite yet. */
export interface Waiting {
  /** Those that meet an item of the dataset. Some may be more than the suite scores in a day. */
  matched: number;
  /** Those that meet none, or nobody knows, since the dataset has no version. */
  unmatched: number;
}

/** How many runs wait that started at `startedFrom` or later and were over by `overBefore` (milliseconds). */
export async function waitingRuns(
  store: Store,
  query: ScoreQuery,
  { startedFrom, overBefore }: { startedFrom: number; overBefore: number },
): Promise<Waiting> {
  const [row] = await store.query<Waiting>(
    `SELECT countIf(r.matched) AS matched, countIf(NOT r.matched) AS unmatched
     FROM (${runsInReach(store.database)}) AS r
     WHERE NOT r.scored AND r.started_at >= fromUnixTimestamp64Milli({startedFrom:Int64})
       AND r.ended_at < fromUnixTimestamp64Milli({overBefore:Int64})`,
    { ...query, startedFrom: Math.floor(startedFrom), overBefore: Math.floor(overBefore) },
  );
  return row!;
}

/** When a run last got a score of the suite (milliseconds); `null` when none did. */
export async function lastScoredAt(
  store: Store,
  { loop, suite }: Pick<ScoreQuery, 'loop' | 'suite'>,
): Promise<number | null> {
  const [row] = await store.query<{ at: number | null }>(
    `SELECT maxOrNull(toUnixTimestamp64Milli(scored_at)) AS at FROM ${store.database}.eval_scores
     WHERE loop = {loop:String} AND suite = {suite:String} AND score IS NOT NULL`,
    { loop, suite },
  );
  return row!.at;
}

/** What the newest error in place of a score of the suite says; `undefined` where there is none. */
export async function lastScoreError(
  store: Store,
  { loop, suite }: Pick<ScoreQuery, 'loop' | 'suite'>,
): Promise<string | undefined> {
  const [row] = await store.query<{ error: string }>(
    `SELECT error FROM ${store.database}.eval_scores
     WHERE loop = {loop:String} AND suite = {suite:String} AND error != '' ORDER BY scored_at DESC LIMIT 1`,
    { loop, suite },
  );
  return row?.error;
}
