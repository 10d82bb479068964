-- Content of model calls, addressed by its hash, each piece kept once however often an agent resends its
-- history. Spans carry the hash. It has grants and a lifetime of its own: readers of dashboards need none of it.

CREATE TABLE IF NOT EXISTS {{database}}.messages {{on_cluster}}
(
    `hash` String CODEC(ZSTD(1)),
    `role` LowCardinality(String),
    `content` String CODEC(ZSTD(3)),
    `stored_at` DateTime DEFAULT now()
)
ENGINE = {{engine:ReplacingMergeTree}}
ORDER BY hash
SETTINGS non_replicated_deduplication_window = 10000;
