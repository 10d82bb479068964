import { chosen, scoredRuns } from './words.ts';

/** One run: its trace, its calls, what it was judged and what it changed. */

const RUN = `loop = ${chosen('loop')} AND run_id = ${chosen('run')}`;

/** The traces of the run, and when they began and ended: spans are looked up by that. */
const TRACES = `
WITH
  (SELECT groupUniqArray(trace_id) FROM loopscope.run_parts WHERE ${RUN} AND trace_id != '') AS traces,
  (SELECT min(Start) FROM loopscope.otel_traces_trace_id_ts WHERE has(traces, TraceId)) AS first_at,
  (SELECT max(End) + 1 FROM loopscope.otel_traces_trace_id_ts WHERE has(traces, TraceId)) AS last_at`;

const IN_TRACES = 'has(traces, TraceId) AND Timestamp >= first_at AND Timestamp <= last_at';

const OF_RUN = `${IN_TRACES} AND Loop = ${chosen('loop')} AND RunId = ${chosen('run')}`;

export const summary = `
SELECT
  state AS "State",
  multiIf(checker_pass IS NULL, 'none', checker_pass = 1, 'pass', 'fail') AS "Verdict",
  golden_score AS "Golden score",
  effects AS "Effects",
  cost_usd AS "Cost",
  input_tokens + output_tokens AS "Tokens",
  calls AS "Calls",
  errors AS "Errors",
  dateDiff('millisecond', started_at, ended_at) AS "Took"
FROM ${scoredRuns(RUN)}`;

/** The columns are Grafana's own for a trace. */
export const trace = `${TRACES}
SELECT
  TraceId AS traceID,
  SpanId AS spanID,
  ParentSpanId AS parentSpanID,
  if(Agent != '', concat(toString(ServiceName), ' / ', toString(Agent)), toString(ServiceName)) AS serviceName,
  SpanName AS operationName,
  toUnixTimestamp64Nano(Timestamp) / 1e6 AS startTime,
  Duration / 1e6 AS duration,
  arrayMap(k -> map('key', k, 'value', SpanAttributes[k]), mapKeys(SpanAttributes)) AS tags,
  arrayMap(k -> map('key', k, 'value', ResourceAttributes[k]), mapKeys(ResourceAttributes)) AS serviceTags,
  if(StatusCode IN ('Error', 'STATUS_CODE_ERROR'), 2, 0) AS statusCode,
  SpanKind AS kind,
  StatusMessage AS statusMessage,
  arrayMap(
    (name, at, attributes) -> (name, toString(toUnixTimestamp64Milli(at)),
      arrayMap(k -> map('key', k, 'value', attributes[k]), mapKeys(attributes)))::Tuple(name String, timestamp String, fields Array(Map(String, String))),
    \`Events.Name\`, \`Events.Timestamp\`, \`Events.Attributes\`) AS logs
FROM loopscope.otel_traces
WHERE ${IN_TRACES}
ORDER BY Timestamp
LIMIT 10000`;

export const calls = `${TRACES}
SELECT
  Timestamp AS "Time",
  multiIf(Operation = 'execute_tool', 'tool', Record = 'attempt', 'attempt', 'model') AS "Call",
  Agent AS "Agent",
  AgentRole AS "Role",
  multiIf(
    Operation = 'execute_tool', SpanAttributes['gen_ai.tool.name'],
    Record = 'attempt', SpanAttributes['loopscope.attempt.target'],
    toString(RequestModel)) AS "Asked",
  ResponseModel AS "Answered by",
  toUInt16OrNull(SpanAttributes['http.response.status_code']) AS "Status",
  toString(ErrorType) AS "Error",
  toFloat64OrNull(SpanAttributes['gen_ai.response.time_to_first_chunk']) AS "First chunk",
  Duration / 1e9 AS "Took",
  InputTokens AS "Tokens in",
  OutputTokens AS "Tokens out",
  CostUsd AS "Cost"
FROM loopscope.otel_traces
WHERE ${OF_RUN} AND (Record IN ('call', 'attempt') OR Operation = 'execute_tool')
ORDER BY Timestamp
LIMIT 2000`;

/** Nothing of what was said: whose it was, and the hashes that stand for it in \`messages\`. */
export const said = `${TRACES}
SELECT at AS "Time", agent AS "Agent", side AS "Side", n AS "No.", hash AS "Message"
FROM (
  SELECT Timestamp AS at, Agent AS agent,
    arrayConcat(
      arrayMap((hash, n) -> ('asked', n, hash), asked, arrayEnumerate(asked)),
      arrayMap((hash, n) -> ('answered', n, hash), answered, arrayEnumerate(answered))) AS messages,
    JSONExtract(SpanAttributes['loopscope.input.messages.hashes'], 'Array(String)') AS asked,
    JSONExtract(SpanAttributes['loopscope.output.messages.hashes'], 'Array(String)') AS answered
  FROM loopscope.otel_traces
  WHERE ${OF_RUN} AND Record = 'call'
)
ARRAY JOIN messages.1 AS side, messages.2 AS n, messages.3 AS hash
ORDER BY at, side, n
LIMIT 500`;

/** Verdicts, effects, scores and alerts, in their order. */
export const outcome = `${TRACES}
SELECT at AS "Time", what AS "What", result AS "Result", details AS "Details"
FROM (
  SELECT Timestamp AS at, 'verdict' AS what, if(SpanAttributes['loopscope.verdict.pass'] = 'true', 'pass', 'fail') AS result,
    trimBoth(concat(SpanAttributes['loopscope.checker.name'], ' ', SpanAttributes['loopscope.checker.version'])) AS details
  FROM loopscope.otel_traces
  WHERE ${OF_RUN} AND SpanAttributes['loopscope.verdict.pass'] != ''
  UNION ALL
  SELECT Timestamp, 'effect', if(SpanAttributes['loopscope.effect.accepted'] = 'false', 'turned down', 'made'),
    SpanAttributes['loopscope.effect.name']
  FROM loopscope.otel_traces
  WHERE ${OF_RUN} AND Record = 'effect'
  UNION ALL
  SELECT scored_at, concat('score of ', if(suite = '', 'the record', suite)), if(score IS NULL, 'none', toString(round(assumeNotNull(score), 3))),
    if(error != '', error, concat('item ', item_id))
  FROM loopscope.eval_scores
  WHERE ${RUN}
  UNION ALL
  SELECT toDateTime64(max(ended_at), 9), 'end', any(state), '' FROM loopscope.runs WHERE ${RUN} HAVING count() > 0
)
ORDER BY at`;
