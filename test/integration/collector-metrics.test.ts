import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import type { Collector } from '../../collector/collector.ts';
import { startTestCollector } from '../support/collector.ts';
import { encodeRequest, jsonRequest } from '../support/otlp-proto.ts';
import { startTestStore } from '../support/store.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;

before(async () => {
  clickhouse = await startTestStore();
  collector = await startTestCollector({ store: clickhouse.store });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

const query = (sql: string) => clickhouse.store.query<Record<string, unknown>>(sql);

async function post(body: Buffer, encoding: 'protobuf' | 'json'): Promise<unknown> {
  const response = await fetch(`${collector.url}/v1/metrics`, {
    method: 'POST',
    headers: { 'content-type': encoding === 'json' ? 'application/json' : 'application/x-protobuf' },
    body: new Uint8Array(body),
  });
  assert.equal(response.status, 200);
  const answer = encoding === 'json' ? await response.json() : await response.bytes();
  await collector.flush();
  return answer;
}

test('what the OpenTelemetry SDK measures is in the tables, a kind each', async () => {
  const provider = new MeterProvider({
    resource: resourceFromAttributes({ 'service.name': 'sdk-meter' }),
    views: [
      {
        instrumentName: 'sizes',
        aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 20 } },
      },
    ],
    readers: [
      new PeriodicExportingMetricReader({
        exporter: new OTLPMetricExporter({ url: `${collector.url}/v1/metrics` }) as never,
        exportIntervalMillis: 600_000,
      }),
    ],
  });
  const meter = provider.getMeter('scope', '1.2');
  meter.createCounter('tokens', { unit: '{token}', description: 'used' }).add(7, { model: 'gpt-6' });
  meter.createGauge('depth').record(0.5);
  const latency = meter.createHistogram('latency', { advice: { explicitBucketBoundaries: [1, 10] } });
  for (const ms of [0.5, 5, 5, 50]) latency.record(ms);
  const sizes = meter.createHistogram('sizes');
  for (const size of [0, 1, 2, 4]) sizes.record(size);
  await provider.forceFlush();
  await provider.shutdown();

  await collector.flush();
  assert.deepEqual(
    await query(
      `SELECT DISTINCT MetricName, MetricUnit, MetricDescription, Value, Attributes, AggregationTemporality, IsMonotonic, Loop
       FROM loopscope.otel_metrics_sum WHERE ServiceName = 'sdk-meter'`,
    ),
    [
      {
        MetricName: 'tokens',
        MetricUnit: '{token}',
        MetricDescription: 'used',
        Value: 7,
        Attributes: { model: 'gpt-6' },
        AggregationTemporality: 2,
        IsMonotonic: true,
        Loop: 'sdk-meter',
      },
    ],
  );
  assert.deepEqual(
    await query(
      `SELECT DISTINCT MetricName, Value, ScopeName, ScopeVersion FROM loopscope.otel_metrics_gauge`,
    ),
    [{ MetricName: 'depth', Value: 0.5, ScopeName: 'scope', ScopeVersion: '1.2' }],
  );
  assert.deepEqual(
    await query(
      `SELECT DISTINCT MetricName, Count, Sum, Min, Max, BucketCounts, ExplicitBounds FROM loopscope.otel_metrics_histogram`,
    ),
    [
      {
        MetricName: 'latency',
        Count: 4,
        Sum: 60.5,
        Min: 0.5,
        Max: 50,
        BucketCounts: [1, 2, 1],
        ExplicitBounds: [1, 10],
      },
    ],
  );
  const [exponential] = await query(
    `SELECT MetricName, Count, Sum, ZeroCount, arraySum(PositiveBucketCounts) AS positive, Max
     FROM loopscope.otel_metrics_exponential_histogram`,
  );
  assert.deepEqual(exponential, {
    MetricName: 'sizes',
    Count: 4,
    Sum: 7,
    ZeroCount: 1,
    positive: 3,
    Max: 4,
  });
});

const AT = 1_700_000_000_000_000_000n;
const request = (service: string, metrics: object[]): object => ({
  resourceMetrics: [
    {
      resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
      scopeMetrics: [{ metrics }],
    },
  ],
});

