import type { Store } from './client.ts';
import { labelScores } from './labels.ts';

/** A run as the `runs` view has it. `null` is "nobody said", which is not 0. Times are milliseconds since the epoch. */
export interface Run {
  loop: string;
  runId: string;
  traceId: string;
  startedAt: number;
  endedAt: number;
  state: 'running' | 'ended' | 'failed';
  registered: boolean;
  agents: string[];
  models: string[];
  servedModels: string[];
  checkerPass: boolean | null;
  checkerName: string;
  effects: number;
  effectsRejected: number;
  calls: number;
  errors: number;
  inputTokens: number | null;
  outputTokens: number | null;
  costUsd: number | null;
  /** Its label, else the mean over the suites that scored it; `null` where there is neither. */
  goldenScore: number | null;
}

/**
 * The golden score of each run that has one. What people say of a run is the truth: its label, the mean over its raters,
 * where it has one. Else what suites say: the earliest score of each suite stands, several suites are averaged.
 */
export const goldenScores = (database: string): string => `
  SELECT loop, run_id, if(countIf(human) > 0, avgIf(score, human), avg(score)) AS golden_score
  FROM (
    SELECT loop, run_id, suite_score AS score, false AS human
    FROM (
      -- In a tuple, so that an error, which has no score, stands against a later score too.
      SELECT loop, suite, run_id, argMin(tuple(score), scored_at).1 AS suite_score
      FROM ${database}.eval_scores GROUP BY loop, suite, run_id
    )
    WHERE suite_score IS NOT NULL
    UNION ALL
    SELECT loop, run_id, label_score AS score, true AS human FROM (${labelScores(database)})
  )
  GROUP BY loop, run_id`;

/** The latest runs, newest first; of one loop or of all. */
export async function latestRuns(
  store: Store,
  { loop, limit }: { loop?: string; limit: number },
): Promise<Run[]> {
  type Row = Omit<Run, 'registered' | 'checkerPass'> & { registered: number; checkerPass: number | null };
  const rows = await store.query<Row>(
    `SELECT r.loop AS loop, r.run_id AS runId, r.trace_id AS traceId,
       toUnixTimestamp64Nano(r.started_at) / 1e6 AS startedAt, toUnixTimestamp64Nano(r.ended_at) / 1e6 AS endedAt,
       r.state AS state, r.registered AS registered, arraySort(r.agents) AS agents,
       arraySort(r.models) AS models, arraySort(r.served_models) AS servedModels,
       r.checker_pass AS checkerPass, r.checker_name AS checkerName,
       r.effects AS effects, r.effects_rejected AS effectsRejected, r.calls AS calls, r.errors AS errors,
       r.input_tokens AS inputTokens, r.output_tokens AS outputTokens, r.cost_usd AS costUsd,
       s.golden_score AS goldenScore
     FROM (
       SELECT * FROM ${store.database}.runs
       ${loop === undefined ? '' : 'WHERE loop = {loop:String}'}
       ORDER BY started_at DESC, run_id DESC LIMIT {limit:UInt32}
     ) AS r
     LEFT JOIN (${goldenScores(store.database)}) AS s ON s.loop = r.loop AND s.run_id = r.run_id
     ORDER BY startedAt DESC, runId DESC`,
    { loop, limit },
  );
  return rows.map((row) => ({
    ...row,
    registered: row.registered === 1,
    checkerPass: row.checkerPass === null ? null : row.checkerPass === 1,
  }));
}

/** Every loop that ever made a run. */
export async function loopsSeen(store: Store): Promise<string[]> {
  const rows = await store.query<{ loop: string }>(
    `SELECT DISTINCT loop FROM ${store.database}.run_parts ORDER BY loop`,
  );
  return rows.map((row) => row.loop);
}
