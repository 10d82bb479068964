-- Log records and events. The OTel ClickHouse exporter's columns come first, by name and type as it has them (its
-- version 0.160, without the Kubernetes columns that it computes for itself); ours follow, computed on insert.

CREATE TABLE IF NOT EXISTS {{database}}.otel_logs {{on_cluster}}
(
    `Timestamp` DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    `TraceId` String CODEC(ZSTD(1)),
    `SpanId` String CODEC(ZSTD(1)),
    `TraceFlags` UInt8,
    `SeverityText` LowCardinality(String) CODEC(ZSTD(1)),
    `SeverityNumber` UInt8,
    `ServiceName` LowCardinality(String) CODEC(ZSTD(1)),
    `Body` String CODEC(ZSTD(1)),
    `ResourceSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `ResourceAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `ScopeSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeName` String CODEC(ZSTD(1)),
    `ScopeVersion` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `LogAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `EventName` String CODEC(ZSTD(1)),

    `Loop` LowCardinality(String) MATERIALIZED LogAttributes['loopscope.loop'],
    `RunId` String MATERIALIZED LogAttributes['loopscope.run.id'] CODEC(ZSTD(1)),
    `Agent` LowCardinality(String) MATERIALIZED LogAttributes['gen_ai.agent.name'],
    `Operation` LowCardinality(String) MATERIALIZED LogAttributes['gen_ai.operation.name'],
    `Provider` LowCardinality(String) MATERIALIZED LogAttributes['gen_ai.provider.name'],
    `RequestModel` LowCardinality(String) MATERIALIZED LogAttributes['gen_ai.request.model'],
    `ResponseModel` LowCardinality(String) MATERIALIZED LogAttributes['gen_ai.response.model'],
    -- NULL is "nobody said", which is not 0.
    `InputTokens` Nullable(UInt64) MATERIALIZED toUInt64OrNull(LogAttributes['gen_ai.usage.input_tokens']),
    `OutputTokens` Nullable(UInt64) MATERIALIZED toUInt64OrNull(LogAttributes['gen_ai.usage.output_tokens']),
    `CostUsd` Nullable(Float64) MATERIALIZED toFloat64OrNull(LogAttributes['loopscope.cost_usd']),
    `ErrorType` LowCardinality(String) MATERIALIZED LogAttributes['error.type'],

    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_run_id RunId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_event_name EventName TYPE set(100) GRANULARITY 1,
    INDEX idx_body Body TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8
)
ENGINE = {{engine:MergeTree}}
PARTITION BY toDate(Timestamp)
ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

-- What evaluators said of runs, by the GenAI conventions: as log records of their own, or as events of spans.
CREATE VIEW IF NOT EXISTS {{database}}.evaluations {{on_cluster}}
AS
SELECT
    Timestamp AS at,
    Loop AS loop,
    RunId AS run_id,
    TraceId AS trace_id,
    SpanId AS span_id,
    LogAttributes['gen_ai.evaluation.name'] AS name,
    -- NULL where there is none: an evaluation that failed is no score of 0.
    toFloat64OrNull(LogAttributes['gen_ai.evaluation.score.value']) AS score,
    LogAttributes['gen_ai.evaluation.score.label'] AS label,
    LogAttributes['gen_ai.evaluation.explanation'] AS explanation,
    LogAttributes['gen_ai.response.id'] AS response_id,
    LogAttributes['error.type'] AS error_type,
    'log' AS source
FROM {{database}}.otel_logs
WHERE EventName = 'gen_ai.evaluation.result'
UNION ALL
SELECT
    event_at AS at,
    Loop AS loop,
    RunId AS run_id,
    TraceId AS trace_id,
    SpanId AS span_id,
    event['gen_ai.evaluation.name'] AS name,
    toFloat64OrNull(event['gen_ai.evaluation.score.value']) AS score,
    event['gen_ai.evaluation.score.label'] AS label,
    event['gen_ai.evaluation.explanation'] AS explanation,
    if(event['gen_ai.response.id'] != '', event['gen_ai.response.id'], SpanAttributes['gen_ai.response.id']) AS response_id,
    event['error.type'] AS error_type,
    'span' AS source
FROM {{database}}.otel_traces
ARRAY JOIN
    `Events.Timestamp` AS event_at,
    `Events.Name` AS event_name,
    `Events.Attributes` AS event
WHERE has(`Events.Name`, 'gen_ai.evaluation.result') AND event_name = 'gen_ai.evaluation.result';
