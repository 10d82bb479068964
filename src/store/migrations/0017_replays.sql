-- Replays of runs, a row each when it is over. What was said in one stands in its trace, whose spans carry no run id, so that
-- nothing which counts runs counts them. Append-only.
CREATE TABLE IF NOT EXISTS {{database}}.replays {{on_cluster}}
(
    `replay_id` String,
    `loop` LowCardinality(String),
    `run_id` String, -- the run that was replayed
    `trace_id` String, -- of the replay
    `mode` LowCardinality(String), -- exact | model | live
    `driven_by` LowCardinality(String), -- record | loop: what asked, the recorded conversation or the loop's own code
    `overrides` String, -- JSON; a prompt by its version
    `outcome` LowCardinality(String), -- done | until | stopped
    `matched` UInt32,
    `near` UInt32,
    `skipped` UInt32,
    `divergences` UInt32,
    `first_divergence` LowCardinality(String), -- its kind; '' where there is none
    -- NULL where nobody judged it, nobody scored it, or nobody knows.
    `checker_pass` Nullable(UInt8),
    `golden_score` Nullable(Float64),
    `cost_usd` Nullable(Float64),
    `at` DateTime64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, run_id, at, replay_id)
SETTINGS non_replicated_deduplication_window = 10000;
