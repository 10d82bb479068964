-- Probes: golden inputs that evals send through a loop's live maker, and right and wrong answers that they send through
-- its checker. Their spans carry no run id, so that nothing which counts runs counts them; what they are about stands
-- here. Append-only: a job has a row each change of state, a probe one row when it is over.

CREATE TABLE IF NOT EXISTS {{database}}.probe_jobs {{on_cluster}}
(
    `job_id` String, -- made of the suite and what it is for, so that no restart does it twice
    `suite` LowCardinality(String),
    `loop` LowCardinality(String),
    `reason` LowCardinality(String), -- schedule | model_change
    `due_at` DateTime64(3),
    `event_id` String, -- the change of model it is for
    `state` LowCardinality(String), -- started | done | failed
    `at` DateTime64(3),
    `planned` UInt32,
    `answered` UInt32,
    `errors` UInt32,
    `message` String
)
ENGINE = {{engine:MergeTree}}
ORDER BY (suite, due_at, job_id, at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {{database}}.probes {{on_cluster}}
(
    `run_id` String,
    `job_id` String,
    `suite` LowCardinality(String),
    `loop` LowCardinality(String),
    `reason` LowCardinality(String),
    `kind` LowCardinality(String), -- maker | checker
    `item_id` String,
    `item_hash` String, -- of the item's input and expected answer
    `truth` LowCardinality(String), -- right | wrong: what the checker was given; '' for the maker
    `template_version` String,
    `served_model` String,
    -- NULL where there is none: `error` then says why. A failure is never a score of 0 or a failed verdict.
    `score` Nullable(Float64),
    `passed` Nullable(UInt8),
    `error` String,
    `trace_id` String,
    `at` DateTime64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (suite, loop, kind, at, run_id)
SETTINGS non_replicated_deduplication_window = 10000;
