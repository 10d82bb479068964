import { increases, levels } from './metrics.ts';
import { among, byTime, STEP, STEP_S } from './words.ts';

/** What goes through the gateway: calls from spans, everything else from its own metrics. */

/** All calls, whoever made them: of runs, of probes and of replays. */
const CALLS = `${byTime('latency', among('model', 'request_model'))} AS c`;

/** NULL, and no line, where no call says. */
const quantile = (level: number, state: string) =>
  `ifNotFinite(quantileTDigestMerge(${level})(c.${state}), NULL)`;

export const calls = `
SELECT
  sum(c.calls) / greatest(dateDiff('second', $__fromTime, $__toTime), 1) AS "Calls a second",
  if(sum(c.calls) = 0, NULL, sum(c.errors) / sum(c.calls)) AS "Errors",
  ${quantile(0.95, 'duration')} AS "Whole answer, p95",
  ${quantile(0.95, 'first_chunk')} AS "First chunk, p95"
FROM ${CALLS}`;

/** Calls by the minute in which they began, a second. */
export const traffic = `
SELECT ${STEP} AS time, toString(provider) AS provider, sum(c.calls) / ${STEP_S} AS calls
FROM ${CALLS}
GROUP BY time, provider
ORDER BY time, provider`;

export const errors = `
SELECT ${STEP} AS time, if(error_type = '', 'none', toString(error_type)) AS error, sum(c.calls) AS calls
FROM ${byTime('calls', among('model', 'request_model'))} AS c
GROUP BY time, error
ORDER BY time, error`;

const latencyOf = (state: string) => `
SELECT ${STEP} AS time,
  ${quantile(0.5, state)} AS p50, ${quantile(0.95, state)} AS p95, ${quantile(0.99, state)} AS p99
FROM ${CALLS}
GROUP BY time
ORDER BY time`;

export const latency = latencyOf('duration');

export const firstChunk = latencyOf('first_chunk');

export const byModel = `
SELECT provider AS "Provider", request_model AS "Asked", served_model AS "Answered by",
  sum(c.calls) AS "Calls", sum(c.errors) AS "Errors",
  sum(c.input_tokens) AS "Tokens in", sum(c.output_tokens) AS "Tokens out", sum(c.cost_usd) AS "Spend",
  ${quantile(0.5, 'duration')} AS "p50", ${quantile(0.95, 'duration')} AS "p95",
  ${quantile(0.95, 'first_chunk')} AS "First chunk, p95"
FROM ${CALLS}
GROUP BY provider, request_model, served_model
ORDER BY "Calls" DESC
LIMIT 100`;

export const statuses = `
SELECT $__timeInterval(at) AS time, concat(Attributes['provider'], ' ', Attributes['status']) AS answer, sum(increase) AS requests
FROM ${increases('gateway', 'loopscope_gateway_requests_total')}
GROUP BY time, answer
ORDER BY time, answer`;

export const attempts = `
SELECT $__timeInterval(at) AS time, concat(Attributes['target'], ' ', Attributes['outcome']) AS attempt, sum(increase) AS attempts
FROM ${increases('gateway', 'loopscope_gateway_attempts_total')}
GROUP BY time, attempt
ORDER BY time, attempt`;

/** The worst that any gateway sees of each target: 0 closed, 1 rate limited, 2 half open, 3 open. */
export const breakers = `
SELECT time, target, max(place) AS breaker
FROM (
  SELECT time, Attributes['target'] AS target,
    indexOf(['closed', 'rate_limited', 'half_open', 'open'], Attributes['state']) - 1 AS place
  FROM ${levels('gateway', 'loopscope_gateway_breaker_state')}
  WHERE value > 0
)
GROUP BY time, target
ORDER BY time, target`;

