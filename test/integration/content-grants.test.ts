import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { READER_GRANTS } from '../../src/store/server-files.ts';
import { startTestStore } from '../support/store.ts';

type TestStore = Awaited<ReturnType<typeof startTestStore>>;
let clickhouse: TestStore;

before(async () => {
  clickhouse = await startTestStore();
  const { store } = clickhouse;
  const at = new Date().toISOString();
  await store.insert('messages', [{ hash: 'h', role: 'user', content: 'a secret' }]);
  await store.insert('labels', [
    { loop: 'l', run_id: 'r', rater: 'ann', score: 1, withdrawn: 0, comment: 'a secret', labelled_at: at },
  ]);
  await store.insert('golden_items', [
    { dataset: 'd', item_id: 'i', input: 'a secret', expected: 'a secret' },
  ]);
  await store.insert('otel_traces', [
    {
      Timestamp: at,
      TraceId: 't',
      SpanId: 's',
      SpanAttributes: { 'loopscope.loop': 'l', 'loopscope.run.id': 'r' },
    },
  ]);
  await store.command('CREATE DATABASE other');
  await store.command("CREATE TABLE other.t ENGINE = MergeTree ORDER BY a AS SELECT 'a secret' AS a");
});
after(() => clickhouse?.close());

/** As the reader of dashboards; the answer's status and text. */
async function read(sql: string): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${clickhouse.url}/?user=grafana`, { method: 'POST', body: sql });
  return { status: answer.status, text: await answer.text() };
}

/** Refused for one of these reasons, and nothing of what is secret in the answer. */
async function refused(sql: string, reasons: RegExp): Promise<void> {
  const { status, text } = await read(sql);
  assert.ok(status >= 400, `${sql}: ${text}`);
  assert.match(text, reasons, sql);
  assert.doesNotMatch(text, /a secret/);
}

test('the reader of dashboards reads spans and runs', async () => {
  for (const [sql, expected] of [
    ["SELECT SpanAttributes['loopscope.loop'] FROM loopscope.otel_traces", 'l\n'],
    ['SELECT run_id FROM loopscope.runs', 'r\n'],
    ['SELECT golden_score FROM loopscope.golden_scores', '1\n'],
    ['SELECT count() FROM loopscope.eval_scores SETTINGS max_execution_time = 5', '0\n'],
  ] as const)
    assert.deepEqual(await read(sql), { status: 200, text: expected }, sql);
});

test('it reads the tables that it is granted, of which each is there, and no others', async () => {
  const tables = await clickhouse.store.query<{ name: string }>(
    "SELECT name FROM system.tables WHERE database = 'loopscope' ORDER BY name",
  );
  const granted = new Set(READER_GRANTS.map((grant) => grant.slice(grant.lastIndexOf('.') + 1)));
  for (const { name } of tables) {
    const { status, text } = await read(`SELECT * FROM loopscope.${name} LIMIT 0`);
    // Of labels it has columns.
    const mayRead = granted.has(name) && name !== 'labels';
    assert.equal(status === 200, mayRead, `${name}: ${text}`);
    if (!mayRead) assert.match(text, /ACCESS_DENIED/, name);
    granted.delete(name);
  }
  assert.deepEqual([...granted], []);
});

test('it reads no content, no keys, no golden data and nothing that raters wrote', async () => {
  for (const sql of [
    'SELECT content FROM loopscope.messages',
    'SELECT count() FROM loopscope.messages',
    'SELECT m.content FROM loopscope.otel_traces AS t, loopscope.messages AS m',
    "SELECT hash FROM loopscope.messages WHERE content LIKE 'a%'",
    "SELECT * FROM merge('loopscope', '^messages$')",
    "SELECT * FROM merge('loopscope', '.*')",
    "SELECT * FROM remote('127.0.0.1', loopscope.messages)",
    "SELECT * FROM cluster('default', loopscope.messages)",
    'SELECT * FROM loopscope.virtual_keys',
    'SELECT input FROM loopscope.golden_items',
    'SELECT comment FROM loopscope.labels',
    'SELECT * FROM loopscope.labels',
    "SELECT score FROM loopscope.labels WHERE comment LIKE 'a%'",
    'SELECT state FROM loopscope.detector_states',
    'SELECT * FROM other.t',
    "SELECT * FROM viewIfPermitted(SELECT content FROM loopscope.messages ELSE null('content String')) UNION ALL SELECT content FROM loopscope.messages",
    "SELECT * FROM mergeTreeIndex('loopscope', 'messages')",
    "SELECT * FROM loop('loopscope', 'messages')",
  ])
    await refused(sql, /ACCESS_DENIED|CANNOT_EXTRACT_TABLE_STRUCTURE|CLUSTER_DOESNT_EXIST|UNKNOWN_FUNCTION/);
});

test('it reads no files and no other servers, and runs no programs', async () => {
  for (const sql of [
    "SELECT file('/etc/passwd')",
    "SELECT file('/etc/passwd', 'none')",
    "SELECT file('../../../../../../etc/passwd')",
    "SELECT file('status')",
    "SELECT file(concat('/proc/self/', 'environ'))",
    "SELECT * FROM file('/etc/passwd', LineAsString)",
    "SELECT * FROM fileCluster('default', '/etc/passwd', LineAsString)",
    "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', LineAsString)",
    "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', LineAsString)",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'a String')",
    "SELECT * FROM redis('127.0.0.1:1', 'a', 'a String')",
    "SELECT * FROM sqlite('/tmp/x.db', 't')",
    "SELECT * FROM jdbc('jdbc:x', 's', 't')",
    "SELECT * FROM odbc('DSN=x', 's', 't')",
    "SELECT * FROM executable('id', TSV, 'a String')",
    "SELECT * FROM dictionary('d')",
    "SELECT 1 INTO OUTFILE '/tmp/x'",
  ])
    await refused(
      sql,
      /ACCESS_DENIED|READONLY|UNKNOWN_FUNCTION|INTO_OUTFILE_NOT_ALLOWED|CLUSTER_DOESNT_EXIST|filesystem_error/,
    );
});

test('it changes nothing, and cannot become somebody who could', async () => {
  for (const sql of [
    "INSERT INTO loopscope.messages (hash, content) VALUES ('x', 'y')",
    "INSERT INTO FUNCTION file('/tmp/x.csv', CSV, 'a Int32') VALUES (1)",
    'CREATE VIEW loopscope.peek AS SELECT * FROM loopscope.messages',
    'CREATE TEMPORARY TABLE t (a Int32) ENGINE = Memory',
    'CREATE FUNCTION f AS (x) -> x',
    'CREATE USER u',
    'CREATE DATABASE d',
    'ALTER TABLE loopscope.otel_traces DELETE WHERE 1',
    'DROP TABLE loopscope.otel_traces',
    'TRUNCATE TABLE loopscope.alerts',
    'OPTIMIZE TABLE loopscope.alerts',
    'GRANT SELECT ON loopscope.messages TO grafana',
    'EXECUTE AS default SELECT 1',
    'SET readonly = 0',
    'SELECT 1 SETTINGS readonly = 0',
    'SYSTEM FLUSH LOGS',
    'KILL QUERY WHERE 1',
    "BACKUP TABLE loopscope.alerts TO File('/tmp/x')",
  ])
    await refused(sql, /ACCESS_DENIED|READONLY|SUPPORT_IS_DISABLED|filesystem_error/);
  assert.deepEqual(await clickhouse.store.query('SELECT count() AS n FROM loopscope.otel_traces'), [
    { n: 1 },
  ]);
});

test('of the server it sees its own names only, and nothing of others', async () => {
  for (const table of [
    'users',
    'grants',
    'processes',
    'parts',
    'server_settings',
    'settings_profiles',
    'disks',
  ])
    await refused(`SELECT * FROM system.${table}`, /ACCESS_DENIED/);
  assert.deepEqual(await read('SELECT DISTINCT database FROM system.tables ORDER BY database'), {
    status: 200,
    text: 'loopscope\n',
  });
  assert.deepEqual(
    await read(
      "SELECT count() FROM system.columns WHERE table = 'messages' OR name = 'comment' AND table = 'labels'",
    ),
    {
      status: 200,
      text: '0\n',
    },
  );
});

test('its time and memory are bounded, and within that it sets its own', async () => {
  await refused('SELECT 1 SETTINGS max_memory_usage = 0', /SETTING_CONSTRAINT_VIOLATION/);
  await refused('SELECT 1 SETTINGS max_memory_usage = 2000000000', /SETTING_CONSTRAINT_VIOLATION/);
  await refused('SELECT 1 SETTINGS max_execution_time = 0', /SETTING_CONSTRAINT_VIOLATION/);
  await refused('SELECT 1 SETTINGS max_execution_time = 3600', /SETTING_CONSTRAINT_VIOLATION/);
  await refused('SELECT 1 SETTINGS max_concurrent_queries_for_user = 0', /SETTING_CONSTRAINT_VIOLATION/);
  await refused('SELECT groupArray(number) FROM numbers(1000000000)', /MEMORY_LIMIT_EXCEEDED/);
  assert.equal(
    (await read('SELECT 1 SETTINGS max_execution_time = 60, max_memory_usage = 500000000')).status,
    200,
  );
});
