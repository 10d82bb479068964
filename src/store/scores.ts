import { inputShapeSql } from '../records/input-shape.ts';
import type { Observation } from '../records/observation.ts';
import type { Store } from './client.ts';
import { goldenScores } from './runs.ts';

/**
 * Scores: which runs lack one, what is needed to make it, and the series the detector reads.
 *
 * A run is scored once a suite. Scored means that a row is there, also one that says why there is no score. Should
 * two evaluators race, the earliest score stands, see `goldenScores`.
 */

/** How long a run can wait for its golden item, counted back from its loop's newest run. */
export const LOOK_BACK_DAYS = 14;

export interface ScoreRow {
  loop: string;
  suite: string;
  run_id: string;
  item_id: string;
  dataset: string;
  dataset_version: string;
  scorer: string;
  /** `null` where there is none: `error` then says why. */
  score: number | null;
  error: string;
  /** What it took, in US dollars; `null` where nothing was paid, or nobody knows how much. */
  cost_usd: number | null;
  /** Milliseconds since the epoch. */
  scored_at: number;
}

/** A run that is over, meets a golden item and has no score of the suite. */
export interface UnscoredRun {
  run_id: string;
  item_id: string;
  input_hash: string;
  output_hash: string;
  /** The model that made the answer; '' where unknown. */
  maker_served_model: string;
  /** UTC day of its start, and the hash of its id in [0, 1). */
  day: string;
  u: number;
}

/** How the runs of a UTC day stand with a suite. */
export interface DayRow {
  day: string;
  matched: number;
  scored: number;
  /** Runs that are over and meet no golden item. */
  unmatched: number;
}

export interface ScoreQuery {
  loop: string;
  suite: string;
  dataset: string;
  version: string;
  /** A run without an explicit end is over when it was quiet since this time, in milliseconds. */
  idleBefore: number;
}

const OVER = `(state != 'running' OR ended_at < fromUnixTimestamp64Milli({idleBefore:Int64}))`;

/** The runs that are over and in reach of a suite, with whether they meet an item and are scored. */
export const runsInReach = (db: string) => `
  SELECT run_id, item_id, input_hash, output_hash, maker_served_model, started_at, ended_at, toDate(started_at, 'UTC') AS day,
         run_id IN (SELECT run_id FROM ${db}.eval_scores WHERE loop = {loop:String} AND suite = {suite:String}) AS scored,
         item_id IN (SELECT item_id FROM ${db}.golden_items WHERE dataset = {dataset:String} AND version = {version:String})
         OR input_hash IN (SELECT input_hash FROM ${db}.golden_items WHERE dataset = {dataset:String} AND version = {version:String})
           AS matched
  FROM ${db}.runs
  WHERE loop = {loop:String} AND ${OVER} AND started_at >= (
    SELECT toStartOfDay(max(started_at), 'UTC') - INTERVAL ${LOOK_BACK_DAYS} DAY
    FROM ${db}.run_parts WHERE loop = {loop:String})`;

/** Of each day the `perDay` unscored runs with the lowest hashes, oldest run first. */
export function unscoredRuns(store: Store, query: ScoreQuery, perDay: number): Promise<UnscoredRun[]> {
  return store.query<UnscoredRun>(
    `SELECT c.run_id AS run_id, c.item_id AS item_id, c.input_hash AS input_hash, c.output_hash AS output_hash,
            c.maker_served_model AS maker_served_model,
            toString(c.day) AS day, c.u AS u
     FROM (SELECT *, sipHash64(r.run_id) / 18446744073709551616 AS u
           FROM (${runsInReach(store.database)}) AS r WHERE r.matched AND NOT r.scored
           ORDER BY r.day, u LIMIT {perDay:UInt32} BY r.day) AS c
     ORDER BY c.started_at, c.run_id`,
    { ...query, perDay },
  );
}

/** How each day's runs stand with a suite. */
export function dayCounts(store: Store, query: ScoreQuery): Promise<DayRow[]> {
  return store.query<DayRow>(
    `SELECT toString(r.day) AS day, countIf(r.matched) AS matched, countIf(r.scored) AS scored,
            countIf(NOT r.matched AND NOT r.scored) AS unmatched
     FROM (${runsInReach(store.database)}) AS r GROUP BY r.day ORDER BY r.day`,
    { ...query },
  );
}