export const limits = `
SELECT time, series, sum(value) AS calls
FROM (
  SELECT $__timeInterval(at) AS time,
    concat(replaceRegexpOne(name, '^loopscope_(limits|gateway)_(.+)_total$', '\\\\2'),
      if(Attributes['what'] != '', concat(' by ', Attributes['what'], ' of ', Attributes['scope']), ''),
      if(Attributes['percent'] != '', concat(' at ', Attributes['percent'], ' %'), ''),
      if(Attributes['code'] != '', concat(': ', Attributes['code']), '')) AS series,
    increase AS value
  FROM ${increases(
    'gateway',
    'loopscope_limits_refused_total',
    'loopscope_limits_audited_total',
    'loopscope_limits_warnings_total',
    'loopscope_limits_waited_total',
    'loopscope_limits_allowed_away_total',
    'loopscope_gateway_refused_total',
  )}
)
GROUP BY time, series
ORDER BY time, series`;

export const underWay = `
SELECT time, transform(name,
    ['loopscope_limits_under_way', 'loopscope_limits_waiting', 'loopscope_gateway_open_runs', 'loopscope_limits_killed'],
    ['calls under way', 'calls that wait for a limit', 'open runs', 'loops and runs killed'], name) AS what,
  sum(value) AS value
FROM ${levels(
  'gateway',
  'loopscope_limits_under_way',
  'loopscope_limits_waiting',
  'loopscope_gateway_open_runs',
  'loopscope_limits_killed',
)}
GROUP BY time, what
ORDER BY time, what`;

/** What loops spent today, and the most that their own files allow them a day. */
export const budgets = `
SELECT c.loop AS "Loop",
  c.today AS "Spent today",
  c.in_range AS "In this range",
  if(l.loop = '', NULL, l.most) AS "Most a day",
  if(l.loop = '', NULL, c.today / l.most) AS "Used",
  c.calls AS "Calls",
  c.errors AS "Errors"
FROM (
  SELECT loop, sumIf(cost_usd, minute >= toStartOfDay(now('UTC'))) AS today, sumIf(cost_usd, $__timeFilter(minute)) AS in_range,
    sumIf(m.calls, $__timeFilter(minute)) AS calls, sumIf(m.errors, $__timeFilter(minute)) AS errors
  FROM loopscope.calls_by_minute AS m
  WHERE (($__timeFilter(minute)) OR minute >= toStartOfDay(now('UTC'))) AND origin = 'run'
  GROUP BY loop
) AS c
LEFT JOIN (
  SELECT loop, min(JSONExtractFloat(rule, 'max', 'cost_usd')) AS most
  FROM (SELECT loop, argMax(content, seen_at) AS content FROM loopscope.registry_versions GROUP BY loop)
  ARRAY JOIN JSONExtractArrayRaw(content, 'limits') AS rule
  WHERE JSONExtractString(rule, 'window') = 'day' AND JSONExtractFloat(rule, 'max', 'cost_usd') > 0
  GROUP BY loop
) AS l ON l.loop = c.loop
ORDER BY "Spent today" DESC
LIMIT 50`;

export const delivery = `
SELECT time, series, sum(value) AS spans
FROM (
  SELECT $__timeInterval(at) AS time,
    if(name = 'loopscope_gateway_spans_delivered_total', 'delivered', concat('lost: ', Attributes['reason'])) AS series, increase AS value
  FROM ${increases('gateway', 'loopscope_gateway_spans_delivered_total', 'loopscope_gateway_spans_lost_total')}
)
GROUP BY time, series
ORDER BY time, series`;

export const spool = `
SELECT time, sum(value) AS bytes
FROM ${levels('gateway', 'loopscope_gateway_spool_bytes')}
GROUP BY time
ORDER BY time`;

export const replays = `
SELECT $__timeInterval(at) AS time, concat(Attributes['store'], ': ', replaceAll(Attributes['outcome'], '_', ' ')) AS call, sum(increase) AS calls
FROM ${increases('gateway', 'loopscope_gateway_replay_calls_total')}
GROUP BY time, call
ORDER BY time, call`;
