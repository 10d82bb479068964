-- Models that change. Every inserted block of spans folds its calls into `model_uses`: which loop asked for which
-- model, and what came of it. Only minima and maxima are kept, so that spans may come late, twice and in any order.

CREATE TABLE IF NOT EXISTS {{database}}.model_uses {{on_cluster}}
(
    `loop` LowCardinality(String),
    `provider` LowCardinality(String),
    `requested_model` String CODEC(ZSTD(1)),
    `served_model` String CODEC(ZSTD(1)), -- '' where nothing answered
    `outcome` LowCardinality(String), -- answered | not_found | failed
    `first_at` SimpleAggregateFunction(min, DateTime64(9)),
    `last_at` SimpleAggregateFunction(max, DateTime64(9)),
    `first_trace_id` AggregateFunction(argMin, String, DateTime64(9)),
    `last_trace_id` AggregateFunction(argMax, String, DateTime64(9)),
    `stored_at` SimpleAggregateFunction(max, DateTime64(3))
)
ENGINE = {{engine:AggregatingMergeTree}}
ORDER BY (loop, provider, requested_model, served_model, outcome)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.model_uses_mv {{on_cluster}}
TO {{database}}.model_uses
AS SELECT
    Loop AS loop,
    Provider AS provider,
    toString(RequestModel) AS requested_model,
    if(outcome = 'answered', toString(ResponseModel), '') AS served_model,
    multiIf(
        -- Anthropic has one word for everything that is not there; of a model call it is the model.
        ErrorType = 'model_not_found' OR (Provider = 'anthropic' AND ErrorType = 'not_found_error'), 'not_found',
        ResponseModel != '', 'answered',
        'failed') AS outcome,
    min(Timestamp) AS first_at,
    max(Timestamp) AS last_at,
    argMinState(TraceId, Timestamp) AS first_trace_id,
    argMaxState(TraceId, Timestamp) AS last_trace_id,
    now64(3) AS stored_at
FROM {{database}}.otel_traces
WHERE Record = 'call' AND Loop != '' AND RequestModel != ''
GROUP BY loop, provider, requested_model, served_model, outcome;

-- What became known of a model that a loop uses. Append-only; the id is made of what happened, and an event that is
-- told twice is one.
CREATE TABLE IF NOT EXISTS {{database}}.model_events {{on_cluster}}
(
    `event_id` String,
    `at` DateTime64(3),
    `kind` LowCardinality(String), -- served_model_changed | retirement_near | model_not_found
    `loop` LowCardinality(String),
    `provider` LowCardinality(String),
    `model` String, -- the one that the event is about
    `requested_model` String,
    `served_model` String,
    `previous_model` String,
    `retires_at` Nullable(Date32),
    `replacement` String,
    `source` String,
    `trace_id` String
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, at, event_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- The retirements that evals go by, a set of rows each time they change. The newest set is in force.
CREATE TABLE IF NOT EXISTS {{database}}.model_calendar {{on_cluster}}
(
    `version` String,
    `stored_at` DateTime64(3),
    `origin` LowCardinality(String), -- shipped | settings | list
    `provider` LowCardinality(String),
    `model` String,
    `retires_at` Date32,
    `replacement` String,
    `source` String,
    `checked_at` Date32
)
ENGINE = {{engine:MergeTree}}
ORDER BY (stored_at, version, provider, model)
SETTINGS non_replicated_deduplication_window = 10000;

-- Up to when `model_uses` was looked at, and that the spans from before it are in it.
CREATE TABLE IF NOT EXISTS {{database}}.model_watermarks {{on_cluster}}
(
    `name` LowCardinality(String), -- uses | history
    `at` DateTime64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (name, at)
SETTINGS non_replicated_deduplication_window = 10000;