/** Contents by hash; what was not kept is not in the map. */
export async function contentsOf(store: Store, hashes: readonly string[]): Promise<Map<string, string>> {
  const wanted = [...new Set(hashes)].filter((hash) => hash !== '');
  if (wanted.length === 0) return new Map();
  const rows = await store.query<{ hash: string; content: string }>(
    `SELECT hash, content FROM ${store.database}.messages WHERE hash IN {wanted:Array(String)} LIMIT 1 BY hash`,
    { wanted },
  );
  return new Map(rows.map((row) => [row.hash, row.content]));
}

/** Appends scores. The same `token` again, after an answer was lost, adds nothing. */
export async function insertScores(store: Store, rows: readonly ScoreRow[], token: string): Promise<void> {
  await store.insert(
    'eval_scores',
    rows.map((row) => ({ ...row, scored_at: new Date(row.scored_at).toISOString() })),
    token,
  );
}

/** How many rows of scores and labels each loop has: a number that grows when there is something new to look at. */
export async function scoreCounts(store: Store): Promise<Map<string, number>> {
  const rows = await store.query<{ loop: string; n: number }>(
    `SELECT loop, sum(rows) AS n FROM (
       SELECT loop, count() AS rows FROM ${store.database}.eval_scores GROUP BY loop
       UNION ALL SELECT loop, count() AS rows FROM ${store.database}.labels GROUP BY loop)
     GROUP BY loop ORDER BY loop`,
  );
  return new Map(rows.map((row) => [row.loop, row.n]));
}

/** The golden data that each run of a loop was first scored with, and the kind of task its item is. */
const goldenOf = (db: string) => `
  SELECT w.run_id AS run_id, concat(w.scored.1, '@', w.scored.2) AS dataset_version, i.task AS task
  FROM (SELECT run_id, argMin((dataset, dataset_version, item_id), scored_at) AS scored FROM ${db}.eval_scores
        WHERE loop = {loop:String} AND score IS NOT NULL AND dataset != '' GROUP BY run_id) AS w
  LEFT JOIN (SELECT dataset, version, item_id, any(if(empty(tags), ${inputShapeSql('input')}, tags[1])) AS task
             FROM ${db}.golden_items
             WHERE dataset IN (SELECT DISTINCT dataset FROM ${db}.eval_scores WHERE loop = {loop:String})
             GROUP BY dataset, version, item_id) AS i
    ON i.dataset = w.scored.1 AND i.version = w.scored.2 AND i.item_id = w.scored.3`;

/**
 * A loop's runs that are over, in order of their start, as the detector reads them. Runs without an explicit end
 * count from `idleBefore` on (milliseconds), and not at all without it.
 */
export async function loopSeries(store: Store, loop: string, idleBefore = 0): Promise<Observation[]> {
  interface Row extends Omit<Observation, 'index' | 'at' | 'checkerPass'> {
    started: number;
    checkerPass: number | null;
  }
  const rows = await store.query<Row>(
    `SELECT r.run_id AS runId, toUnixTimestamp64Milli(r.started_at) AS started, s.golden_score AS score,
            r.checker_pass AS checkerPass, r.effects AS effects, r.input_hash AS inputHash, r.output_hash AS outputHash,
            r.maker_served_model AS servedModel, r.prompt_version AS promptVersion,
            r.tools_version AS toolsVersion,
            if(r.checker_name = '' AND r.checker_version = '', '', concat(r.checker_name, '@', r.checker_version))
              AS checkerVersion,
            if(f.dataset_version != '', f.dataset_version, g.dataset_version) AS datasetVersion,
            if(f.task != '', f.task, g.task) AS task
     FROM (SELECT * FROM ${store.database}.runs WHERE loop = {loop:String} AND ${OVER}) AS r
     LEFT JOIN (SELECT * FROM (${goldenScores(store.database)}) WHERE loop = {loop:String}) AS s ON s.run_id = r.run_id
     LEFT JOIN (${goldenOf(store.database)}) AS g ON g.run_id = r.run_id
     LEFT JOIN (SELECT run_id, any(task) AS task, any(dataset_version) AS dataset_version
                FROM ${store.database}.run_facts WHERE loop = {loop:String} GROUP BY run_id) AS f ON f.run_id = r.run_id
     ORDER BY r.started_at, r.run_id`,
    { loop, idleBefore },
  );
  return rows.map(({ started, checkerPass, ...row }, index) => ({
    ...row,
    index,
    at: new Date(started).toISOString(),
    checkerPass: checkerPass === null ? null : checkerPass === 1,
  }));
}
