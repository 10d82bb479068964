-- What dashboards and alert rules add up over days, added up on arrival: their queries then cost what there is to show
-- and not what was stored. Only sums and mergeable states, so that spans may come late and in any order; a block that
-- is inserted again under its token counts once here too, as in `run_parts`.
--
-- Each table is emptied and filled from the spans that are there before its view is made, so that this may be begun anew.
-- Spans that somebody inserts between the two are missing in the sums.

-- Model calls. `origin` keeps apart what a loop's runs did (run), what evals asked its agents (probe), what replays did
-- (replay) and calls that belong to no run (none). Tokens and costs are NULL where nobody said any; answered calls of which
-- nobody said are counted beside them. Durations and times to the first chunk are in seconds.
CREATE TABLE IF NOT EXISTS {{database}}.calls_by_minute {{on_cluster}}
(
    `minute` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `origin` LowCardinality(String),
    `loop` LowCardinality(String),
    `agent` LowCardinality(String),
    `agent_role` LowCardinality(String),
    `parent_agent` LowCardinality(String),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `served_model` LowCardinality(String),
    `error_type` LowCardinality(String),
    `calls` SimpleAggregateFunction(sum, UInt64),
    `errors` SimpleAggregateFunction(sum, UInt64),
    `input_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `output_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `cost_usd` SimpleAggregateFunction(sum, Nullable(Float64)),
    `calls_without_usage` SimpleAggregateFunction(sum, UInt64),
    `calls_without_cost` SimpleAggregateFunction(sum, UInt64),
    `duration` AggregateFunction(quantileTDigest, Float32),
    `first_chunk` AggregateFunction(quantileTDigest, Float32)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(minute)
ORDER BY (loop, minute, origin, agent, agent_role, parent_agent, provider, request_model, served_model, error_type)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {{database}}.calls_by_hour {{on_cluster}}
(
    `hour` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `origin` LowCardinality(String),
    `loop` LowCardinality(String),
    `agent` LowCardinality(String),
    `agent_role` LowCardinality(String),
    `parent_agent` LowCardinality(String),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `served_model` LowCardinality(String),
    `error_type` LowCardinality(String),
    `calls` SimpleAggregateFunction(sum, UInt64),
    `errors` SimpleAggregateFunction(sum, UInt64),
    `input_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `output_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `cost_usd` SimpleAggregateFunction(sum, Nullable(Float64)),
    `calls_without_usage` SimpleAggregateFunction(sum, UInt64),
    `calls_without_cost` SimpleAggregateFunction(sum, UInt64),
    `duration` AggregateFunction(quantileTDigest, Float32),
    `first_chunk` AggregateFunction(quantileTDigest, Float32)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(hour)
ORDER BY (loop, hour, origin, agent, agent_role, parent_agent, provider, request_model, served_model, error_type)
SETTINGS non_replicated_deduplication_window = 10000;

-- The same by model, whoever asks: tables that grow with time and models and not with calls.
CREATE TABLE IF NOT EXISTS {{database}}.latency_by_minute {{on_cluster}}
(
    `minute` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `origin` LowCardinality(String),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `served_model` LowCardinality(String),
    `calls` SimpleAggregateFunction(sum, UInt64),
    `errors` SimpleAggregateFunction(sum, UInt64),
    `input_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `output_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `cost_usd` SimpleAggregateFunction(sum, Nullable(Float64)),
    `duration` AggregateFunction(quantileTDigest, Float32),
    `first_chunk` AggregateFunction(quantileTDigest, Float32)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, origin, provider, request_model, served_model)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {{database}}.latency_by_hour {{on_cluster}}
(
    `hour` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `origin` LowCardinality(String),
    `provider` LowCardinality(String),
    `request_model` LowCardinality(String),
    `served_model` LowCardinality(String),
    `calls` SimpleAggregateFunction(sum, UInt64),
    `errors` SimpleAggregateFunction(sum, UInt64),
    `input_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `output_tokens` SimpleAggregateFunction(sum, Nullable(UInt64)),
    `cost_usd` SimpleAggregateFunction(sum, Nullable(Float64)),
    `duration` AggregateFunction(quantileTDigest, Float32),
    `first_chunk` AggregateFunction(quantileTDigest, Float32)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, origin, provider, request_model, served_model)
SETTINGS non_replicated_deduplication_window = 10000;

-- Attempts of calls at the targets of a virtual model.
CREATE TABLE IF NOT EXISTS {{database}}.attempts_by_minute {{on_cluster}}
(
    `minute` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `loop` LowCardinality(String),
    `target` LowCardinality(String),
    `outcome` LowCardinality(String),
    `error_type` LowCardinality(String),
    `attempts` SimpleAggregateFunction(sum, UInt64)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, target, outcome, error_type, loop)
SETTINGS non_replicated_deduplication_window = 10000;

-- What runs came to, by the minute in which they began, were judged, or changed something. A run that is judged twice has
-- two verdicts here; in `runs` the last one counts.
CREATE TABLE IF NOT EXISTS {{database}}.outcomes_by_minute {{on_cluster}}
(
    `minute` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `loop` LowCardinality(String),
    `runs` SimpleAggregateFunction(sum, UInt64),
    `runs_failed` SimpleAggregateFunction(sum, UInt64),
    `verdicts` SimpleAggregateFunction(sum, UInt64),
    `passes` SimpleAggregateFunction(sum, UInt64),
    `effects` SimpleAggregateFunction(sum, UInt64),
    `effects_rejected` SimpleAggregateFunction(sum, UInt64)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(minute)
ORDER BY (loop, minute)
SETTINGS non_replicated_deduplication_window = 10000;

-- The roles' own metrics, of which there is a reading every 15 seconds, by series: how far a count got, which only grows
-- while its process (instance) lives, and how a gauge stood last.
CREATE TABLE IF NOT EXISTS {{database}}.own_counts_by_5_minutes {{on_cluster}}
(
    `at` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `service` LowCardinality(String),
    `name` LowCardinality(String),
    `instance` String CODEC(ZSTD(1)),
    `series` UInt64,
    `attributes` SimpleAggregateFunction(any, Map(String, String)),
    `value` SimpleAggregateFunction(max, Float64)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(at)
ORDER BY (service, name, at, instance, series)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {{database}}.own_gauges_by_5_minutes {{on_cluster}}
(
    `at` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `service` LowCardinality(String),
    `name` LowCardinality(String),
    `instance` String CODEC(ZSTD(1)),
    `series` UInt64,
    `attributes` SimpleAggregateFunction(any, Map(String, String)),
    `value` AggregateFunction(argMax, Float64, DateTime)
)
ENGINE = {{engine:AggregatingMergeTree}}
PARTITION BY toYYYYMM(at)
ORDER BY (service, name, at, instance, series)
SETTINGS non_replicated_deduplication_window = 10000;

ALTER TABLE {{database}}.calls_by_minute {{on_cluster}} DROP PARTITION ALL;

INSERT INTO {{database}}.calls_by_minute
SELECT
    toStartOfMinute(toDateTime(Timestamp, 'UTC')) AS minute,
    multiIf(startsWith(Record, 'replay.'), 'replay', SpanAttributes['loopscope.probe'] = 'true', 'probe', RunId != '', 'run', 'none') AS origin,
    Loop AS loop,
    Agent AS agent,
    AgentRole AS agent_role,
    ParentAgent AS parent_agent,
    Provider AS provider,
    RequestModel AS request_model,
    ResponseModel AS served_model,
    ErrorType AS error_type,
    count() AS calls,
    countIf(StatusCode = 'Error') AS errors,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(CostUsd) AS cost_usd,
    countIf(OutputTokens IS NULL AND StatusCode != 'Error') AS calls_without_usage,
    countIf(CostUsd IS NULL AND StatusCode != 'Error') AS calls_without_cost,
    quantileTDigestState(toFloat32(Duration / 1e9)) AS duration,
    quantileTDigestStateIf(
        toFloat32OrZero(SpanAttributes['gen_ai.response.time_to_first_chunk']),
        SpanAttributes['gen_ai.response.time_to_first_chunk'] != '') AS first_chunk
FROM {{database}}.otel_traces
WHERE Record IN ('call', 'replay.call')
GROUP BY minute, origin, loop, agent, agent_role, parent_agent, provider, request_model, served_model, error_type;

ALTER TABLE {{database}}.calls_by_hour {{on_cluster}} DROP PARTITION ALL;

INSERT INTO {{database}}.calls_by_hour
SELECT
    toStartOfHour(minute) AS hour,
    origin, loop, agent, agent_role, parent_agent, provider, request_model, served_model, error_type,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cost_usd) AS cost_usd,
    sum(calls_without_usage) AS calls_without_usage,
    sum(calls_without_cost) AS calls_without_cost,
    quantileTDigestMergeState(duration) AS duration,
    quantileTDigestMergeState(first_chunk) AS first_chunk
FROM {{database}}.calls_by_minute
GROUP BY hour, origin, loop, agent, agent_role, parent_agent, provider, request_model, served_model, error_type;

ALTER TABLE {{database}}.latency_by_minute {{on_cluster}} DROP PARTITION ALL;

INSERT INTO {{database}}.latency_by_minute
SELECT
    minute,
    origin, provider, request_model, served_model,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cost_usd) AS cost_usd,
    quantileTDigestMergeState(duration) AS duration,
    quantileTDigestMergeState(first_chunk) AS first_chunk
FROM {{database}}.calls_by_minute
GROUP BY minute, origin, provider, request_model, served_model;

ALTER TABLE {{database}}.latency_by_hour {{on_cluster}} DROP PARTITION ALL;

INSERT INTO {{database}}.latency_by_hour
SELECT
    toStartOfHour(minute) AS hour,
    origin, provider, request_model, served_model,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cost_usd) AS cost_usd,
    quantileTDigestMergeState(duration) AS duration,
    quantileTDigestMergeState(first_chunk) AS first_chunk
FROM {{database}}.latency_by_minute
GROUP BY hour, origin, provider, request_model, served_model;

ALTER TABLE {{database}}.attempts_by_minute {{on_cluster}} DROP PARTITION ALL;

INSERT INTO {{database}}.attempts_by_minute
SELECT
    toStartOfMinute(toDateTime(Timestamp, 'UTC')) AS minute,
    Loop AS loop,
    SpanAttributes['loopscope.attempt.target'] AS target,
    SpanAttributes['loopscope.attempt.outcome'] AS outcome,
    ErrorType AS error_type,
    count() AS attempts
FROM {{database}}.otel_traces
WHERE Record = 'attempt'
GROUP BY minute, loop, target, outcome, error_type;

ALTER TABLE {{database}}.outcomes_by_minute {{on_cluster}} DROP PARTITION ALL;

INSERT INTO {{database}}.outcomes_by_minute
SELECT
    toStartOfMinute(toDateTime(Timestamp, 'UTC')) AS minute,
    Loop AS loop,
    countIf(Record = 'run') AS runs,
    countIf(Record = 'run' AND (StatusCode = 'Error' OR SpanAttributes['loopscope.outcome'] = 'error')) AS runs_failed,
    countIf(SpanAttributes['loopscope.verdict.pass'] != '') AS verdicts,
    countIf(SpanAttributes['loopscope.verdict.pass'] = 'true') AS passes,
    countIf(Record = 'effect') AS effects,
    countIf(Record = 'effect' AND SpanAttributes['loopscope.effect.accepted'] = 'false') AS effects_rejected
FROM {{database}}.otel_traces
WHERE Loop != '' AND RunId != '' AND (Record IN ('run', 'effect') OR SpanAttributes['loopscope.verdict.pass'] != '')
GROUP BY minute, loop;

ALTER TABLE {{database}}.own_counts_by_5_minutes {{on_cluster}} DROP PARTITION ALL;

INSERT INTO {{database}}.own_counts_by_5_minutes
SELECT
    toStartOfFiveMinutes(toTimeZone(TimeUnix, 'UTC')) AS at,
    ServiceName AS service,
    MetricName AS name,
    ResourceAttributes['service.instance.id'] AS instance,
    cityHash64(Attributes) AS series,
    any(CAST(Attributes, 'Map(String, String)')) AS attributes,
    max(Value) AS value
FROM {{database}}.otel_metrics_sum
WHERE startsWith(ServiceName, 'loopscope-')
GROUP BY at, service, name, instance, series;

ALTER TABLE {{database}}.own_gauges_by_5_minutes {{on_cluster}} DROP PARTITION ALL;

INSERT INTO {{database}}.own_gauges_by_5_minutes
SELECT
    toStartOfFiveMinutes(toTimeZone(TimeUnix, 'UTC')) AS at,
    ServiceName AS service,
    MetricName AS name,
    ResourceAttributes['service.instance.id'] AS instance,
    cityHash64(Attributes) AS series,
    any(CAST(Attributes, 'Map(String, String)')) AS attributes,
    argMaxState(Value, TimeUnix) AS value
FROM {{database}}.otel_metrics_gauge
WHERE startsWith(ServiceName, 'loopscope-')
GROUP BY at, service, name, instance, series;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.calls_by_minute_mv {{on_cluster}}
TO {{database}}.calls_by_minute
AS SELECT
    toStartOfMinute(toDateTime(Timestamp, 'UTC')) AS minute,
    multiIf(startsWith(Record, 'replay.'), 'replay', SpanAttributes['loopscope.probe'] = 'true', 'probe', RunId != '', 'run', 'none') AS origin,
    Loop AS loop,
    Agent AS agent,
    AgentRole AS agent_role,
    ParentAgent AS parent_agent,
    Provider AS provider,
    RequestModel AS request_model,
    ResponseModel AS served_model,
    ErrorType AS error_type,
    count() AS calls,
    countIf(StatusCode = 'Error') AS errors,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sum(CostUsd) AS cost_usd,
    countIf(OutputTokens IS NULL AND StatusCode != 'Error') AS calls_without_usage,
    countIf(CostUsd IS NULL AND StatusCode != 'Error') AS calls_without_cost,
    quantileTDigestState(toFloat32(Duration / 1e9)) AS duration,
    quantileTDigestStateIf(
        toFloat32OrZero(SpanAttributes['gen_ai.response.time_to_first_chunk']),
        SpanAttributes['gen_ai.response.time_to_first_chunk'] != '') AS first_chunk
FROM {{database}}.otel_traces
WHERE Record IN ('call', 'replay.call')
GROUP BY minute, origin, loop, agent, agent_role, parent_agent, provider, request_model, served_model, error_type;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.calls_by_hour_mv {{on_cluster}}
TO {{database}}.calls_by_hour
AS SELECT
    toStartOfHour(minute) AS hour,
    origin, loop, agent, agent_role, parent_agent, provider, request_model, served_model, error_type,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cost_usd) AS cost_usd,
    sum(calls_without_usage) AS calls_without_usage,
    sum(calls_without_cost) AS calls_without_cost,
    quantileTDigestMergeState(duration) AS duration,
    quantileTDigestMergeState(first_chunk) AS first_chunk
FROM {{database}}.calls_by_minute
GROUP BY hour, origin, loop, agent, agent_role, parent_agent, provider, request_model, served_model, error_type;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.latency_by_minute_mv {{on_cluster}}
TO {{database}}.latency_by_minute
AS SELECT
    minute,
    origin, provider, request_model, served_model,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cost_usd) AS cost_usd,
    quantileTDigestMergeState(duration) AS duration,
    quantileTDigestMergeState(first_chunk) AS first_chunk
FROM {{database}}.calls_by_minute
GROUP BY minute, origin, provider, request_model, served_model;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.latency_by_hour_mv {{on_cluster}}
TO {{database}}.latency_by_hour
AS SELECT
    toStartOfHour(minute) AS hour,
    origin, provider, request_model, served_model,
    sum(calls) AS calls,
    sum(errors) AS errors,
    sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens,
    sum(cost_usd) AS cost_usd,
    quantileTDigestMergeState(duration) AS duration,
    quantileTDigestMergeState(first_chunk) AS first_chunk
FROM {{database}}.latency_by_minute
GROUP BY hour, origin, provider, request_model, served_model;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.attempts_by_minute_mv {{on_cluster}}
TO {{database}}.attempts_by_minute
AS SELECT
    toStartOfMinute(toDateTime(Timestamp, 'UTC')) AS minute,
    Loop AS loop,
    SpanAttributes['loopscope.attempt.target'] AS target,
    SpanAttributes['loopscope.attempt.outcome'] AS outcome,
    ErrorType AS error_type,
    count() AS attempts
FROM {{database}}.otel_traces
WHERE Record = 'attempt'
GROUP BY minute, loop, target, outcome, error_type;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.outcomes_by_minute_mv {{on_cluster}}
TO {{database}}.outcomes_by_minute
AS SELECT
    toStartOfMinute(toDateTime(Timestamp, 'UTC')) AS minute,
    Loop AS loop,
    countIf(Record = 'run') AS runs,
    countIf(Record = 'run' AND (StatusCode = 'Error' OR SpanAttributes['loopscope.outcome'] = 'error')) AS runs_failed,
    countIf(SpanAttributes['loopscope.verdict.pass'] != '') AS verdicts,
    countIf(SpanAttributes['loopscope.verdict.pass'] = 'true') AS passes,
    countIf(Record = 'effect') AS effects,
    countIf(Record = 'effect' AND SpanAttributes['loopscope.effect.accepted'] = 'false') AS effects_rejected
FROM {{database}}.otel_traces
WHERE Loop != '' AND RunId != '' AND (Record IN ('run', 'effect') OR SpanAttributes['loopscope.verdict.pass'] != '')
GROUP BY minute, loop;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.own_counts_by_5_minutes_mv {{on_cluster}}
TO {{database}}.own_counts_by_5_minutes
AS SELECT
    toStartOfFiveMinutes(toTimeZone(TimeUnix, 'UTC')) AS at,
    ServiceName AS service,
    MetricName AS name,
    ResourceAttributes['service.instance.id'] AS instance,
    cityHash64(Attributes) AS series,
    any(CAST(Attributes, 'Map(String, String)')) AS attributes,
    max(Value) AS value
FROM {{database}}.otel_metrics_sum
WHERE startsWith(ServiceName, 'loopscope-')
GROUP BY at, service, name, instance, series;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.own_gauges_by_5_minutes_mv {{on_cluster}}
TO {{database}}.own_gauges_by_5_minutes
AS SELECT
    toStartOfFiveMinutes(toTimeZone(TimeUnix, 'UTC')) AS at,
    ServiceName AS service,
    MetricName AS name,
    ResourceAttributes['service.instance.id'] AS instance,
    cityHash64(Attributes) AS series,
    any(CAST(Attributes, 'Map(String, String)')) AS attributes,
    argMaxState(Value, TimeUnix) AS value
FROM {{database}}.otel_metrics_gauge
WHERE startsWith(ServiceName, 'loopscope-')
GROUP BY at, service, name, instance, series;
