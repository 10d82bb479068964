-- Somebody says that what an alert told of is how its loop is to be from now on: the detectors learn it anew.
-- Append-only; by this server's clock, as the arrivals of scores are.
CREATE TABLE IF NOT EXISTS {{database}}.alert_acceptances {{on_cluster}}
(
    `loop` LowCardinality(String),
    `alert_id` String,
    `kinds` Array(LowCardinality(String)), -- of alarms: the alert's own, and those that joined it
    `accepted_by` String,
    `reason` String,
    `accepted_at` DateTime64(3) DEFAULT now64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, accepted_at, alert_id)
SETTINGS non_replicated_deduplication_window = 10000;
