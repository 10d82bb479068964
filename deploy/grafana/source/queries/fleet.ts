import { among, byTime, STEP, scoredRuns, wilson } from './words.ts';

/** The fleet in ten seconds: which loop is in trouble, since when, and what changed. */

export const states = `
SELECT
  countIf(state = 'silently_failing') AS "Failing silently",
  countIf(state = 'failing') AS "Failing",
  countIf(state = 'suspect') AS "Suspect",
  countIf(state = 'idle') AS "Idle",
  countIf(state = 'unmeasured') AS "Unmeasured",
  countIf(state = 'healthy') AS "Healthy"
FROM loopscope.loop_states
WHERE ${among('loop')}`;

export const loops = `
SELECT
  s.state AS "State",
  s.loop AS "Loop",
  s.since AS "Since",
  multiIf(s.what_changed != '', s.what_changed, s.alert_kind != '', 'unknown', '') AS "What changed",
  if(t.verdicts = 0, NULL, t.passes / t.verdicts) AS "Checker passes",
  s.golden_score AS "Golden score",
  s.golden_low AS "at least",
  s.golden_high AS "at most",
  t.runs AS "Runs",
  if(t.runs = 0, NULL, t.effects / t.runs) AS "Effects/run",
  t.cost_usd AS "Spend",
  if(t.useful = 0, NULL, t.cost_usd / t.useful) AS "Per outcome",
  s.golden_n AS "Scored",
  m.served_models AS "Answered by",
  s.last_run_at AS "Last run",
  s.owner AS "Owner"
FROM loopscope.loop_states AS s
LEFT JOIN (
  SELECT loop, count() AS runs, count(checker_pass) AS verdicts, countIf(checker_pass = 1) AS passes,
    sum(effects) AS effects, sum(cost_usd) AS cost_usd, countIf(useful) AS useful
  FROM ${scoredRuns('$__timeFilter_ms(started_at)')}
  GROUP BY loop
) AS t ON t.loop = s.loop
LEFT JOIN (
  SELECT loop, arrayStringConcat(arraySort(groupArray(toString(served_model))), ', ') AS served_models
  FROM (SELECT DISTINCT loop, served_model FROM ${byTime('calls', `origin = 'run' AND served_model != ''`)})
  GROUP BY loop
) AS m ON m.loop = s.loop
WHERE ${among('loop', 's.loop')}
ORDER BY s.rank, s.loop`;

/** Checker and golden data on one axis, the loops that differ most first. */
export const gaps = `
SELECT s.loop AS "Loop", t.pass_rate AS "Checker passes", s.golden_score AS "Golden score",
  s.golden_low AS "at least", s.golden_high AS "at most"
FROM loopscope.loop_states AS s
INNER JOIN (
  SELECT loop, avg(checker_pass) AS pass_rate FROM loopscope.runs WHERE $__timeFilter_ms(started_at) GROUP BY loop
) AS t ON t.loop = s.loop
WHERE ${among('loop', 's.loop')} AND s.golden_score IS NOT NULL AND t.pass_rate IS NOT NULL
ORDER BY t.pass_rate - s.golden_score DESC, s.loop
LIMIT 12`;

/** Means of the last 50 runs, at the end of each interval. */
export const scoresOver = (ofLoop: string) => `
SELECT $__timeInterval(started_at) AS time,
  argMax(passes, started_at) AS "Checker passes",
  argMax(mean, started_at) AS "Golden score",
  argMax(${wilson('low', 'mean', 'n')}, started_at) AS "at least",
  argMax(${wilson('high', 'mean', 'n')}, started_at) AS "at most"
FROM (
  SELECT started_at, avg(checker_pass) OVER w AS passes, avg(golden_score) OVER w AS mean, count(golden_score) OVER w AS n
  FROM ${scoredRuns(`${ofLoop} AND $__timeFilter_ms(started_at)`)}
  WINDOW w AS (ORDER BY started_at, run_id ROWS BETWEEN 49 PRECEDING AND CURRENT ROW)
)
GROUP BY time
ORDER BY time`;

/** Of no loop where there is none yet. */
export const worst = scoresOver(
  `loop GLOBAL IN (SELECT loop FROM loopscope.loop_states WHERE ${among('loop')} AND last_run_at IS NOT NULL ORDER BY rank, loop LIMIT 1)`,
);

/** All that changed: alerts, models, registrations, and what people accepted. */
export const changesOf = (where: string) => `
SELECT at AS "Time", loop AS "Loop", what AS "What", details AS "Details"
FROM (
  SELECT started_at AS at, loop, concat('alert: ', kind, if(state = 'firing', '', ' (over)')) AS what, what_changed AS details
  FROM loopscope.alerts_now
  UNION ALL
  SELECT at, loop, replaceAll(kind, '_', ' ') AS what,
    multiIf(
      retires_at IS NOT NULL, concat(model, ' retires on ', toString(retires_at)),
      previous_model != '', concat(requested_model, ': ', previous_model, ' → ', served_model),
      requested_model) AS details
  FROM (SELECT * FROM loopscope.model_events ORDER BY at LIMIT 1 BY event_id)
  UNION ALL
  SELECT seen_at AS at, loop, 'registered anew' AS what, concat('version ', version) AS details
  FROM loopscope.registry_versions
  UNION ALL
  SELECT accepted_at AS at, loop, 'accepted as the new normal' AS what, concat(accepted_by, ': ', reason) AS details
  FROM loopscope.alert_acceptances
)
WHERE ${where} AND $__timeFilter_ms(at)
ORDER BY at DESC
LIMIT 200`;

export const changes = changesOf(among('loop'));

/** Of all loops, those that spend most. */
const SPENT = byTime('calls', `origin = 'run' AND ${among('loop')}`);

export const spend = `
SELECT ${STEP} AS time, toString(loop) AS loop, sum(cost_usd) AS spend
FROM ${SPENT}
WHERE loop GLOBAL IN (SELECT loop FROM ${SPENT} GROUP BY loop ORDER BY sum(cost_usd) DESC LIMIT 12)
GROUP BY time, loop
ORDER BY time, loop`;

export const outcomes = `
SELECT $__timeInterval(minute) AS time, sum(o.runs) AS "Runs", sum(o.runs_failed) AS "of them failed",
  sum(o.effects) AS "Effects", sum(o.effects_rejected) AS "of them turned down"
FROM loopscope.outcomes_by_minute AS o
WHERE $__timeFilter(minute) AND ${among('loop')}
GROUP BY time
ORDER BY time`;
