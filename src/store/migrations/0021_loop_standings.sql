-- How each loop stands, as evals saw it last (evals/standing): dashboards read what was worked out once for all of them.
-- Before, a view worked it out from all runs for each panel, and said in SQL again what `status` says in code.

DROP VIEW IF EXISTS {{database}}.loop_states {{on_cluster}};

DROP VIEW IF EXISTS {{database}}.loop_schedules {{on_cluster}};

CREATE TABLE IF NOT EXISTS {{database}}.loop_standings {{on_cluster}}
(
    `loop` LowCardinality(String),
    `looked_at` DateTime64(3) CODEC(Delta(8), ZSTD(1)), -- the same for all loops of one look
    `state` LowCardinality(String), -- silently_failing | failing | suspect | idle | unmeasured | healthy
    `rank` UInt8, -- 1 is the worst state
    `owner` String,
    `registered` UInt8,
    `last_run_at` Nullable(DateTime64(3)),
    -- Of the alert that fires, if one does.
    `since` Nullable(DateTime64(3)),
    `alert_id` String,
    `alert_kind` LowCardinality(String),
    `what_changed` String,
    -- The mean of the latest golden scores since then, or since the last change of level, with its interval of 95 %.
    `golden_n` UInt32,
    `golden_score` Nullable(Float64),
    `golden_low` Nullable(Float64),
    `golden_high` Nullable(Float64),
    `phase` LowCardinality(String), -- learning | watching | alarmed
    `e_value` Float64,
    `threshold` Float64
)
ENGINE = {{engine:ReplacingMergeTree}}
ORDER BY loop
SETTINGS non_replicated_deduplication_window = 10000;

-- Of the newest look alone: a loop that is gone was not seen in it.
CREATE VIEW IF NOT EXISTS {{database}}.loop_states {{on_cluster}}
AS SELECT *
FROM {{database}}.loop_standings FINAL
WHERE looked_at = (SELECT max(looked_at) FROM {{database}}.loop_standings);
