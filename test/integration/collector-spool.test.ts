import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runTraceId } from '../../src/span/ids.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;
const folder = mkdtempSync(join(tmpdir(), 'loopscope-spooled-'));
const start = () =>
  startTestCollector({
    folder,
    store: clickhouse.store,
  });
before(async () => {
  clickhouse = await startTestStore();
  collector = await start();
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
  rmSync(folder, { recursive: true, force: true });
});

function send(loop: string, n: number, headers: Record<string, string> = {}): Promise<Response> {
  const traceId = runTraceId(loop, 'r');
  const attributes = {
    [A.loop]: loop,
    [A.runId]: 'r',
    [A.record]: 'call',
    [A.inputText]: `What is ${loop}?`,
  };
  const span = {
    traceId,
    spanId: recordSpanId(traceId, String(n)),
    name: 'chat',
    startTimeUnixNano: String(1_700_000_000_000_000_000n + BigInt(n)),
    endTimeUnixNano: '1700000001000000000',
    attributes: Object.entries(attributes).map(([key, stringValue]) => ({ key, value: { stringValue } })),
  };
  return fetch(`${collector.url}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
  });
}

async function counts(loop: string) {
  const [row] = await clickhouse.store.query<{ spans: number; ids: number; contents: number }>(
    `SELECT count() AS spans, uniqExact(SpanId) AS ids,
       (SELECT count() FROM loopscope.messages FINAL WHERE content = {content:String}) AS contents
     FROM loopscope.otel_traces WHERE Loop = {loop:String}`,
    { loop, content: `What is ${loop}?` },
  );
  return row!;
}

test('spans and their content arrive, each once, whoever sends them again', async () => {
  for (const n of [1, 2, 3, 1]) assert.equal((await send('spooled', n)).status, 200);
  await collector.flush();
  assert.deepEqual(await counts('spooled'), { spans: 3, ids: 3, contents: 1 });
  await collector.close();
  collector = await start();
  assert.equal(
    (await send('spooled', 2)).status,
    200,
    'its sender missed the answer of the collector before',
  );
  await collector.flush();
  assert.deepEqual(await counts('spooled'), { spans: 3, ids: 3, contents: 1 });
});

test('with ClickHouse away spans are taken all the same, an import waits, and all arrives afterwards', async () => {
  await clickhouse.store.command('RENAME TABLE loopscope.otel_traces TO loopscope.elsewhere');
  for (let n = 0; n < 20; n++) assert.equal((await send('outage', n)).status, 200);
  const imported = await send('outage', 100, { 'x-loopscope-repeatable': 'true' });
  assert.equal(imported.status, 503);
  assert.match(await imported.text(), /not in ClickHouse yet/);
  const ready = await fetch(`${collector.url}/readyz`);
  assert.equal(ready.status, 200);
  const { reasons } = (await ready.json()) as { reasons: string[] };
  assert.match(reasons.join(), /spool is not delivered: .*otel_traces/);
  const metrics = await (await fetch(`${collector.url}/metrics`)).text();
  assert.match(metrics, /^loopscope_collector_spool_records 20$/m);
  assert.match(metrics, /^loopscope_collector_spool_oldest_unsent_seconds [1-9]/m);

  await clickhouse.store.command('RENAME TABLE loopscope.elsewhere TO loopscope.otel_traces');
  await collector.flush();
  const again = await send('outage', 7, { 'x-loopscope-repeatable': 'true' });
  assert.equal(again.status, 200);
  assert.deepEqual(await counts('outage'), { spans: 20, ids: 20, contents: 1 });
});

test('a folder has one collector', async () => {
  await assert.rejects(start(), { code: 'data_dir_in_use' });
});
