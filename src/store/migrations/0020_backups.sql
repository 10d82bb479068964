-- Backups by name, a row each change of state. The row of a backup's start is in the backup itself, and says how many rows
-- it must have at least: whoever restores it counts them. Append-only.
CREATE TABLE IF NOT EXISTS {{database}}.backups {{on_cluster}}
(
    `name` String,
    `base` String, -- the backup that this one holds the difference to; '' for all
    `state` LowCardinality(String), -- started | done | failed
    `at` DateTime64(3),
    `rows` Map(LowCardinality(String), UInt64), -- by table; of tables that fold rows, those that would be left
    `bytes` UInt64, -- what it takes, once it is done
    `message` String
)
ENGINE = {{engine:MergeTree}}
ORDER BY (name, at)
SETTINGS non_replicated_deduplication_window = 10000;
