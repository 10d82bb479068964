-- Alerts, a row each change of state, and what was delivered to whom. Append-only.

CREATE TABLE IF NOT EXISTS {{database}}.alerts {{on_cluster}}
(
    `alert_id` String,
    `loop` LowCardinality(String),
    `kind` LowCardinality(String),
    `state` LowCardinality(String), -- firing | resolved
    `at` DateTime64(3),
    `started_at` DateTime64(3),
    `change_at` DateTime64(3),
    `change_at_run` UInt64,
    `cause` String,    -- JSON {dimension, from, to} or null
    `evidence` String CODEC(ZSTD(3)) -- JSON
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, kind, alert_id, at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {{database}}.alert_deliveries {{on_cluster}}
(
    `delivery_key` String, -- alert id, state and receiver
    `alert_id` String,
    `state` LowCardinality(String),
    `receiver` String,
    `delivered_at` DateTime64(3),
    `attempts` UInt32
)
ENGINE = {{engine:MergeTree}}
ORDER BY (delivery_key)
SETTINGS non_replicated_deduplication_window = 10000;
