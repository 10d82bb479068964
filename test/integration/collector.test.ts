import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Collector } from '../../collector/collector.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { runSpanId, runTraceId } from '../../src/span/ids.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';

type TestStore = Awaited<ReturnType<typeof startTestStore>>;
let clickhouse: TestStore;
let collector: Collector;

const start = (options: { bodyBytesMax?: number; pendingBytesMax?: number } = {}) =>
  startTestCollector({
    store: clickhouse.store,
    ...options,
  });

before(async () => {
  clickhouse = await startTestStore();
  collector = await start();
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

/** Of what is in ClickHouse once all that was acknowledged is. */
const query = async <Row>(sql: string, params?: Record<string, unknown>) => {
  await collector.flush();
  return await clickhouse.store.query<Row>(sql, params);
};
const JSON_TYPE = { 'content-type': 'application/json' };

const post = (body: string | object, headers: Record<string, string> = JSON_TYPE, to = collector) =>
  fetch(`${to.url}/v1/traces`, {
    method: 'POST',
    headers,
    body: Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body),
  });

const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } });

/** A JSON span of a run; ids follow from the names. */
const runSpan = (loop: string, run: string, attributes: Record<string, string> = {}) => {
  const traceId = runTraceId(loop, run);
  return {
    traceId,
    spanId: runSpanId(traceId),
    name: `invoke_workflow ${loop}`,
    kind: 1,
    startTimeUnixNano: '1687856400123456789',
    endTimeUnixNano: 1687856401123456789n.toString(),
    attributes: Object.entries({ [A.loop]: loop, [A.runId]: run, [A.record]: 'run', ...attributes }).map(
      ([k, v]) => attribute(k, v),
    ),
  };
};
const request = (...spans: object[]) => ({
  resourceSpans: [
    { resource: { attributes: [attribute('service.name', 'test')] }, scopeSpans: [{ scope: {}, spans }] },
  ],
});
const spansOf = async (loop: string) =>
  (
    await query<{ n: number }>('SELECT count() AS n FROM loopscope.otel_traces WHERE Loop = {loop:String}', {
      loop,
    })
  )[0]!.n;

test("OpenTelemetry's own SDK and exporter send spans that arrive with everything they carry", async () => {
  const exporter = new OTLPTraceExporter({ url: `${collector.url}/v1/traces`, compression: 'gzip' as never });
  const processor = new BatchSpanProcessor({ exporter } as never);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'sdk', 'host.cores': 2 }),
    spanProcessors: [processor],
  });
  const tracer = provider.getTracer('tests', '1.2.3');
  const span = tracer.startSpan('chat gpt-4', {
    kind: SpanKind.CLIENT,
    startTime: [1687856400, 123456789],
    attributes: {
      [A.loop]: 'sdk-loop',
      [A.runId]: 'r-1',
      [A.record]: 'call',
      [A.inputTokens]: 40,
      [A.costUsd]: 0.0012,
      [A.finishReasons]: ['stop'],
      flag: true,
    },
  });
  span.addEvent('gen_ai.evaluation.result', { [A.evaluationScore]: 1 }, [1687856400, 5]);
  span.setStatus({ code: SpanStatusCode.ERROR, message: 'too slow' });
  span.end([1687856402, 0]);
  await provider.forceFlush();
  await provider.shutdown();

  const [row] = await query<Record<string, unknown>>(
    `SELECT *, toString(Timestamp) AS At, Loop, InputTokens, OutputTokens, CostUsd, Events.Name AS EventNames,
       arrayMap(t -> toUnixTimestamp64Nano(t), Events.Timestamp) AS EventTimes, Events.Attributes AS EventAttributes
     FROM loopscope.otel_traces WHERE Loop = 'sdk-loop'`,
  );
  assert.ok(row, 'the span is in the table once the exporter has its answer');
  assert.equal(row['TraceId'], span.spanContext().traceId);
  assert.equal(row['SpanId'], span.spanContext().spanId);
  assert.equal(row['SpanName'], 'chat gpt-4');
  assert.equal(row['SpanKind'], 'Client');
  assert.equal(row['ServiceName'], 'sdk');
  assert.equal(row['ScopeName'], 'tests');
  assert.equal(row['ScopeVersion'], '1.2.3');
  assert.equal(row['StatusCode'], 'Error');
  assert.equal(row['StatusMessage'], 'too slow');
  assert.equal(row['Duration'], 1_876_543_211);
  assert.match(String(row['Timestamp']), /\.123456789$/);
  assert.equal(row['InputTokens'], 40);
  assert.equal(row['OutputTokens'], null);
  assert.equal(row['CostUsd'], 0.0012);
  assert.equal((row['ResourceAttributes'] as Record<string, string>)['host.cores'], '2');
  const attributes = row['SpanAttributes'] as Record<string, string>;
  assert.equal(attributes[A.finishReasons], '["stop"]');
  assert.equal(attributes['flag'], 'true');
  assert.deepEqual(row['EventNames'], ['gen_ai.evaluation.result']);
  assert.deepEqual(row['EventAttributes'], [{ [A.evaluationScore]: '1' }]);
});

