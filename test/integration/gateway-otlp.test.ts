import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { systemClock } from '../../src/clock.ts';
import { loadConfig, type OtelExport, otelExport } from '../../src/config.ts';
import { startGateway } from '../../src/gateway/server.ts';
import { A } from '../../src/span/attributes.ts';
import { runTraceId } from '../../src/span/ids.ts';
import {
  chatCompletion,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import { type SpanReceiver, startSpanReceiver } from '../support/span-receiver.ts';
import { until } from '../support/until.ts';

let provider: ScriptedProvider;
let collector: SpanReceiver;
let elsewhere: SpanReceiver;
const folder = mkdtempSync(join(tmpdir(), 'loopscope-gateway-'));
const environment = {
  OTEL_SERVICE_NAME: 'my-gateway',
  OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  OTEL_EXPORTER_OTLP_HEADERS: 'x-backend-key=theirs',
};

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('four')));
  collector = await startSpanReceiver();
  elsewhere = await startSpanReceiver();
  Object.assign(process.env, environment, { OTEL_EXPORTER_OTLP_ENDPOINT: elsewhere.url });
});
after(async () => {
  for (const name of [...Object.keys(environment), 'OTEL_EXPORTER_OTLP_ENDPOINT']) delete process.env[name];
  await Promise.all([provider.close(), collector.close(), elsewhere.close()]);
  rmSync(folder, { recursive: true, force: true });
});

const start = (copy: OtelExport = 'off') =>
  startGateway({
    config: {
      ...loadConfig(undefined, {}),
      otel_export: copy,
      gateway: { ...loadConfig(undefined, {}).gateway, port: 0 },

      collector: { ...loadConfig(undefined, {}).collector, port: 0, url: collector.url },
      providers: {
        openai: { base_url: `${provider.url}/v1`, api_key: undefined, api_key_env: undefined },
        anthropic: { base_url: provider.url, api_key: undefined, api_key_env: undefined },
      },
    },
    registry: () => ({ loops: new Map(), loop: () => undefined }),
    keys: { find: () => 'unknown' },
    clock: systemClock(),
    log: pino({ level: 'silent' }),
    folder,
  });

const call = async (url: string, loop: string, run: string) => {
  const response = await fetch(`${url}/loops/${loop}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'secret words' }] }),
    headers: { 'x-loop-run': run },
  });
  await response.bytes();
};
const of = (sink: SpanReceiver, loop: string) => sink.spans.filter((s) => s.attributes[A.loop] === loop);

test('spans reach the collector as OTLP, named by the standard variables', async () => {
  const gateway = await start();
  await call(gateway.url, 'wire', 'r-1');
  await until('the call span', () => of(collector, 'wire').length === 1);
  await gateway.close();
  const [callSpan, agent, run] = of(collector, 'wire');
  assert.deepEqual([callSpan!.kind, agent!.kind, run!.kind], [3, 1, 1]);
  assert.equal(callSpan!.traceId, runTraceId('wire', 'r-1'));
  assert.equal(callSpan!.parentSpanId, agent!.spanId);
  assert.equal(agent!.parentSpanId, run!.spanId);
  assert.equal(run!.parentSpanId, undefined);
  assert.equal(callSpan!.resource['service.name'], 'my-gateway');
  assert.equal(callSpan!.resource['deployment.environment.name'], 'test');
  assert.equal(callSpan!.attributes[A.registered], false);
  assert.equal(callSpan!.attributes[A.inputTokens], 1000);
  assert.equal(callSpan!.attributes[A.outputText], 'four');
  assert.ok(callSpan!.startNs >= run!.startNs && callSpan!.endNs <= run!.endNs);
  assert.equal(of(elsewhere, 'wire').length, 0, 'only where asked for');
});

test('spans wait while the collector is away, and arrive once, in order', async () => {
  const gateway = await start();
  collector.status = 503;
  for (let i = 0; i < 5; i++) await call(gateway.url, 'waits', `r-${i}`);
  await until('a refused export', () => collector.refused > 0);
  assert.match(await (await fetch(`${gateway.url}/metrics`)).text(), /loopscope_gateway_spool_records 5/);
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
    const said = (sink: SpanReceiver) =>
      JSON.stringify(of(sink, loop).map((s) => [s.attributes, s.events.map((e) => e.attributes)]));
    const ids = (sink: SpanReceiver) =>
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
  const config = { ...loadConfig(undefined, {}), gateway: { ...loadConfig(undefined, {}).gateway, port } };
  const rest = {
    registry: () => ({ loops: new Map(), loop: () => undefined }),
    keys: { find: () => 'unknown' as const },
    clock: systemClock(),
    log: pino({ level: 'silent' }),
    folder: join(folder, 'other'),
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
