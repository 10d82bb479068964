-- Golden data, the scores made with it, and the jobs that made them. All append-only. A run is scored once a
-- suite; should two evaluators ever race, the earlier score stands (see the reads).

CREATE TABLE IF NOT EXISTS {{database}}.golden_items {{on_cluster}}
(
    `dataset` LowCardinality(String),
    `version` String,
    `item_id` String,
    `input_hash` String,
    `input` String CODEC(ZSTD(3)),
    `expected` String CODEC(ZSTD(1)),
    `tags` Array(LowCardinality(String)),
    `imported_at` DateTime64(3)
)
ENGINE = {{engine:ReplacingMergeTree}}
ORDER BY (dataset, version, item_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {{database}}.eval_scores {{on_cluster}}
(
    `loop` LowCardinality(String),
    `suite` LowCardinality(String),
    `run_id` String,
    `item_id` String,
    `dataset` LowCardinality(String),
    `dataset_version` String,
    `scorer` LowCardinality(String),
    -- NULL where the scorer failed: `error` then says how. A failure is never a score of 0.
    `score` Nullable(Float64),
    `error` String,
    `scored_at` DateTime64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, suite, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Run records that were imported bring their golden score with them.
CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.eval_scores_from_records_mv {{on_cluster}}
TO {{database}}.eval_scores
AS SELECT
    Loop AS loop,
    '' AS suite,
    RunId AS run_id,
    SpanAttributes['loopscope.item.id'] AS item_id,
    '' AS dataset,
    '' AS dataset_version,
    'record' AS scorer,
    toFloat64OrNull(SpanAttributes['loopscope.golden.score']) AS score,
    '' AS error,
    now64(3) AS scored_at
FROM {{database}}.otel_traces
WHERE Record = 'run' AND SpanAttributes['loopscope.golden.score'] != '';

CREATE TABLE IF NOT EXISTS {{database}}.eval_jobs {{on_cluster}}
(
    `suite` LowCardinality(String),
    `due_at` DateTime64(3),
    `state` LowCardinality(String), -- started | done | failed
    `at` DateTime64(3),
    `scored` UInt32,
    `errors` UInt32,
    `unmatched` UInt32,
    `message` String
)
ENGINE = {{engine:MergeTree}}
ORDER BY (suite, due_at, at)
SETTINGS non_replicated_deduplication_window = 10000;
