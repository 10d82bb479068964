-- Spans. The OTel ClickHouse exporter's columns come first, by name and type as it has them, so that whatever
-- reads that schema (Grafana's trace view, for one) reads ours. Ours follow, computed from the attributes on
-- insert: dashboards and the views below read these and never the maps.

CREATE TABLE IF NOT EXISTS {{database}}.otel_traces {{on_cluster}}
(
    `Timestamp` DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    `TraceId` String CODEC(ZSTD(1)),
    `SpanId` String CODEC(ZSTD(1)),
    `ParentSpanId` String CODEC(ZSTD(1)),
    `TraceState` String CODEC(ZSTD(1)),
    `SpanName` LowCardinality(String) CODEC(ZSTD(1)),
    `SpanKind` LowCardinality(String) CODEC(ZSTD(1)),
    `ServiceName` LowCardinality(String) CODEC(ZSTD(1)),
    `ResourceAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `ScopeName` String CODEC(ZSTD(1)),
    `ScopeVersion` String CODEC(ZSTD(1)),
    `SpanAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `Duration` UInt64 CODEC(ZSTD(1)),
    `StatusCode` LowCardinality(String) CODEC(ZSTD(1)),
    `StatusMessage` String CODEC(ZSTD(1)),
    `Events` Nested(
        Timestamp DateTime64(9),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    `Links` Nested(
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),

    `Loop` LowCardinality(String) MATERIALIZED SpanAttributes['loopscope.loop'],
    `RunId` String MATERIALIZED SpanAttributes['loopscope.run.id'] CODEC(ZSTD(1)),
    `Agent` LowCardinality(String) MATERIALIZED SpanAttributes['gen_ai.agent.name'],
    `AgentRole` LowCardinality(String) MATERIALIZED SpanAttributes['loopscope.agent.role'],
    `ParentAgent` LowCardinality(String) MATERIALIZED SpanAttributes['loopscope.agent.parent'],
    `Record` LowCardinality(String) MATERIALIZED SpanAttributes['loopscope.record'],
    `Operation` LowCardinality(String) MATERIALIZED SpanAttributes['gen_ai.operation.name'],
    `Provider` LowCardinality(String) MATERIALIZED SpanAttributes['gen_ai.provider.name'],
    `RequestModel` LowCardinality(String) MATERIALIZED SpanAttributes['gen_ai.request.model'],
    `ResponseModel` LowCardinality(String) MATERIALIZED SpanAttributes['gen_ai.response.model'],
    -- NULL is "nobody said", which is not 0.
    `InputTokens` Nullable(UInt64) MATERIALIZED toUInt64OrNull(SpanAttributes['gen_ai.usage.input_tokens']),
    `OutputTokens` Nullable(UInt64) MATERIALIZED toUInt64OrNull(SpanAttributes['gen_ai.usage.output_tokens']),
    `CostUsd` Nullable(Float64) MATERIALIZED toFloat64OrNull(SpanAttributes['loopscope.cost_usd']),
    `ErrorType` LowCardinality(String) MATERIALIZED SpanAttributes['error.type'],

    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_run_id RunId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
)
ENGINE = {{engine:MergeTree}}
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {{database}}.otel_traces_trace_id_ts {{on_cluster}}
(
    `TraceId` String CODEC(ZSTD(1)),
    `Start` DateTime CODEC(Delta(4), ZSTD(1)),
    `End` DateTime CODEC(Delta(4), ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {{engine:MergeTree}}
PARTITION BY toDate(Start)
ORDER BY (TraceId, Start)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.otel_traces_trace_id_ts_mv {{on_cluster}}
TO {{database}}.otel_traces_trace_id_ts
AS SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End
FROM {{database}}.otel_traces
WHERE TraceId != ''
GROUP BY TraceId;
