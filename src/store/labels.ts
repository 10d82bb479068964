import type { Store } from './client.ts';

/**
 * Labels: what people say of runs, a row each time one says something. Of a rater's rows for a run the newest stands;
 * a withdrawn one leaves that rater without an opinion. The label of a run is the mean over its raters.
 */
export interface LabelRow {
  loop: string;
  run_id: string;
  rater: string;
  /** In [0, 1]; `null` takes back what the rater said of the run. */
  score: number | null;
  comment: string;
  /** With which the sampler chose the run; `null` where the rater chose it. */
  probability: number | null;
  /** Milliseconds since the epoch. */
  labelled_at: number;
}

/** A label that stands. */
export interface Label extends LabelRow {
  score: number;
}

/** At most so many labels of a loop, or of all, are read at once; the newest are. */
export const LABELS_MAX = 100_000;

/** The labels that stand, a row a rater and run. `where` narrows the rows of `labels`. */
const standing = (database: string, where = ''): string => `
  SELECT loop, run_id, rater, said.1 AS score, said.2 AS comment, said.3 AS probability, at
  FROM (
    -- In a tuple, so that a withdrawal, which has no score, stands against an earlier label.
    SELECT loop, run_id, rater, max(l.labelled_at) AS at,
           argMax(tuple(l.score, l.comment, l.probability), (l.labelled_at, l.withdrawn, l.score)) AS said
    FROM ${database}.labels AS l ${where} GROUP BY loop, run_id, rater
  )
  WHERE said.1 IS NOT NULL`;

/** The label of each labelled run: the mean over its raters. */
export const labelScores = (database: string): string => `
  SELECT loop, run_id, avg(score) AS label_score FROM (${standing(database)}) GROUP BY loop, run_id`;

/** Appends what a rater said. The same told again, after an answer was lost, adds nothing. */
export async function appendLabel(store: Store, label: LabelRow): Promise<void> {
  const { loop, run_id, rater, score, labelled_at } = label;
  const row = {
    ...label,
    withdrawn: score === null ? 1 : 0,
    labelled_at: new Date(labelled_at).toISOString(),
  };
  await store.insert('labels', [row], JSON.stringify(['label', loop, run_id, rater, labelled_at, score]));
}

/** The labels that stand, newest first; of one run, of one loop or of all, at most `LABELS_MAX`. */
export function standingLabels(store: Store, of: { loop?: string; runId?: string } = {}): Promise<Label[]> {
  const conditions = [
    ...(of.loop === undefined ? [] : ['loop = {loop:String}']),
    ...(of.runId === undefined ? [] : ['run_id = {runId:String}']),
  ];
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  return store.query<Label>(
    `SELECT loop, run_id, rater, assumeNotNull(score) AS score, comment, probability,
            toUnixTimestamp64Milli(at) AS labelled_at
     FROM (${standing(store.database, where)})
     ORDER BY labelled_at DESC, loop, run_id, rater LIMIT {limit:UInt32}`,
    { ...of, limit: LABELS_MAX },
  );
}

/** Whether a loop has a run. */
export async function hasRun(store: Store, loop: string, runId: string): Promise<boolean> {
  const rows = await store.query(
    `SELECT 1 FROM ${store.database}.run_parts WHERE loop = {loop:String} AND run_id = {runId:String} LIMIT 1`,
    { loop, runId },
  );
  return rows.length > 0;
}

/** A labelled run beside its verdict. */
export interface LabelledRun {
  loop: string;
  runId: string;
  checkerPass: boolean | null;
  /** Mean over its raters. */
  score: number;
  /** With which the sampler chose the run; `null` where its raters did. */
  probability: number | null;
}

/** What checkers and people said of the same runs, labelled last first, at most `limit`; of one loop or of all. */
export async function labelledRuns(
  store: Store,
  { loop, limit = LABELS_MAX }: { loop?: string; limit?: number } = {},
): Promise<LabelledRun[]> {
  const where = loop === undefined ? '' : 'WHERE loop = {loop:String}';
  const rows = await store.query<Omit<LabelledRun, 'checkerPass'> & { checkerPass: number | null }>(
    `WITH l AS (
       SELECT loop, run_id, avg(assumeNotNull(score)) AS label_score, max(probability) AS chosen_with, max(at) AS last_at
       FROM (${standing(store.database, where)}) GROUP BY loop, run_id
       ORDER BY last_at DESC, loop, run_id LIMIT {limit:UInt32})
     SELECT l.loop AS loop, l.run_id AS runId, r.checker_pass AS checkerPass, l.label_score AS score,
            l.chosen_with AS probability
     FROM l JOIN (SELECT loop, run_id, checker_pass FROM ${store.database}.runs
                  WHERE (loop, run_id) IN (SELECT loop, run_id FROM l)) AS r
       ON r.loop = l.loop AND r.run_id = l.run_id
     ORDER BY l.last_at DESC, loop, runId`,
    { loop, limit },
  );
  return rows.map((row) => ({
    ...row,
    checkerPass: row.checkerPass === null ? null : row.checkerPass === 1,
  }));
}

/** A run that a suite scored and people labelled. */
export interface ScoreBesideLabel {
  runId: string;
  score: number;
  label: number;
  checkerPass: boolean | null;
}

/** What a suite and people said of the same runs, latest run first, at most `LABELS_MAX`: how far the suite's scorer can be trusted. */
export async function scoresBesideLabels(
  store: Store,
  { loop, suite }: { loop: string; suite: string },
): Promise<ScoreBesideLabel[]> {
  const rows = await store.query<Omit<ScoreBesideLabel, 'checkerPass'> & { checkerPass: number | null }>(
    `WITH l AS (SELECT run_id, label_score FROM (${labelScores(store.database)}) WHERE loop = {loop:String})
     SELECT r.run_id AS runId, assumeNotNull(s.suite_score) AS score, assumeNotNull(l.label_score) AS label,
            r.checker_pass AS checkerPass
     FROM (SELECT run_id, checker_pass, started_at FROM ${store.database}.runs
           WHERE loop = {loop:String} AND run_id IN (SELECT run_id FROM l)) AS r
     JOIN l ON l.run_id = r.run_id
     JOIN (SELECT run_id, argMin(tuple(score), scored_at).1 AS suite_score FROM ${store.database}.eval_scores
           WHERE loop = {loop:String} AND suite = {suite:String} GROUP BY run_id) AS s ON s.run_id = r.run_id
     WHERE s.suite_score IS NOT NULL
     ORDER BY r.started_at DESC, runId LIMIT {limit:UInt32}`,
    { loop, suite, limit: LABELS_MAX },
  );
  return rows.map((row) => ({
    ...row,
    checkerPass: row.checkerPass === null ? null : row.checkerPass === 1,
  }));
}