test('a success, an empty request and a partial success are answered in the encoding of the request', async () => {
  const whole = await post(request(runSpan('answers', 'r-1')));
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get('content-type'), 'application/json');
  assert.deepEqual(await whole.json(), {});
  assert.deepEqual(await (await post('{}')).json(), {});

  const empty = await post(Buffer.alloc(0), { 'content-type': 'application/x-protobuf' });
  assert.equal(empty.status, 200);
  assert.equal(empty.headers.get('content-type'), 'application/x-protobuf');
  assert.equal((await empty.bytes()).length, 0);

  const partial = await post(
    request(
      runSpan('answers', 'r-2'),
      { ...runSpan('answers', 'r-3'), traceId: '' },
      { ...runSpan('answers', 'r-4'), spanId: '0000000000000000' },
    ),
  );
  assert.equal(partial.status, 200);
  const { partialSuccess } = (await partial.json()) as { partialSuccess: Record<string, string> };
  assert.equal(partialSuccess['rejectedSpans'], '2');
  assert.match(partialSuccess['errorMessage']!, /1 because its trace id .* 1 because its span id/);
  assert.equal(await spansOf('answers'), 2);

  // resource_spans { scope_spans { spans {} } }: one span without any id.
  const partialProtobuf = await post(Buffer.from([0x0a, 4, 0x12, 2, 0x12, 0]), {
    'content-type': 'application/x-protobuf',
  });
  const bytes = Buffer.from(await partialProtobuf.bytes());
  assert.deepEqual([...bytes.subarray(0, 5)], [0x0a, bytes.length - 2, 0x08, 1, 0x12]);
});

test('what is no OTLP is refused with the status that says why, in the encoding of the request', async () => {
  const status = async (response: Response) => {
    const { code, message } = (await response.json()) as { code: number; message: string };
    return [response.status, code, message] as const;
  };
  const [bad, badCode, why] = await status(await post('{"resourceSpans": 7}'));
  assert.deepEqual([bad, badCode], [400, 3]);
  assert.match(why, /resourceSpans: expected a list/);
  assert.equal((await post('{"resourceSpans')).status, 400);

  const protobuf = await post(Buffer.from([0x0a, 200]), { 'content-type': 'application/x-protobuf' });
  assert.equal(protobuf.status, 400);
  assert.equal(protobuf.headers.get('content-type'), 'application/x-protobuf');
  assert.equal((await protobuf.bytes())[0], 0x08);

  assert.deepEqual((await status(await post('{}', { 'content-type': 'text/plain' }))).slice(0, 2), [415, 3]);
  assert.equal((await post(Buffer.from('{}'), {})).status, 415);
  assert.equal((await post('{}', { ...JSON_TYPE, 'content-encoding': 'br' })).status, 415);
  assert.equal((await post('not gzip', { ...JSON_TYPE, 'content-encoding': 'gzip' })).status, 400);
  const cut = gzipSync(JSON.stringify(request(runSpan('cut', 'r-1')))).subarray(0, 60);
  assert.equal((await post(cut, { ...JSON_TYPE, 'content-encoding': 'gzip' })).status, 400);
  assert.equal((await fetch(`${collector.url}/v1/profiles`, { method: 'POST', body: '{}' })).status, 404);
});

