import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestStore } from '../support/store.ts';

type TestStore = Awaited<ReturnType<typeof startTestStore>>;
let clickhouse: TestStore;

before(async () => {
  clickhouse = await startTestStore();
  const { store } = clickhouse;
  const at = new Date().toISOString();
  await store.insert('messages', [{ hash: 'h', role: 'user', content: 'a secret' }]);
  await store.insert('otel_traces', [
    {
      Timestamp: at,
      TraceId: 't',
      SpanId: 's',
      SpanAttributes: { 'loopscope.loop': 'l', 'loopscope.run.id': 'r' },
    },
  ]);
});
after(() => clickhouse?.close());

/** As the reader of dashboards; the answer's status and text. */
async function read(sql: string): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${clickhouse.url}/?user=grafana`, { method: 'POST', body: sql });
  return { status: answer.status, text: await answer.text() };
}

test('the reader of dashboards reads spans and runs', async () => {
  for (const [sql, expected] of [
    ["SELECT SpanAttributes['loopscope.loop'] FROM loopscope.otel_traces", 'l\n'],
    ['SELECT run_id FROM loopscope.runs', 'r\n'],
    ['SELECT count() FROM loopscope.eval_scores SETTINGS max_execution_time = 5', '0\n'],
  ] as const)
    assert.deepEqual(await read(sql), { status: 200, text: expected }, sql);
});

test('it reads no content, no keys and no files, and changes nothing', async () => {
  for (const sql of [
    'SELECT content FROM loopscope.messages',
    'SELECT count() FROM loopscope.messages',
    'SELECT m.content FROM loopscope.otel_traces AS t, loopscope.messages AS m',
    "SELECT * FROM merge('loopscope', '^messages$')",
    "SELECT * FROM remote('127.0.0.1', loopscope.messages)",
    "SELECT * FROM file('/etc/passwd', LineAsString)",
    'SELECT * FROM loopscope.virtual_keys',
    "INSERT INTO loopscope.messages (hash, content) VALUES ('x', 'y')",
    'CREATE VIEW loopscope.peek AS SELECT * FROM loopscope.messages',
    'ALTER TABLE loopscope.otel_traces DELETE WHERE 1',
    'DROP TABLE loopscope.otel_traces',
  ]) {
    const { status, text } = await read(sql);
    assert.ok(status >= 400, `${sql}: ${text}`);
    assert.match(text, /ACCESS_DENIED|READONLY|CANNOT_EXTRACT_TABLE_STRUCTURE/, sql);
    assert.doesNotMatch(text, /a secret/);
  }
});
