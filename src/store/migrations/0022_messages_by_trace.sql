-- Content lies by the trace that it first came in, so that a run's is one stretch however much is stored; what it shares with
-- runs before it is found by hash, through an index. Rows of before have no trace, and are found by hash alone.
--
-- The order of a table is for ever, so that another one takes its place, in one step and filled; readers notice nothing, and
-- it takes the disk of both for as long as it is copied. What others insert meanwhile a view keeps aside, to be added at
-- the end. Inserts that began before the view did, or go to the table that was replaced, are ended: nobody was told that
-- they were stored, and who made them repeats them. All of it may be begun anew wherever it ended. A lifetime that the table
-- had is set again when a collector starts.

-- One that was killed may have left its copy under way: it would take the place of ours.
KILL QUERY {{on_cluster}} WHERE query_kind = 'Create' AND query LIKE '%CREATE OR REPLACE TABLE {{database}}.messages %' SYNC;

ALTER TABLE {{database}}.messages {{on_cluster}} ADD COLUMN IF NOT EXISTS `trace_id` String FIRST;

CREATE TABLE IF NOT EXISTS {{database}}.messages_arrived {{on_cluster}}
(
    `trace_id` String,
    `hash` String,
    `role` LowCardinality(String),
    `content` String CODEC(ZSTD(1)),
    `stored_at` DateTime
)
ENGINE = {{engine:MergeTree}}
ORDER BY hash
SETTINGS non_replicated_deduplication_window = 0;

-- A view keeps to the table that it was made for.
DROP TABLE IF EXISTS {{database}}.messages_arrived_mv {{on_cluster}};

CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.messages_arrived_mv {{on_cluster}} TO {{database}}.messages_arrived
AS SELECT trace_id, hash, role, content, stored_at FROM {{database}}.messages;

KILL QUERY {{on_cluster}} WHERE query_kind = 'Insert' AND query LIKE 'INSERT INTO%messages%' SYNC;

CREATE OR REPLACE TABLE {{database}}.messages {{on_cluster}}
(
    `trace_id` String CODEC(ZSTD(1)),
    `hash` String CODEC(ZSTD(1)),
    `role` LowCardinality(String),
    `content` String CODEC(ZSTD(3)),
    `stored_at` DateTime DEFAULT now(),
    INDEX by_hash hash TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {{engine:ReplacingMergeTree}}
ORDER BY (trace_id, hash)
SETTINGS non_replicated_deduplication_window = 10000
AS SELECT trace_id, hash, role, content, stored_at FROM {{database}}.messages;

KILL QUERY {{on_cluster}} WHERE query_kind = 'Insert' AND query LIKE 'INSERT INTO%messages%' SYNC;

DROP TABLE IF EXISTS {{database}}.messages_arrived_mv {{on_cluster}};

INSERT INTO {{database}}.messages (trace_id, hash, role, content, stored_at)
SELECT trace_id, hash, role, content, stored_at FROM {{database}}.messages_arrived;

DROP TABLE IF EXISTS {{database}}.messages_arrived {{on_cluster}};
