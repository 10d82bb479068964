import type { Chunk } from '../../src/span/batch.ts';
import { type Row, rowChunks } from '../insert/row-chunks.ts';
import type { Exemplar, Point } from './point.ts';

/** The kinds in the order of their tables. */
const KINDS = ['gauge', 'sum', 'histogram', 'exponential_histogram', 'summary'] as const;

/** Points as rows of the OTel ClickHouse exporter's tables, cut into inserts. */
export function metricChunks(points: readonly Point[]): Chunk[] {
  const byKind = Map.groupBy(points, (point) => point.kind);
  return KINDS.flatMap((kind) => rowChunks(`otel_metrics_${kind}`, rows(byKind.get(kind) ?? [])));
}

function* rows(points: readonly Point[]): Iterable<Row> {
  for (const point of points)
    yield { day: Number(point.timeNs / DAY_NS), columns: { ...common(point), ...values(point) } };
}

function common({ metric, attributes, startNs, timeNs, flags }: Point): object {
  const { resource, scope } = metric.source;
  return {
    ResourceAttributes: resource.attributes,
    ResourceSchemaUrl: resource.schemaUrl,
    ScopeName: scope.name,
    ScopeVersion: scope.version,
    ScopeAttributes: scope.attributes,
    ScopeDroppedAttrCount: scope.droppedAttributes,
    ScopeSchemaUrl: scope.schemaUrl,
    ServiceName: resource.attributes['service.name'] ?? '',
    MetricName: metric.name,
    MetricDescription: metric.description,
    MetricUnit: metric.unit,
    Attributes: attributes,
    StartTimeUnix: seconds(startNs),
    TimeUnix: seconds(timeNs),
    Flags: flags,
  };
}

function values(point: Point): object {
  const { temporality, monotonic } = point.metric;
  switch (point.kind) {
    case 'gauge':
      return { Value: double(point.value ?? 0), ...exemplars(point.exemplars) };
    case 'sum':
      return {
        Value: double(point.value ?? 0),
        ...exemplars(point.exemplars),
        AggregationTemporality: temporality,
        IsMonotonic: monotonic,
      };
    case 'histogram':
      return {
        ...distribution(point),
        BucketCounts: point.bucketCounts.map(String),
        ExplicitBounds: point.explicitBounds.map(double),
      };
    case 'exponential_histogram':
      return {
        ...distribution(point),
        Scale: point.scale,
        ZeroCount: String(point.zeroCount),
        PositiveOffset: point.positive.offset,
        PositiveBucketCounts: point.positive.counts.map(String),
        NegativeOffset: point.negative.offset,
        NegativeBucketCounts: point.negative.counts.map(String),
      };
    case 'summary':
      return {
        Count: String(point.count),
        Sum: double(point.sum),
        'ValueAtQuantiles.Quantile': point.quantiles.map(double),
        'ValueAtQuantiles.Value': point.values.map(double),
      };
  }
}

const distribution = (point: Extract<Point, { min: number }>): object => ({
  Count: String(point.count),
  Sum: double(point.sum),
  Min: double(point.min),
  Max: double(point.max),
  ...exemplars(point.exemplars),
  AggregationTemporality: point.metric.temporality,
});

const exemplars = (all: readonly Exemplar[]): object => ({
  'Exemplars.FilteredAttributes': all.map((e) => e.attributes),
  'Exemplars.TimeUnix': all.map((e) => seconds(e.timeNs)),
  'Exemplars.Value': all.map((e) => double(e.value)),
  'Exemplars.SpanId': all.map((e) => e.spanId),
  'Exemplars.TraceId': all.map((e) => e.traceId),
});

const DAY_NS = 86_400_000_000_000n;
const seconds = (ns: bigint): number => Number(ns / 1_000_000_000n);

/** JSON has no word for these, and `null` would be stored as 0. */
const double = (value: number): number | string => {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
};
