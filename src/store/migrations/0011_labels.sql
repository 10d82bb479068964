-- What people say of runs, and which runs they are asked about. Append-only.

-- A label is one person's opinion of one run. The newest row of (loop, run, rater) stands; one that is withdrawn
-- takes back what its rater said of the run.
CREATE TABLE IF NOT EXISTS {{database}}.labels {{on_cluster}}
(
    `loop` LowCardinality(String),
    `run_id` String,
    `rater` String,
    -- In [0, 1]: a pass is 1, a fail is 0. NULL where the label is withdrawn.
    `score` Nullable(Float64),
    `withdrawn` UInt8,
    `comment` String CODEC(ZSTD(3)),
    -- With which the sampler chose the run. NULL where nobody was asked: the rater chose it.
    `probability` Nullable(Float64),
    `labelled_at` DateTime64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, run_id, rater, labelled_at)
SETTINGS non_replicated_deduplication_window = 10000;

-- Every run that the sampler looked at, each once, and with which probability it chose the run. Should two processes
-- race, the earlier row stands (see the reads).
CREATE TABLE IF NOT EXISTS {{database}}.label_queue {{on_cluster}}
(
    `loop` LowCardinality(String),
    `run_id` String,
    -- NULL where the run was passed over.
    `probability` Nullable(Float64),
    -- Labels that the loop's budget had left after the runs that were looked at together.
    `budget_left` Float64,
    `considered_at` DateTime64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, run_id)
SETTINGS non_replicated_deduplication_window = 10000;
