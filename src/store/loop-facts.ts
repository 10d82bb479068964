import type { Store } from './client.ts';
import { RECENT_RUNS } from './fleet.ts';

/** What the state of a loop hangs on, from its runs, its alerts and what its detectors know. Times are milliseconds. */
export interface LoopFactsRow {
  loop: string;
  /** Whether its latest run came from a registered loop. */
  registered: boolean;
  lastRunAt: number;
  /** Verdicts among its last `RECENT_RUNS` runs, and those that passed. */
  recentVerdicts: number;
  recentPasses: number;
  /** Of the alert that fires; `''` and 0 where none does. */
  alertId: string;
  alertKind: string;
  changeAt: number;
  whatChanged: string;
  /** Share of the verdicts since its change that passed; `null` without verdicts. */
  passRateSince: number | null;
  /** Of the suite with most evidence; `learning` where nothing is scored. */
  phase: 'learning' | 'watching' | 'alarmed';
  eValue: number;
  threshold: number;
  /** How many golden scores there are since that change, or since the last change of level, and their sum. */
  scored: number;
  scoreSum: number;
}

/** Most golden scores that a shown mean is taken over. */
export const SHOWN_SCORES_MAX = 200;

export interface FactsQuery {
  /** Kind of the alerts that say that nobody measures a loop: one counts only where no other fires. */
  unmeasuredKind: string;
  /** A run without an explicit end is over when it was quiet since this time, in milliseconds. */
  idleBefore: number;
}

/** Every loop that ever made a run. One pass over the runs: to ask loop by loop would read them as often as there are loops. */
export async function loopFacts(store: Store, query: FactsQuery): Promise<LoopFactsRow[]> {
  const db = store.database;
  const rows = await store.query<Omit<LoopFactsRow, 'registered'> & { registered: number }>(
    `WITH f.kind NOT IN ('', {unmeasuredKind:String}) AS alerting,
          arraySlice(r.newest_first, 1, ${RECENT_RUNS}) AS recent,
          -- Of runs that are over, those since the change that an alert tells of.
          arrayFilter(run -> run.over AND NOT (alerting AND run.at < changeAt), r.newest_first) AS since,
          arrayFilter(run -> alerting AND r.measured AND run.verdict != 2, since) AS verdicts,
          arraySlice(arrayFilter(run -> run.score >= 0, since), 1,
            if(alerting OR d.regime = 0, ${SHOWN_SCORES_MAX}, least(d.regime, ${SHOWN_SCORES_MAX}))) AS scores
     SELECT r.loop AS loop, r.registered AS registered, r.last_run_at AS lastRunAt,
            arrayCount(run -> run.verdict != 2, recent) AS recentVerdicts,
            arrayCount(run -> run.verdict = 1, recent) AS recentPasses,
            f.alert_id AS alertId, f.kind AS alertKind, toUnixTimestamp64Milli(f.change_at) AS changeAt,
            f.what_changed AS whatChanged, if(empty(verdicts), NULL, arrayAvg(run -> run.verdict, verdicts)) AS passRateSince,
            if(d.phase = '', 'learning', d.phase) AS phase, d.e_value AS eValue, d.threshold AS threshold,
            length(scores) AS scored, arraySum(run -> run.score, scores) AS scoreSum
     FROM (
       SELECT r.loop AS loop, argMax(r.registered, r.started_at) AS registered,
              toUnixTimestamp64Milli(toDateTime64(max(r.started_at), 3)) AS last_run_at,
              loop IN (SELECT loop FROM ${db}.eval_scores UNION DISTINCT SELECT loop FROM ${db}.labels) AS measured,
              -- Verdict 2 is none, and a score below 0.
              arrayReverseSort(groupArray(CAST(
                (toUnixTimestamp64Milli(r.started_at), r.run_id, ifNull(r.checker_pass, 2),
                 r.state != 'running' OR r.ended_at < fromUnixTimestamp64Milli({idleBefore:Int64}), ifNull(g.golden_score, -1)),
                'Tuple(at Int64, id String, verdict UInt8, over Bool, score Float64)'))) AS newest_first
       FROM ${db}.runs AS r
       LEFT JOIN (SELECT run_hash, golden_score FROM ${db}.golden_scores) AS g ON g.run_hash = sipHash64(r.loop, r.run_id)
       GROUP BY r.loop
     ) AS r
     LEFT JOIN (
       SELECT * FROM ${db}.alerts_now WHERE state = 'firing' AND NOT is_notice
       ORDER BY kind = {unmeasuredKind:String}, started_at DESC, alert_id LIMIT 1 BY loop
     ) AS f ON f.loop = r.loop
     LEFT JOIN (
       SELECT loop, multiIf(max(phase = 'alarmed'), 'alarmed', max(phase = 'watching'), 'watching', 'learning') AS phase,
              argMax(h.e_value, h.e_value / h.threshold) AS e_value, argMax(h.threshold, h.e_value / h.threshold) AS threshold,
              max(regime) AS regime
       FROM (SELECT * FROM ${db}.detector_history ORDER BY at DESC LIMIT 1 BY loop, stream) AS h
       WHERE is_scored GROUP BY loop
     ) AS d ON d.loop = r.loop`,
    { ...query },
  );
  return rows.map((row) => ({ ...row, registered: row.registered === 1 }));
}
