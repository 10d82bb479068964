import type { Store } from './client.ts';
import { goldenScores } from './runs.ts';

/** What the runs of a loop add up to, over all that is kept. `null` is "nobody said", which is not 0. */
export interface LoopTotals {
  loop: string;
  /** Whether its latest run came from a registered loop. */
  registered: boolean;
  runs: number;
  /** Runs with a verdict, and those whose verdict passed. */
  verdicts: number;
  passes: number;
  /** The same among its last `RECENT_RUNS` runs. */
  recentVerdicts: number;
  recentPasses: number;
  effects: number;
  effectsRejected: number;
  /** Runs whose golden score passes or, where none was made, with an effect that was not turned down. */
  usefulOutcomes: number;
  costUsd: number | null;
  /** Model calls that answered and whose cost nobody knows: `costUsd` is too low by them. */
  callsWithoutCost: number;
  servedModels: string[];
  /** Start of its latest run, milliseconds since the epoch. */
  lastRunAt: number;
}

export const RECENT_RUNS = 20;
/** A golden score from which a run counts as useful. */
export const USEFUL_SCORE = 0.5;

/** The totals of every loop that ever made a run, or of one. */
export async function loopTotals(store: Store, loop?: string): Promise<LoopTotals[]> {
  const rows = await store.query<Omit<LoopTotals, 'registered'> & { registered: number }>(
    `SELECT r.loop AS loop,
       argMax(r.registered, r.started_at) AS registered,
       count() AS runs,
       countIf(r.checker_pass IS NOT NULL) AS verdicts,
       countIf(r.checker_pass = 1) AS passes,
       countIf(r.checker_pass IS NOT NULL AND r.recency <= {recent:UInt32}) AS recentVerdicts,
       countIf(r.checker_pass = 1 AND r.recency <= {recent:UInt32}) AS recentPasses,
       sum(r.effects) AS effects,
       sum(r.effects_rejected) AS effectsRejected,
       countIf(if(s.golden_score IS NULL, r.effects > r.effects_rejected, s.golden_score >= {useful:Float64})) AS usefulOutcomes,
       sum(r.cost_usd) AS costUsd,
       sum(greatest(toInt64(r.calls_without_cost) - toInt64(r.errors), 0)) AS callsWithoutCost,
       arraySort(groupUniqArrayArray(r.served_models)) AS servedModels,
       toUnixTimestamp64Milli(max(r.started_at)) AS lastRunAt
     FROM (
       SELECT *, row_number() OVER (PARTITION BY loop ORDER BY started_at DESC, run_id DESC) AS recency
       FROM ${store.database}.runs ${loop === undefined ? '' : 'WHERE loop = {loop:String}'}
     ) AS r
     LEFT JOIN (${goldenScores(store.database)}) AS s ON s.loop = r.loop AND s.run_id = r.run_id
     GROUP BY r.loop ORDER BY r.loop`,
    { loop, recent: RECENT_RUNS, useful: USEFUL_SCORE },
  );
  return rows.map((row) => ({ ...row, registered: row.registered === 1 }));
}