for (const encoding of ['protobuf', 'json'] as const)
  test(`values that are hard to write down arrive as they are, in ${encoding}`, async () => {
    const service = `hard-${encoding}`;
    const exemplar = {
      timeUnixNano: AT,
      asInt: -3n,
      spanId: Buffer.from('00f067aa0ba902b7', 'hex'),
      traceId: Buffer.from('4bf92f3577b34da6a3ce929d0e0e4736', 'hex'),
      filteredAttributes: [{ key: 'k', value: { boolValue: true } }],
    };
    const message = request(service, [
      {
        name: 'doubles',
        gauge: {
          dataPoints: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN].map((asDouble, i) => ({
            timeUnixNano: AT + BigInt(i) * 1_000_000_000n,
            asDouble,
          })),
        },
      },
      {
        name: 'largest',
        histogram: {
          dataPoints: [
            {
              timeUnixNano: AT,
              count: 2n ** 64n - 1n,
              bucketCounts: [2n ** 64n - 1n],
              exemplars: [exemplar],
            },
          ],
          aggregationTemporality: 1,
        },
      },
      {
        name: 'quantiles',
        summary: {
          dataPoints: [
            { timeUnixNano: AT, count: 3n, sum: 1.5, quantileValues: [{ quantile: 0.99, value: 0.75 }] },
          ],
        },
      },
      { name: 'nothing', sum: { dataPoints: [{ timeUnixNano: AT, flags: 1 }] } },
    ]);
    await post(encoding === 'json' ? jsonRequest(message) : encodeRequest('metrics', message), encoding);

    const of = `WHERE ServiceName = '${service}'`;
    assert.deepEqual(
      await query(`SELECT toString(Value) AS v FROM loopscope.otel_metrics_gauge ${of} ORDER BY TimeUnix`),
      [{ v: 'inf' }, { v: '-inf' }, { v: 'nan' }],
    );
    assert.deepEqual(
      await query(
        `SELECT toString(Count) AS count, toString(BucketCounts) AS buckets, Exemplars.Value AS value,
           Exemplars.SpanId AS span, Exemplars.FilteredAttributes AS filtered, AggregationTemporality AS temporality
         FROM loopscope.otel_metrics_histogram ${of}`,
      ),
      [
        {
          count: '18446744073709551615',
          buckets: '[18446744073709551615]',
          value: [-3],
          span: ['00f067aa0ba902b7'],
          filtered: [{ k: 'true' }],
          temporality: 1,
        },
      ],
    );
    assert.deepEqual(
      await query(
        `SELECT Count, Sum, ValueAtQuantiles.Quantile AS q, ValueAtQuantiles.Value AS v
         FROM loopscope.otel_metrics_summary ${of}`,
      ),
      [{ Count: 3, Sum: 1.5, q: [0.99], v: [0.75] }],
    );
    assert.deepEqual(await query(`SELECT Value, Flags FROM loopscope.otel_metrics_sum ${of}`), [
      { Value: 0, Flags: 1 },
    ]);
  });

test('points that cannot be kept are named and counted, the others stay', async () => {
  const answer = await post(
    jsonRequest(
      request('bounds', [
        { name: '', gauge: { dataPoints: [{ timeUnixNano: AT, asInt: 1n }] } },
        { name: 'no value', gauge: { dataPoints: [{ timeUnixNano: AT }] } },
        { name: 'too late', gauge: { dataPoints: [{ timeUnixNano: 2n ** 63n, asInt: 1n }] } },
        {
          name: 'too many',
          histogram: { dataPoints: [{ timeUnixNano: AT, bucketCounts: new Array(16_385).fill(1) }] },
        },
        { name: 'kept', gauge: { dataPoints: [{ timeUnixNano: AT, asInt: 1n }] } },
      ]),
    ),
    'json',
  );
  const { rejectedDataPoints, errorMessage } = (
    answer as { partialSuccess: { rejectedDataPoints: string; errorMessage: string } }
  ).partialSuccess;
  assert.equal(rejectedDataPoints, '4');
  for (const why of ['no name', 'no value', '2106', '16384 buckets'])
    assert.ok(errorMessage.includes(why), `${why}: ${errorMessage}`);
  assert.deepEqual(
    await query(`SELECT MetricName FROM loopscope.otel_metrics_gauge WHERE ServiceName = 'bounds'`),
    [{ MetricName: 'kept' }],
  );
});
