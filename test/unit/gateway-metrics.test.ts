import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InferenceMetrics, type MeasuredCall } from '../../src/gateway/inference-metrics.ts';
import { familyText } from '../../src/gateway/metric-family.ts';
import { labelWorkers } from '../../src/gateway-workers/metrics.ts';

const call = (more: Partial<MeasuredCall> = {}): MeasuredCall => ({
  operation: 'chat',
  provider: 'openai',
  model: 'gpt-4o',
  errorType: undefined,
  seconds: 1,
  firstChunkSeconds: undefined,
  usage: undefined,
  ...more,
});

const textOf = (...calls: MeasuredCall[]) => {
  const metrics = new InferenceMetrics();
  for (const one of calls) metrics.add(one);
  return metrics.text();
};

test('a call counts in the histograms of the conventions, with their labels and their buckets', () => {
  const usage = { inputTokens: 1000, outputTokens: 100 } as NonNullable<MeasuredCall['usage']>;
  const lines = textOf(
    call({ seconds: 0.32, firstChunkSeconds: 0.05, usage }),
    call({ seconds: 100, usage }),
    call({ seconds: 0.1, errorType: 'timeout' }),
  ).split('\n');
  const labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"';
  const duration = 'gen_ai_client_inference_duration_seconds';
  assert.deepEqual(
    lines
      .filter((line) => line.startsWith(`${duration}_bucket{${labels},le=`))
      .map((line) => /le="(.*)"} (\d+)$/.exec(line)!.slice(1)),
    [
      ...['0.01', '0.02', '0.04', '0.08', '0.16'].map((bound) => [bound, '0']),
      ...['0.32', '0.64', '1.28', '2.56', '5.12', '10.24', '20.48', '40.96', '81.92'].map((b) => [b, '1']),
      ['+Inf', '2'],
    ],
  );
  for (const line of [
    `# TYPE ${duration} histogram`,
    `${duration}_sum{${labels}} 100.32`,
    `${duration}_count{${labels}} 2`,
    `${duration}_count{${labels},error_type="timeout"} 1`,
    `gen_ai_client_inference_time_to_first_chunk_seconds_count{${labels}} 1`,
    '# TYPE gen_ai_client_inference_usage_input_tokens_total counter',
    `gen_ai_client_inference_usage_input_tokens_total{${labels}} 2000`,
    `gen_ai_client_inference_usage_output_tokens_total{${labels}} 200`,
  ])
    assert.ok(lines.includes(line), line);
});

test('however many models and errors there are, the series are bounded and no call is lost', () => {
  const calls = Array.from({ length: 3_000 }, (_, i) => call({ model: `m-${i}`, errorType: `e-${i}` }));
  const counts = [
    ...textOf(...calls).matchAll(/^gen_ai_client_inference_duration_seconds_count\{(.*)\} (\d+)$/gm),
  ];
  assert.ok(counts.length <= 1_200, `${counts.length} series`);
  assert.equal(
    counts.reduce((sum, [, , n]) => sum + Number(n), 0),
    3_000,
  );
  assert.ok(counts.some(([, labels]) => labels!.includes('model="other",error_type="_OTHER"')));
});

test('names that callers choose are labels that Prometheus reads, each once', () => {
  const long = 'x'.repeat(10_000);
  const text = textOf(
    call({ model: 'a"b\\c\nd\te' }),
    call({ model: `${long}1` }),
    call({ model: `${long}2` }),
    call({ model: '\ud800' }),
  );
  const models = [
    ...text.matchAll(/^gen_ai_client_inference_duration_seconds_count\{.*model="(.*)"\}/gm),
  ].map(([, model]) => model);
  assert.deepEqual(models, ['a\\"b\\\\c\\nd\te', 'x'.repeat(200), '\ufffd']);
});

test('series of several workers stand under one head, each with its worker', () => {
  const text = (value: number) =>
    familyText({ name: 'a_total', type: 'counter', help: 'A', samples: [{ labels: {}, value }] }) +
    familyText({ name: 'b', type: 'gauge', help: 'B', samples: [{ labels: { of: 'x y{}' }, value }] });
  assert.equal(
    labelWorkers([
      { worker: 1, text: text(1) },
      { worker: 2, text: text(2) },
    ]),
    '# HELP a_total A.\n# TYPE a_total counter\na_total{worker="1"} 1\na_total{worker="2"} 2\n' +
      '# HELP b B.\n# TYPE b gauge\nb{worker="1",of="x y{}"} 1\nb{worker="2",of="x y{}"} 2\n',
  );
});