test('compressed bodies are unpacked, and refused as soon as they pass the limit', async () => {
  const limited = await start({ bodyBytesMax: 100_000 });
  try {
    const body = JSON.stringify(request(runSpan('packed', 'r-1'), runSpan('packed', 'r-2')));
    const gzip = await post(gzipSync(body), { ...JSON_TYPE, 'content-encoding': 'gzip' }, limited);
    assert.equal(gzip.status, 200);
    const other = body.replaceAll('packed', 'packe2');
    const deflate = await post(deflateSync(other), { ...JSON_TYPE, 'content-encoding': 'deflate' }, limited);
    assert.equal(deflate.status, 200);
    await limited.flush();
    assert.equal(await spansOf('packed'), 2);

    const bomb = gzipSync(Buffer.alloc(50_000_000, 0x20));
    assert.ok(bomb.length < 100_000);
    const refused = await post(bomb, { ...JSON_TYPE, 'content-encoding': 'gzip' }, limited);
    assert.equal(refused.status, 413);
    assert.equal(((await refused.json()) as { code: number }).code, 8);
    assert.equal((await post(Buffer.alloc(100_001, 0x20), JSON_TYPE, limited)).status, 413);
    const metrics = await (await fetch(`${limited.url}/metrics`)).text();
    assert.match(metrics, /^loopscope_collector_pending_bytes 0$/m);
  } finally {
    await limited.close();
  }
});

test('past the bound of held bytes a request is told to come again, and the connection lives on', async () => {
  const tight = await start({ pendingBytesMax: 2_000 });
  try {
    const refused = await post(Buffer.alloc(3_000, 0x20), JSON_TYPE, tight);
    assert.equal(refused.status, 503);
    assert.match(refused.headers.get('retry-after')!, /^[1-4]$/);
    assert.equal((await post(request(runSpan('tight', 'r-1')), JSON_TYPE, tight)).status, 200);
  } finally {
    await tight.close();
  }
});

test('content goes to messages once, however often it is sent, and its hashes stay on the span', async () => {
  const system = '{"role":"system","parts":[{"type":"text","content":"Be brief."}]}';
  const user =
    '{"role":"user","parts":[{"type":"text","content":"Is 17077 prime? [\\"]"}], "n": 12345678901234567890}';
  const answer = '{"role":"assistant","parts":[{"type":"text","content":"[Yes]"}]}';
  for (const run of ['r-1', 'r-2']) {
    const response = await post(
      request(
        runSpan('content', run, {
          [A.inputMessages]: `[${system} , ${user}]`,
          [A.outputMessages]: `[${answer}]`,
          [A.inputText]: 'Is 17077 prime?',
          [A.outputText]: '[Yes]',
        }),
      ),
    );
    assert.equal(response.status, 200);
  }
  const [row] = await query<{ a: Record<string, string> }>(
    "SELECT SpanAttributes AS a FROM loopscope.otel_traces WHERE Loop = 'content' LIMIT 1",
  );
  const a = row!.a;
  for (const name of [A.inputMessages, A.outputMessages, A.inputText, A.outputText])
    assert.equal(a[name], undefined, name);
  assert.equal(a[A.outputTextHash], contentHash('[Yes]'));
  assert.equal(a[A.inputTextHash], contentHash('Is 17077 prime?'));
  assert.deepEqual(JSON.parse(a[A.inputMessageHashes]!), [contentHash(system), contentHash(user)]);
  assert.deepEqual(JSON.parse(a[A.outputMessageHashes]!), [contentHash(answer)]);

  const hashes = [...JSON.parse(a[A.inputMessageHashes]!), a[A.outputTextHash]!];
  const messages = await query<{ hash: string; role: string; content: string }>(
    'SELECT hash, role, content FROM loopscope.messages WHERE hash IN {hashes:Array(String)}',
    { hashes },
  );
  const content = new Map(messages.map((m) => [m.hash, `${m.role}: ${m.content}`]));
  assert.equal(messages.length, 3, 'each is there, and once');
  assert.deepEqual(
    hashes.map((hash) => content.get(hash)),
    [`system: ${system}`, `user: ${user}`, 'assistant: [Yes]'],
  );
});

