-- Who may call, and every version of what was registered. Append-only; the newest row of an id is in force.

CREATE TABLE IF NOT EXISTS {{database}}.registry_versions {{on_cluster}}
(
    `loop` LowCardinality(String),
    `version` String,
    `content` String CODEC(ZSTD(3)), -- JSON
    `seen_at` DateTime64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (loop, seen_at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {{database}}.virtual_keys {{on_cluster}}
(
    `key_id` String,
    `hash` FixedString(64), -- SHA-256 of the secret, hexadecimal
    `loop` LowCardinality(String),
    `agent` LowCardinality(String),
    `revoked` UInt8,
    `at` DateTime64(3)
)
ENGINE = {{engine:MergeTree}}
ORDER BY (key_id, at)
SETTINGS non_replicated_deduplication_window = 10000;
