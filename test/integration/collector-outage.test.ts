import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runTraceId } from '../../src/span/ids.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { startTestCollector } from '../support/collector.ts';
import { startLine } from '../support/line.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/** The collector against a real ClickHouse behind a line that can be cut. */
let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let line: Awaited<ReturnType<typeof startLine>>;
let store: Store;
let collector: Collector;

before(async () => {
  clickhouse = await startTestStore();
  line = await startLine(Number(new URL(clickhouse.url).port));
  store = openStore({ url: line.url, requestTimeoutMs: 5_000 });
  collector = await startTestCollector({
    store,
  });
});
beforeEach(() => line.set('up'));
after(async () => {
  await collector?.close();
  await store?.close();
  await line?.close();
  await clickhouse?.close();
});

test('with ClickHouse away spans are taken, it is said why they wait, and they are there when it is back', async () => {
  line.set('down');
  assert.equal((await send('away', 1)).status, 200);
  await until('two reasons why they wait', async () => {
    const { ready, reasons } = (await (await fetch(`${collector.url}/readyz`)).json()) as {
      ready: boolean;
      reasons: string[];
    };
    return ready && reasons.length === 2 && reasons.every((reason) => /does not answer/.test(reason));
  });
  line.set('up');
  assert.deepEqual(await counts('away'), { spans: 1, ids: 1 });
  assert.deepEqual(await (await fetch(`${collector.url}/readyz`)).json(), { ready: true, reasons: [] });
});

test('an insert whose answer is lost is stored once, in the table and in the runs made from it', async () => {
  line.set('mute-once');
  assert.equal((await send('muted', 1)).status, 200);
  assert.deepEqual(await counts('muted'), { spans: 1, ids: 1 });
  assert.ok(line.disturbed() > 0, 'an answer was lost');
  const [run] = await clickhouse.store.query<{ calls: number }>(
    "SELECT calls FROM loopscope.runs WHERE loop = 'muted'",
  );
  assert.deepEqual(run, { calls: 1 });
});

test('spans stored though every answer was lost are not doubled', async () => {
  line.set('mute');
  assert.equal((await send('doubtful', 1)).status, 200);
  await until('lost answers', () => line.disturbed() > 3);
  line.set('up');
  assert.deepEqual(await counts('doubtful'), { spans: 1, ids: 1 });
});

test('through a line that fails now and then, what was acknowledged is there, once', async () => {
  const modes = ['down', 'up', 'mute', 'up', 'mute-once', 'up'] as const;
  let turn = 0;
  const flap = setInterval(() => line.set(modes[turn++ % modes.length]!), 150);
  const sender = async (worker: number) => {
    for (let i = 0; i < 15; i++) {
      const status = (await send('flapping', worker * 100 + i)).status;
      assert.ok(status === 200 || status === 503, String(status));
      if (status === 503) i--;
    }
  };
  await Promise.all([1, 2, 3, 4].map(sender)).finally(() => clearInterval(flap));
  line.set('up');
  assert.deepEqual(await counts('flapping'), { spans: 60, ids: 60 });
});

test('a missing table is an outage, not the fault of the data', async () => {
  await clickhouse.store.command('RENAME TABLE loopscope.otel_traces TO loopscope.elsewhere');
  assert.equal((await send('unmigrated', 1)).status, 200);
  await until('the reason', async () =>
    /lacks the schema/.test(await (await fetch(`${collector.url}/readyz`)).text()),
  );
  await clickhouse.store.command('RENAME TABLE loopscope.elsewhere TO loopscope.otel_traces');
  assert.deepEqual(await counts('unmigrated'), { spans: 1, ids: 1 });
});

function send(loop: string, n: number): Promise<Response> {
  const traceId = runTraceId(loop, 'r');
  const attributes = { [A.loop]: loop, [A.runId]: 'r', [A.record]: 'call' };
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
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
  });
}

async function counts(loop: string): Promise<{ spans: number; ids: number }> {
  await collector.flush();
  const [row] = await clickhouse.store.query<{ spans: number; ids: number }>(
    'SELECT count() AS spans, uniqExact(SpanId) AS ids FROM loopscope.otel_traces WHERE Loop = {loop:String}',
    { loop },
  );
  return row!;
}
