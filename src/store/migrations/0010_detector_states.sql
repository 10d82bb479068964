-- What the detectors know of each loop, and what they need to go on from there: when each score and each end of a
-- run arrived, by this server's clock alone.

-- A score without a time has that of its insert.
ALTER TABLE {{database}}.eval_scores {{on_cluster}} ADD COLUMN IF NOT EXISTS `arrived_at` DateTime64(3) DEFAULT now64(3);

-- Those that are there already arrived now. Otherwise they would do so anew at each reading.
ALTER TABLE {{database}}.eval_scores {{on_cluster}} MATERIALIZE COLUMN `arrived_at` SETTINGS mutations_sync = 2;

-- The ends of runs. A run may be ended twice: its first end counts.
CREATE TABLE IF NOT EXISTS {{database}}.run_ends {{on_cluster}}
(
    `loop` LowCardinality(String),
    `run_id` String,
    `arrived_at` DateTime64(3) DEFAULT now64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.run_ends_mv {{on_cluster}}
TO {{database}}.run_ends
AS SELECT loop, run_id FROM {{database}}.run_parts WHERE closed = 1;

INSERT INTO {{database}}.run_ends (loop, run_id)
SELECT DISTINCT loop, run_id FROM {{database}}.run_parts
WHERE closed = 1 AND (loop, run_id) NOT IN (SELECT loop, run_id FROM {{database}}.run_ends);

-- The newest revision of a stream is its state; the one inserted last is the newest.
CREATE TABLE IF NOT EXISTS {{database}}.detector_states {{on_cluster}}
(
    `loop` LowCardinality(String),
    `stream` String,
    `revision` UInt64,
    -- Of the code that wrote it: another version cannot read it.
    `version` UInt32,
    `state` String CODEC(ZSTD(1)), -- JSON
    `stored_at` DateTime64(3) DEFAULT now64(3)
)
ENGINE = {{engine:ReplacingMergeTree}}
ORDER BY (loop, stream)
SETTINGS non_replicated_deduplication_window = 10000;
