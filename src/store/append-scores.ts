import type { Store } from './client.ts';
import { insertScores, type ScoreRow } from './scores.ts';

/**
 * Appending scores so that a run gets one of a suite, however many processes score it at once.
 *
 * The rows that a suite has of a loop are a log, and its length is its version. Whoever appends says which version its
 * rows were chosen at, and the version is the token of the insert: of all that are chosen at one version ClickHouse
 * takes one, the others are dropped as repetitions. What was dropped is chosen again, among the runs that then lack a
 * score. Read the version first and choose the runs then: rows that come between only make the append fail.
 *
 * That holds while ClickHouse remembers the token, for 10,000 inserts: longer than an evaluator can be held up that
 * owns its job by a lease.
 */
export interface ScoreLog {
  loop: string;
  suite: string;
}

/** The version of a suite's scores: how many there are. */
export async function scoreVersion(store: Store, { loop, suite }: ScoreLog): Promise<number> {
  const [row] = await store.query<{ n: number }>(
    `SELECT count() AS n FROM ${store.database}.eval_scores WHERE loop = {loop:String} AND suite = {suite:String}`,
    { loop, suite },
  );
  return row!.n;
}

/**
 * `appended`; `overtaken` where others appended to the version first; `refused` where nobody did and nothing is there:
 * the token was used for rows that have gone since, because they were deleted or died with the server.
 */
export type Appended = 'appended' | 'overtaken' | 'refused';

/**
 * Appends `rows`, chosen at `version`. After `refused`, `anew` makes the token one of its own
 * by the time of the rows: they are stored then, at the price that others who do the same just then are not noticed.
 */
export async function appendScores(
  store: Store,
  { loop, suite }: ScoreLog,
  rows: readonly ScoreRow[],
  { version, anew }: { version: number; anew: boolean },
): Promise<Appended> {
  if (anew && (await scoreVersion(store, { loop, suite })) !== version) return 'overtaken';
  const token = `score/${JSON.stringify([loop, suite])}/${version}`;
  await insertScores(store, rows, anew ? `${token}/${rows[0]!.scored_at}` : token);
  const ofSuite = `FROM ${store.database}.eval_scores WHERE loop = {loop:String} AND suite = {suite:String}`;
  const [found] = await store.query<{ now: number; mine: number }>(
    `SELECT (SELECT count() ${ofSuite}) AS now,
            (SELECT count() ${ofSuite} AND run_id IN {runs:Array(String)}
               AND toUnixTimestamp64Milli(scored_at) IN {times:Array(Int64)}) AS mine`,
    {
      loop,
      suite,
      runs: rows.map((row) => row.run_id),
      times: [...new Set(rows.map((row) => row.scored_at))],
    },
  );
  const { now, mine } = found!;
  if (now === version) return 'refused';
  return now === version + rows.length && mine === rows.length ? 'appended' : 'overtaken';
}
