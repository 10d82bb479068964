import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { clusterOf, loadConfig } from '../../src/config.ts';
import type { Cluster } from '../../src/store/client.ts';
import { readMigrations } from '../../src/store/schema.ts';

/** What is made of one statement. */
function rendered(sql: string, cluster?: Cluster): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-schema-'));
  try {
    writeFileSync(join(folder, '0001_one.sql'), `${sql};\n`);
    const [migration] = readMigrations('db', folder, cluster);
    return migration!.statements.map((statement) => statement.replace(/\s+/g, ' '));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const REPLICATED = { name: 'fleet', replicated: true };
const SHARDS = { name: 'fleet', replicated: false };
const TABLE = `CREATE TABLE IF NOT EXISTS {{database}}.t {{on_cluster}} (a String, b Int8)
  ENGINE = {{engine:ReplacingMergeTree}} ORDER BY (a, b) SETTINGS non_replicated_deduplication_window = 10`;

test('one server has each table once, as the file says it', () => {
  assert.deepEqual(rendered(TABLE), [
    'CREATE TABLE IF NOT EXISTS db.t (a String, b Int8) ENGINE = ReplacingMergeTree ORDER BY (a, b) SETTINGS non_replicated_deduplication_window = 10',
  ]);
});

test('shards without replicas have a table of their own and one over all of these', () => {
  assert.deepEqual(rendered(TABLE, SHARDS), [
    'CREATE TABLE IF NOT EXISTS db_local.t (a String, b Int8) ENGINE = ReplacingMergeTree ORDER BY (a, b) SETTINGS non_replicated_deduplication_window = 10',
    `CREATE TABLE IF NOT EXISTS db.t AS db_local.t ENGINE = Distributed('fleet', 'db_local', 't', cityHash64(a))`,
  ]);
});

test('replicas share a place in Keeper by shard and table, and what they were given by token for a week', () => {
  assert.deepEqual(rendered(TABLE, REPLICATED), [
    `CREATE TABLE IF NOT EXISTS db_local.t ON CLUSTER 'fleet' (a String, b Int8) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/db_local/t', '{replica}') ORDER BY (a, b) SETTINGS replicated_deduplication_window = 10, replicated_deduplication_window_seconds = 604800`,
    `CREATE TABLE IF NOT EXISTS db.t ON CLUSTER 'fleet' AS db_local.t ENGINE = Distributed('fleet', 'db_local', 't', cityHash64(a))`,
  ]);
});

test('a table that takes the place of another does so within a shard, at a place of its own in Keeper', () => {
  const replace = `CREATE OR REPLACE TABLE {{database}}.t {{on_cluster}} (a String) ENGINE = {{engine:MergeTree}} ORDER BY a AS SELECT a FROM {{database}}.t`;
  assert.deepEqual(rendered(replace, SHARDS), [
    'CREATE OR REPLACE TABLE db_local.t (a String) ENGINE = MergeTree ORDER BY a AS SELECT a FROM db_local.t',
  ]);
  assert.deepEqual(rendered(replace, REPLICATED), [
    `CREATE OR REPLACE TABLE db_local.t ON CLUSTER 'fleet' (a String) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/db_local/t/{uuid}', '{replica}') ORDER BY a AS SELECT a FROM db_local.t`,
  ]);
});

test('a table that is dropped goes in both places, first where it spans the shards', () => {
  assert.deepEqual(rendered('DROP TABLE IF EXISTS {{database}}.t', SHARDS), [
    'DROP TABLE IF EXISTS db.t',
    'DROP TABLE IF EXISTS db_local.t',
  ]);
});

test('views that fill tables work within a shard, views for reading over all', () => {
  const fills =
    'CREATE MATERIALIZED VIEW IF NOT EXISTS {{database}}.m TO {{database}}.t AS SELECT a FROM {{database}}.s';
  assert.deepEqual(rendered(fills, SHARDS), [
    'CREATE MATERIALIZED VIEW IF NOT EXISTS db_local.m TO db_local.t AS SELECT a FROM db_local.s',
  ]);
  const reads = 'CREATE VIEW IF NOT EXISTS {{database}}.v AS SELECT a FROM {{database}}.t';
  assert.deepEqual(rendered(reads, SHARDS), ['CREATE VIEW IF NOT EXISTS db.v AS SELECT a FROM db.t']);
});

test('a column is added to both tables of a name, and what concerns the disk to the local one', () => {
  const add = 'ALTER TABLE {{database}}.t ADD COLUMN IF NOT EXISTS `c` Int8';
  assert.deepEqual(rendered(add, SHARDS), [
    'ALTER TABLE db_local.t ADD COLUMN IF NOT EXISTS `c` Int8',
    'ALTER TABLE db.t ADD COLUMN IF NOT EXISTS `c` Int8',
  ]);
  for (const change of ['MATERIALIZE COLUMN `c`', 'ADD INDEX i a TYPE set(1)', 'MODIFY SETTING x = 1'])
    assert.deepEqual(rendered(`ALTER TABLE {{database}}.t ${change}`, SHARDS), [
      `ALTER TABLE db_local.t ${change}`,
    ]);
});

test('rows that a migration derives come from every shard, by whoever applies it', () => {
  const fill = 'INSERT INTO {{database}}.t SELECT a, b FROM {{database}}.s';
  assert.deepEqual(rendered(fill, REPLICATED), ['INSERT INTO db.t SELECT a, b FROM db.s']);
  assert.deepEqual(rendered(fill, SHARDS), ['INSERT INTO db_local.t SELECT a, b FROM db_local.s']);
});

test('the settings name a cluster only beside a server that may belong to it', () => {
  const url = { LOOPSCOPE_CLICKHOUSE_URL: 'http://clickhouse:8123' };
  assert.equal(clusterOf(loadConfig(undefined, url)), undefined);
  assert.deepEqual(
    clusterOf(loadConfig(undefined, { ...url, LOOPSCOPE_CLICKHOUSE_CLUSTER: 'fleet' })),
    REPLICATED,
  );
  assert.throws(() => loadConfig(undefined, { LOOPSCOPE_CLICKHOUSE_CLUSTER: 'fleet' }), {
    code: 'config_invalid',
    message: /clickhouse\.cluster: the embedded ClickHouse is in none/,
  });
});