test('a hundred concurrent requests share a few inserts, and each is stored when it is answered', async () => {
  const inserts = async () =>
    Number(/insert_seconds_count (\d+)/.exec(await (await fetch(`${collector.url}/metrics`)).text())![1]);
  const before = await inserts();
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => post(request(runSpan('many', `r-${i}`)))),
  );
  assert.ok(answers.every((a) => a.status === 200));
  assert.equal(await spansOf('many'), 100);
  const used = (await inserts()) - before;
  assert.ok(used <= 20, `${used} inserts for 100 requests`);
});

test('the same request again, at once or later, is confirmed and not stored twice', async () => {
  const body = JSON.stringify(request(runSpan('again', 'r-1'), runSpan('again', 'r-2')));
  const answers = await Promise.all([post(body), post(body), post(body)]);
  assert.deepEqual(
    answers.map((a) => a.status),
    [200, 200, 200],
  );
  assert.equal((await post(body)).status, 200);
  assert.equal(await spansOf('again'), 2);
});

test('a batch that says it may be repeated leaves out the spans that are there, whatever it is cut like', async () => {
  const headers = { ...JSON_TYPE, 'x-loopscope-repeatable': 'true' };
  const spans = Array.from({ length: 10 }, (_, i) => runSpan('repeat', `r-${i}`));
  assert.equal((await post(request(...spans.slice(0, 6)), headers)).status, 200);
  assert.equal((await post(request(...spans), headers)).status, 200);
  assert.equal((await post(request(...spans.slice(3), ...spans.slice(3)), headers)).status, 200);
  assert.equal(await spansOf('repeat'), 10);
});

test('spans of many days and hostile texts are stored together', async () => {
  const spans = Array.from({ length: 250 }, (_, day) => ({
    ...runSpan('days', `r-${day}`, { __proto__x: '\ud800 lone', constructor: '\u0000"\\\n' }),
    startTimeUnixNano: String(1_600_000_000_000_000_000n + BigInt(day) * 86_400_000_000_000n),
    endTimeUnixNano: '0',
  }));
  const response = await post(request(...spans));
  assert.equal(response.status, 200);
  const [row] = await query<{ n: number; days: number; long: number; texts: string[] }>(
    `SELECT count() AS n, uniqExact(toDate(Timestamp)) AS days, max(Duration) AS long,
       groupUniqArray(SpanAttributes['constructor']) AS texts FROM loopscope.otel_traces WHERE Loop = 'days'`,
  );
  assert.deepEqual(row, { n: 250, days: 250, long: 0, texts: ['\u0000"\\\n'] });
});

test('health, readiness and figures are served', async () => {
  assert.equal(await (await fetch(`${collector.url}/healthz`)).text(), 'ok');
  const ready = await fetch(`${collector.url}/readyz`);
  assert.equal(ready.status, 200);
  assert.deepEqual(await ready.json(), { ready: true, reasons: [] });
  const metrics = await (await fetch(`${collector.url}/metrics`)).text();
  assert.match(metrics, /^loopscope_collector_stored_spans_total [1-9]\d*$/m);
  assert.match(metrics, /^loopscope_collector_rejected_spans_total\{reason="trace_id"\} 2$/m);
  assert.match(metrics, /^loopscope_collector_requests_total\{status="415"\} \d+$/m);
});

test('a second collector on the same port is refused in one line', async () => {
  const port = Number(new URL(collector.url).port);
  await assert.rejects(
    startTestCollector({
      port,
      store: clickhouse.store,
    }),
    { code: 'port_in_use' },
  );
});
