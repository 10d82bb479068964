import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readMigrations } from '../../src/store/migrate.ts';

const FOLDER = join(import.meta.dirname, '../../src/store/migrations');

test('migrations are numbered from 1 without a gap, and every file in the folder is one', () => {
  const migrations = readMigrations('loopscope');
  assert.deepEqual(
    migrations.map((m) => m.id),
    migrations.map((_, i) => i + 1),
  );
  assert.equal(migrations.length, readdirSync(FOLDER).length);
});

test('every placeholder is filled, and every object goes into the database that was asked for', () => {
  for (const { name, statements } of readMigrations('elsewhere')) {
    assert.ok(statements.length > 0, name);
    for (const sql of statements) {
      assert.doesNotMatch(sql, /\{\{|\}\}/, name);
      // These change nothing: they wait for what is under way, or end it.
      if (/^(SELECT|KILL QUERY)\b/.test(sql)) continue;
      assert.match(
        sql,
        /^(CREATE (TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS|CREATE OR REPLACE TABLE|ALTER TABLE|INSERT INTO|DROP (TABLE|VIEW) IF EXISTS) elsewhere\./,
        name,
      );
    }
  }
});

test('no file names an engine or a cluster itself: one node and a cluster share them', () => {
  for (const file of readdirSync(FOLDER)) {
    const text = readFileSync(join(FOLDER, file), 'utf8').replace(/--.*$/gm, '');
    for (const [engine] of text.matchAll(/ENGINE = .*/g))
      assert.match(engine, /^ENGINE = \{\{engine:\w+\}\}$/, file);
    assert.doesNotMatch(text, /ON CLUSTER/i, file);
    const changes = text.match(/^(CREATE|ALTER|DROP|KILL) /gm) ?? [];
    assert.equal((text.match(/\{\{on_cluster\}\}/g) ?? []).length, changes.length, file);
  }
});

test('the checksum follows the text, not the database', () => {
  assert.deepEqual(
    readMigrations('one').map((m) => m.checksum),
    readMigrations('two').map((m) => m.checksum),
  );
});
