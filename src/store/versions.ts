import type { Store } from './client.ts';
import { goldenScores } from './runs.ts';

/** A run with the versions it was made with; `''` where nobody said which. */
export interface VersionedRun {
  runId: string;
  /** Milliseconds since the epoch. */
  startedAt: number;
  /** What the maker asked for, and who answered last. */
  model: string;
  servedModel: string;
  promptVersion: string;
  toolsVersion: string;
  /** The checker's name and version, with `@` between them. */
  checkerVersion: string;
  itemId: string;
  inputHash: string;
  checkerPass: boolean | null;
  /** In [0, 1]; `null` where it was not scored. */
  goldenScore: number | null;
}

/** Runs that are read on either side of a moment. */
export const RUNS_AROUND_MAX = 2_000;

/** The runs of a loop next to a moment (milliseconds), at most `limit` before it and as many from it on, oldest first. */
export async function runsAround(
  store: Store,
  { loop, at, limit }: { loop: string; at: number; limit: number },
): Promise<VersionedRun[]> {
  const db = store.database;
  const side = (compare: string, order: string) => `
    SELECT * FROM ${db}.runs
    WHERE loop = {loop:String} AND started_at ${compare} fromUnixTimestamp64Milli({at:Int64})
    ORDER BY started_at ${order}, run_id ${order} LIMIT {limit:UInt32}`;
  const rows = await store.query<Omit<VersionedRun, 'checkerPass'> & { checkerPass: number | null }>(
    `SELECT r.run_id AS runId, toUnixTimestamp64Milli(r.started_at) AS startedAt, r.maker_model AS model,
            r.maker_served_model AS servedModel, r.prompt_version AS promptVersion, r.tools_version AS toolsVersion,
            if(r.checker_name = '' AND r.checker_version = '', '', concat(r.checker_name, '@', r.checker_version))
              AS checkerVersion,
            r.item_id AS itemId, r.input_hash AS inputHash, r.checker_pass AS checkerPass, s.golden_score AS goldenScore
     FROM (SELECT * FROM (${side('<', 'DESC')}) UNION ALL SELECT * FROM (${side('>=', 'ASC')})) AS r
     LEFT JOIN (SELECT * FROM (${goldenScores(db)}) WHERE loop = {loop:String}) AS s ON s.run_id = r.run_id
     ORDER BY r.started_at, r.run_id`,
    { loop, at, limit: Math.min(limit, RUNS_AROUND_MAX) },
  );
  return rows.map((row) => ({
    ...row,
    checkerPass: row.checkerPass === null ? null : row.checkerPass === 1,
  }));
}

/** When a run of a loop began, in milliseconds; `undefined` where there is no such run. */
export async function runStart(
  store: Store,
  { loop, runId }: { loop: string; runId: string },
): Promise<number | undefined> {
  const [row] = await store.query<{ startedAt: number }>(
    `SELECT toUnixTimestamp64Milli(min(p.started_at)) AS startedAt FROM ${store.database}.run_parts AS p
     WHERE p.loop = {loop:String} AND p.run_id = {runId:String} GROUP BY p.loop`,
    { loop, runId },
  );
  return row?.startedAt;
}
