import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeMetrics } from '../../collector/metrics/decode.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { encodeRequest, jsonRequest } from '../support/otlp-proto.ts';
import * as v from '../support/otlp-values.ts';

/** Random metrics of every type through protobufjs and plain JSON, neither of which knows our decoders, and back. */
/** Without -0, which JSON does not tell from 0. */
const double = fc.double().map((n) => (n === 0 ? 0 : n));
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const number = fc.oneof(
  double.map((n) => ({ sent: { asDouble: n }, value: n })),
  v.int64.map((n) => ({ sent: { asInt: n }, value: Number(n) })),
);
const exemplar = fc
  .record({
    time: v.uint64,
    number,
    attributes: v.attributes,
    spanId: fc.uint8Array({ maxLength: 8 }),
    traceId: fc.uint8Array({ maxLength: 16 }),
  })
  .map((e) => ({
    sent: {
      timeUnixNano: e.time,
      ...e.number.sent,
      spanId: Buffer.from(e.spanId),
      traceId: Buffer.from(e.traceId),
      filteredAttributes: v.keyValues(e.attributes),
    },
    expected: {
      attributes: v.expectedAttributes(e.attributes),
      timeNs: e.time,
      value: e.number.value,
      spanId: Buffer.from(e.spanId).toString('hex'),
      traceId: Buffer.from(e.traceId).toString('hex'),
    },
  }));
const exemplars = fc.array(exemplar, { maxLength: 2 });

const common = fc
  .record({ start: v.uint64, time: v.uint64, flags: uint32, attributes: v.attributes })
  .map((p) => ({
    sent: {
      startTimeUnixNano: p.start,
      timeUnixNano: p.time,
      flags: p.flags,
      attributes: v.keyValues(p.attributes),
    },
    expected: {
      startNs: p.start,
      timeNs: p.time,
      flags: p.flags,
      attributes: v.expectedAttributes(p.attributes),
    },
  }));

interface Point {
  sent: object;
  expected: object;
}

const numberPoint: fc.Arbitrary<Point> = fc
  .tuple(common, fc.option(number, { nil: undefined }), exemplars)
  .map(([point, n, ex]) => ({
    sent: { ...point.sent, ...n?.sent, exemplars: ex.map((e) => e.sent) },
    expected: { ...point.expected, value: n?.value, exemplars: ex.map((e) => e.expected) },
  }));

const optional = fc.option(double, { nil: undefined });
const distribution = fc
  .tuple(common, v.uint64, fc.record({ sum: optional, min: optional, max: optional }), exemplars)
  .map(([point, count, { sum, min, max }, ex]) => ({
    sent: {
      ...point.sent,
      count,
      ...(sum !== undefined && { sum }),
      ...(min !== undefined && { min }),
      ...(max !== undefined && { max }),
      exemplars: ex.map((e) => e.sent),
    },
    expected: {
      ...point.expected,
      count,
      sum: sum ?? 0,
      min: min ?? 0,
      max: max ?? 0,
      exemplars: ex.map((e) => e.expected),
    },
  }));

const counts = fc.array(v.uint64, { maxLength: 5 });
const histogramPoint: fc.Arbitrary<Point> = fc
  .tuple(distribution, counts, fc.array(double, { maxLength: 5 }))
  .map(([point, bucketCounts, explicitBounds]) => ({
    sent: { ...point.sent, bucketCounts, explicitBounds },
    expected: { ...point.expected, bucketCounts, explicitBounds },
  }));

const buckets = fc.record({ offset: int32, bucketCounts: counts });
const exponentialPoint: fc.Arbitrary<Point> = fc
  .tuple(distribution, fc.record({ scale: int32, zeroCount: v.uint64, positive: buckets, negative: buckets }))
  .map(([point, { scale, zeroCount, positive, negative }]) => ({
    sent: { ...point.sent, scale, zeroCount, positive, negative, zeroThreshold: 0.5 },
    expected: {
      ...point.expected,
      scale,
      zeroCount,
      positive: { offset: positive.offset, counts: positive.bucketCounts },
      negative: { offset: negative.offset, counts: negative.bucketCounts },
    },
  }));

