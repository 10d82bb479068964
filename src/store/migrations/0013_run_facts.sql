-- What a run says of itself that its calls do not: what kind of task it had, and the version of the golden data that
-- its own score was made with. Only runs that say so have a row.

CREATE TABLE IF NOT EXISTS {{database}}.run_facts {{on_cluster}}
(
    `loop` LowCardinality(String),
    `run_id` String,
    `task` LowCardinality(String),
    `dataset_version` LowCardinality(String)
)
ENGINE = {{engine:ReplacingMergeTree}}
ORDER BY (loop, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.run_facts_mv {{on_cluster}}
TO {{database}}.run_facts
AS SELECT
    Loop AS loop,
    RunId AS run_id,
    SpanAttributes['loopscope.task'] AS task,
    SpanAttributes['loopscope.dataset.version'] AS dataset_version
FROM {{database}}.otel_traces
WHERE Record = 'run' AND RunId != '' AND (task != '' OR dataset_version != '');
