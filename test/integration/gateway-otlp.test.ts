import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { decode } from '../../collector/decode/decode.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig, type OtelExport, otelExport } from '../../src/config.ts';
import { startGateway } from '../../src/gateway/server.ts';
import { A } from '../../src/span/attributes.ts';
import { runTraceId } from '../../src/span/ids.ts';
import type { Span } from '../../src/span/span.ts';
import {
  chatCompletion,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import { until } from '../support/until.ts';

/** A collector that keeps what it takes, and takes it only when `status` is 200. */
async function startSink() {
  const sink = {
    url: '',
    status: 200,
    refused: 0,
    spans: [] as Span[],
    keys: new Set<unknown>(),
    close: async () => {},
  };
  const server = createServer(async (request, response) => {
    sink.keys.add(request.headers['x-backend-key']);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (sink.status === 200) sink.spans.push(...decode(Buffer.concat(chunks), 'protobuf'));
    else sink.refused++;
    response.writeHead(sink.status, { 'content-type': 'application/x-protobuf', 'retry-after': '1' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  sink.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  sink.close = () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return sink;
}

let provider: ScriptedProvider;
let collector: Awaited<ReturnType<typeof startSink>>;
let elsewhere: Awaited<ReturnType<typeof startSink>>;
const environment = {
  OTEL_SERVICE_NAME: 'my-gateway',
  OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  OTEL_EXPORTER_OTLP_HEADERS: 'x-backend-key=theirs',
};

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('four')));
  collector = await startSink();
  elsewhere = await startSink();
  Object.assign(process.env, environment, { OTEL_EXPORTER_OTLP_ENDPOINT: elsewhere.url });
});
after(async () => {
  for (const name of [...Object.keys(environment), 'OTEL_EXPORTER_OTLP_ENDPOINT']) delete process.env[name];
  await Promise.all([provider.close(), collector.close(), elsewhere.close()]);
});

const start = (copy: OtelExport = 'off') =>
  startGateway({
    config: {
      ...loadConfig(undefined, {}),
      otel_export: copy,
      gateway: { host: '127.0.0.1', port: 0, run_idle_s: 60 },
      collector: { ...loadConfig(undefined, {}).collector, port: 0, url: collector.url },
      providers: {
        openai: { base_url: `${provider.url}/v1`, api_key: undefined, api_key_env: undefined },
        anthropic: { base_url: provider.url, api_key: undefined, api_key_env: undefined },
      },
    },
    registry: () => ({ loop: () => undefined }),
    keys: { find: async () => 'unknown' },
    clock: systemClock(),
    log: pino({ level: 'silent' }),
  });

const call = async (url: string, loop: string, run: string) => {
  const response = await fetch(`${url}/loops/${loop}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'secret words' }] }),
    headers: { 'x-loop-run': run },
  });
  await response.bytes();
};
const of = (sink: { spans: Span[] }, loop: string) => sink.spans.filter((s) => s.attributes[A.loop] === loop);

test('spans reach the collector as OTLP, named by the standard variables', async () => {
  const gateway = await start();
  await call(gateway.url, 'wire', 'r-1');
  await until('the call span', () => of(collector, 'wire').length === 1);
  await gateway.close();
  const [callSpan, agent, run] = of(collector, 'wire');
  assert.deepEqual([callSpan!.kind, agent!.kind, run!.kind], ['Client', 'Internal', 'Internal']);
  assert.equal(callSpan!.traceId, runTraceId('wire', 'r-1'));
  assert.equal(callSpan!.parentSpanId, agent!.spanId);
  assert.equal(agent!.parentSpanId, run!.spanId);
  assert.equal(run!.parentSpanId, '');
  assert.equal(callSpan!.resource['service.name'], 'my-gateway');
  assert.equal(callSpan!.resource['deployment.environment.name'], 'test');
  assert.equal(callSpan!.attributes[A.registered], 'false');
  assert.equal(callSpan!.attributes[A.inputTokens], '1000');
  assert.equal(callSpan!.attributes[A.outputText], 'four');
  assert.ok(callSpan!.startNs >= run!.startNs && callSpan!.endNs <= run!.endNs);
  assert.equal(of(elsewhere, 'wire').length, 0, 'only where asked for');
});

test('spans wait while the collector is away, and arrive once, in order', async () => {
  const gateway = await start();
  collector.status = 503;
  for (let i = 0; i < 5; i++) await call(gateway.url, 'waits', `r-${i}`);
  await until('a refused export', () => collector.refused > 0);
  assert.match(await (await fetch(`${gateway.url}/metrics`)).text(), /loopscope_span_queue_depth 5/);
  collector.status = 200;
  await until('the spans', () => of(collector, 'waits').length === 5);
  assert.deepEqual(
    of(collector, 'waits').map((s) => s.attributes[A.runId]),
    ['r-0', 'r-1', 'r-2', 'r-3', 'r-4'],
  );
  await gateway.close();
  assert.equal(of(collector, 'waits').length, 15);
});

test('the same spans go to another backend when the environment names one, content only when asked', async () => {
  for (const [facts, loop] of [
    ['spans', 'copied'],
    ['spans_and_content', 'copied-whole'],
  ] as const) {
    const gateway = await start(facts);
    await call(gateway.url, loop, 'r-1');
    await fetch(`${gateway.url}/loops/${loop}/runs/r-1/verdict`, {
      method: 'POST',
      body: JSON.stringify({ pass: true, explanation: 'it says the secret words' }),
    });
    await gateway.close();
    const said = (sink: { spans: Span[] }) =>
      JSON.stringify(of(sink, loop).map((s) => [s.attributes, s.events.map((e) => e.attributes)]));
    const ids = (sink: { spans: Span[] }) =>
      of(sink, loop)
        .map((s) => s.spanId)
        .sort();
    assert.equal(ids(elsewhere).length, 4);
    assert.deepEqual(ids(elsewhere), ids(collector));
    assert.equal(said(elsewhere).includes('secret words'), facts !== 'spans');
    assert.ok(said(collector).includes('it says the secret words'));
  }
});

test("another backend's key goes to that backend and not to the collector", async () => {
  const gateway = await start('spans');
  await call(gateway.url, 'keys', 'r-1');
  await gateway.close();
  assert.deepEqual([...elsewhere.keys], ['theirs']);
  assert.deepEqual([...collector.keys], [undefined]);
});

test('the standard variables say whether there is another backend', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x' };
  assert.equal(otelExport({}), 'off');
  assert.equal(otelExport(endpoint), 'spans');
  assert.equal(otelExport({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://x' }), 'spans');
  assert.equal(otelExport({ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }), 'off');
  assert.equal(
    otelExport({ ...endpoint, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: 'true' }),
    'spans_and_content',
  );
});

test('a gateway without a collector, or on a port in use, says so', async () => {
  const gateway = await start();
  const port = Number(new URL(gateway.url).port);
  const config = { ...loadConfig(undefined, {}), gateway: { host: '127.0.0.1', port, run_idle_s: 60 } };
  const rest = {
    registry: () => ({ loop: () => undefined }),
    keys: { find: async () => 'unknown' as const },
    clock: systemClock(),
    log: pino({ level: 'silent' }),
  };
  await assert.rejects(startGateway({ config, ...rest }), {
    code: 'config_invalid',
    message: /collector\.url/,
  });
  const withCollector = { ...config, collector: { ...config.collector, url: collector.url } };
  await assert.rejects(startGateway({ config: withCollector, ...rest }), {
    code: 'port_in_use',
    message: new RegExp(`port ${port}`),
  });
  await gateway.close();
});
