import { increases, levels } from './metrics.ts';

/** From the collector's door to scores: what comes in, what waits, what is late. */

/** How the newest readings stand. */
export const now = `
SELECT
  maxIf(value, name = 'loopscope_collector_spool_oldest_unsent_seconds') AS "Oldest unsent",
  sumIf(value, name = 'loopscope_collector_spool_bytes') AS "In the spool",
  sumIf(value, name = 'loopscope_collector_spool_records') AS "Requests in it",
  sumIf(value, name = 'loopscope_evals_alarms_held') AS "Alarms held back",
  sumIf(value, name = 'loopscope_evals_series_watched') AS "Series watched"
FROM (
  SELECT MetricName AS name, argMax(Value, TimeUnix) AS value
  FROM loopscope.otel_metrics_gauge
  WHERE ServiceName IN ('loopscope-collector', 'loopscope-evals')
    AND TimeUnix >= $__toTime - INTERVAL 10 MINUTE AND TimeUnix <= $__toTime
    AND MetricName IN ('loopscope_collector_spool_oldest_unsent_seconds', 'loopscope_collector_spool_bytes',
      'loopscope_collector_spool_records', 'loopscope_evals_alarms_held', 'loopscope_evals_series_watched')
  GROUP BY name, ResourceAttributes['service.instance.id'], cityHash64(Attributes)
)`;

export const received = `
SELECT $__timeInterval(at) AS time,
  replaceRegexpOne(name, '^loopscope_collector_(.+)_total$', '\\\\1') AS series, sum(increase) / $__interval_s AS items
FROM ${increases(
  'collector',
  'loopscope_collector_received_spans_total',
  'loopscope_collector_received_log_records_total',
  'loopscope_collector_received_data_points_total',
  'loopscope_collector_stored_spans_total',
)}
GROUP BY time, series
ORDER BY time, series`;

export const answers = `
SELECT time, series, sum(value) AS items
FROM (
  SELECT $__timeInterval(at) AS time,
    if(name = 'loopscope_collector_requests_total', concat('answered ', Attributes['status']),
      concat(replaceRegexpOne(name, '^loopscope_collector_(.+)_total$', '\\\\1'), ': ', Attributes['reason'])) AS series,
    increase AS value
  FROM ${increases(
    'collector',
    'loopscope_collector_requests_total',
    'loopscope_collector_rejected_spans_total',
    'loopscope_collector_refused_spans_total',
    'loopscope_collector_rejected_log_records_total',
    'loopscope_collector_refused_log_records_total',
    'loopscope_collector_rejected_data_points_total',
    'loopscope_collector_refused_data_points_total',
    'loopscope_collector_set_aside_total',
  )}
)
GROUP BY time, series
ORDER BY time, series`;

export const lag = `
SELECT time, max(value) AS "Oldest unsent"
FROM ${levels('collector', 'loopscope_collector_spool_oldest_unsent_seconds')}
GROUP BY time
ORDER BY time`;

export const spool = `
SELECT time,
  sumIf(value, name = 'loopscope_collector_spool_bytes') AS "In the spool",
  sumIf(value, name = 'loopscope_collector_pending_bytes') AS "In memory"
FROM ${levels('collector', 'loopscope_collector_spool_bytes', 'loopscope_collector_pending_bytes')}
GROUP BY time
ORDER BY time`;

export const inserts = `
SELECT $__timeInterval(at) AS time, Attributes['table'] AS table, sum(increase) / $__interval_s AS rows
FROM ${increases('collector', 'loopscope_collector_inserted_rows_total')}
GROUP BY time, table
ORDER BY time, table`;

export const insertSeconds = `
SELECT time, if(n = 0, NULL, seconds / n) AS "mean", if(n = 0, NULL, slow / n) AS "share above 1 s"
FROM (
  SELECT $__timeInterval(at) AS time,
    sumIf(increase, name = 'loopscope_collector_insert_seconds_sum') AS seconds,
    sumIf(increase, name = 'loopscope_collector_insert_seconds_count') AS n,
    n - sumIf(increase, name = 'loopscope_collector_insert_seconds_bucket' AND Attributes['le'] = '1') AS slow
  FROM ${increases(
    'collector',
    'loopscope_collector_insert_seconds_sum',
    'loopscope_collector_insert_seconds_count',
    'loopscope_collector_insert_seconds_bucket',
  )}
  GROUP BY time
)
ORDER BY time`;

/** From the end of a run to the arrival of its end here, by the clock of each. */
export const visible = `
SELECT $__timeInterval(seen_at) AS time, quantile(0.5)(seconds) AS p50, quantile(0.95)(seconds) AS p95
FROM (
  SELECT e.seen_at AS seen_at, greatest(dateDiff('millisecond', r.ended_at, e.seen_at), 0) / 1000 AS seconds
  FROM (
    SELECT loop, run_id, min(arrived_at) AS seen_at FROM loopscope.run_ends WHERE $__timeFilter_ms(run_ends.arrived_at) GROUP BY loop, run_id
  ) AS e
  INNER JOIN (SELECT p.loop AS loop, p.run_id AS run_id, max(p.ended_at) AS ended_at FROM loopscope.run_parts AS p GROUP BY loop, run_id) AS r
    ON r.loop = e.loop AND r.run_id = e.run_id
)
GROUP BY time
ORDER BY time`;

export const suites = `
SELECT
  suite AS "Suite",
  argMax(state, (at, state != 'started')) AS "Last job",
  max(due_at) AS "Due last",
  maxIf(at, state = 'done') AS "Done last",
  max(lateness) AS "Latest start",
  countIf(state = 'done') AS "Done",
  countIf(state = 'failed') AS "Failed",
  sumIf(scored, state = 'done') AS "Runs scored",
  sumIf(errors, state = 'done') AS "Without a score",
  argMaxIf(message, at, state = 'failed') AS "Last failure"
FROM (
  SELECT *, if(state = 'started', greatest(dateDiff('millisecond', due_at, at), 0) / 1000, 0) AS lateness
  FROM loopscope.eval_jobs
  WHERE $__timeFilter_ms(at)
)
GROUP BY suite
ORDER BY "Last job" = 'failed' DESC, "Due last"
LIMIT 200`;

export const jobs = `
SELECT $__timeInterval(at) AS time, toString(state) AS state, count() AS jobs
FROM loopscope.eval_jobs
WHERE $__timeFilter_ms(at) AND state IN ('done', 'failed')
GROUP BY time, state
ORDER BY time, state`;

export const late = `
SELECT $__timeInterval(at) AS time, max(greatest(dateDiff('millisecond', due_at, at), 0) / 1000) AS "Latest start"
FROM loopscope.eval_jobs
WHERE $__timeFilter_ms(at) AND state = 'started'
GROUP BY time
ORDER BY time`;

export const scores = `
SELECT $__timeInterval(arrived_at) AS time, count(score) AS "Scores", countIf(score IS NULL) AS "Errors"
FROM loopscope.eval_scores
WHERE $__timeFilter_ms(arrived_at)
GROUP BY time
ORDER BY time`;

export const deliveries = `
SELECT $__timeInterval(delivered_at) AS time,
  concat(receiver, if(outcome = 'given_up', ' (given up)', '')) AS destination, count() AS messages
FROM loopscope.alert_deliveries
WHERE $__timeFilter_ms(delivered_at)
GROUP BY time, destination
ORDER BY time, destination`;