const summaryPoint: fc.Arbitrary<Point> = fc
  .tuple(common, v.uint64, double, fc.array(fc.record({ quantile: double, value: double }), { maxLength: 3 }))
  .map(([point, count, sum, quantileValues]) => ({
    sent: { ...point.sent, count, sum, quantileValues },
    expected: {
      ...point.expected,
      count,
      sum,
      quantiles: quantileValues.map((q) => q.quantile),
      values: quantileValues.map((q) => q.value),
    },
  }));

const temporality = fc.integer({ min: 0, max: 2 });
const points = (point: fc.Arbitrary<Point>) => fc.array(point, { maxLength: 3 });
const data = fc.oneof(
  fc.record({ kind: fc.constant('gauge'), points: points(numberPoint) }),
  fc.record({ kind: fc.constant('sum'), points: points(numberPoint), temporality, monotonic: fc.boolean() }),
  fc.record({ kind: fc.constant('histogram'), points: points(histogramPoint), temporality }),
  fc.record({ kind: fc.constant('exponential_histogram'), points: points(exponentialPoint), temporality }),
  fc.record({ kind: fc.constant('summary'), points: points(summaryPoint) }),
) as fc.Arbitrary<{ kind: string; points: Point[]; temporality?: number; monotonic?: boolean }>;
const metric = fc.record({ name: v.text, description: v.text, unit: v.text, data });
const requests = fc.record({
  attributes: v.attributes,
  schemaUrl: v.text,
  scope: v.text,
  metrics: fc.array(metric, { maxLength: 3 }),
});
type Request = typeof requests extends fc.Arbitrary<infer T> ? T : never;

const message = ({ attributes, schemaUrl, scope, metrics }: Request): object => ({
  resourceMetrics: [
    {
      resource: { attributes: v.keyValues(attributes) },
      schemaUrl,
      scopeMetrics: [
        {
          scope: { name: scope },
          metrics: metrics.map(({ name, description, unit, data }) => ({
            name,
            description,
            unit,
            metadata: [{ key: 'of', value: { stringValue: 'the metric itself' } }],
            [data.kind === 'exponential_histogram' ? 'exponentialHistogram' : data.kind]: {
              dataPoints: data.points.map((p) => p.sent),
              ...(data.temporality !== undefined && { aggregationTemporality: data.temporality }),
              ...(data.monotonic !== undefined && { isMonotonic: data.monotonic }),
            },
          })),
        },
      ],
    },
  ],
});

const expected = ({ attributes, schemaUrl, scope, metrics }: Request) =>
  metrics.flatMap(({ name, description, unit, data }) =>
    data.points.map((p) => ({
      kind: data.kind,
      ...p.expected,
      metric: {
        name,
        description,
        unit,
        temporality: data.temporality ?? 0,
        monotonic: data.monotonic ?? false,
        source: {
          resource: { attributes: v.expectedAttributes(attributes), schemaUrl },
          scope: {
            name: scope,
            version: '',
            attributes: v.expectedAttributes([]),
            droppedAttributes: 0,
            schemaUrl: '',
          },
        },
      },
    })),
  );

test('any data point comes out of protobuf as it went in', () => {
  fc.assert(
    fc.property(requests, (request) => {
      assert.deepEqual(
        decodeMetrics(encodeRequest('metrics', message(request)), 'protobuf'),
        expected(request),
      );
    }),
    { numRuns: 300 },
  );
});

test('any data point comes out of JSON as it went in', () => {
  fc.assert(
    fc.property(requests, (request) => {
      assert.deepEqual(decodeMetrics(jsonRequest(message(request)), 'json'), expected(request));
    }),
    { numRuns: 300 },
  );
});

test('whatever the bytes are, the outcome is points or a refusal', () => {
  const mangled = fc
    .tuple(requests, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.boolean())
    .map(([request, at, byte, cut]) => {
      const bytes = encodeRequest('metrics', message(request));
      if (cut) return bytes.subarray(0, at % bytes.length);
      bytes[at % bytes.length] = byte;
      return bytes;
    });
  fc.assert(
    fc.property(mangled, fc.constantFrom('protobuf' as const, 'json' as const), (bytes, encoding) => {
      try {
        decodeMetrics(bytes, encoding);
      } catch (error) {
        assert.ok(error instanceof LoopscopeError && ['bad_input', 'body_too_large'].includes(error.code));
      }
    }),
    { numRuns: 2_000 },
  );
});
