import type { Store } from './client.ts';

/** Scores of one suite: of each item the newest, as a gate compares them, and of given runs. */
/** A score with what was expected when it was made. */
export interface StoredScore {
  item: string;
  run: string;
  score: number | null;
  error: string;
  expected: string;
}

/** Which scores: made from `from` on and before `before`, in milliseconds; of runs with this version of the prompt. */
export interface ScoresAsked {
  loop: string;
  suite: string;
  scorer: string;
  from?: number;
  before: number;
  promptVersion?: string;
}

/** Newest runs of an item that count. */
const RUNS_PER_ITEM_MAX = 10;
const ROWS_MAX = 100_000;

/** At most 100,000 of them. A run that two evaluators scored counts once, by the earlier score. */
export function scoresOfItems(store: Store, asked: ScoresAsked): Promise<StoredScore[]> {
  const { database } = store;
  const ofPrompt =
    asked.promptVersion === undefined
      ? ''
      : `AND run_id IN (SELECT run_id FROM ${database}.runs
                        WHERE loop = {loop:String} AND prompt_version = {promptVersion:String})`;
  return store.query<StoredScore>(
    `SELECT s.item_id AS item, s.run_id AS run, s.score AS score, s.error AS error, g.expected AS expected
     FROM (
       SELECT * FROM (
         SELECT item_id, run_id, score, error, dataset, dataset_version, scored_at FROM ${database}.eval_scores
         WHERE loop = {loop:String} AND suite = {suite:String} AND scorer = {scorer:String} AND item_id != ''
           AND scored_at >= fromUnixTimestamp64Milli({from:Int64}) AND scored_at < fromUnixTimestamp64Milli({before:Int64})
           ${ofPrompt}
         ORDER BY scored_at LIMIT 1 BY run_id)
       ORDER BY scored_at DESC, run_id LIMIT ${RUNS_PER_ITEM_MAX} BY item_id) AS s
     LEFT JOIN (SELECT dataset, version, item_id, any(expected) AS expected FROM ${database}.golden_items
                GROUP BY dataset, version, item_id) AS g
       ON g.dataset = s.dataset AND g.version = s.dataset_version AND g.item_id = s.item_id
     ORDER BY item, run LIMIT ${ROWS_MAX}`,
    { from: 0, ...asked },
  );
}

/** A suite's scores of these runs, by run; those that have one. The earliest stands, see `goldenScores`. */
export async function scoresOfRuns(
  store: Store,
  { loop, suite, scorer, runIds }: { loop: string; suite: string; scorer: string; runIds: readonly string[] },
): Promise<Map<string, number>> {
  if (runIds.length === 0) return new Map();
  const rows = await store.query<{ run_id: string; score: number }>(
    `SELECT run_id, assumeNotNull(score) AS score FROM ${store.database}.eval_scores
     WHERE loop = {loop:String} AND suite = {suite:String} AND scorer = {scorer:String}
       AND score IS NOT NULL AND run_id IN {runIds:Array(String)}
     ORDER BY scored_at LIMIT 1 BY run_id`,
    { loop, suite, scorer, runIds },
  );
  return new Map(rows.map((row) => [row.run_id, row.score]));
}
