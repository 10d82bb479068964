import { type Fields, fields, JsonLists, optional, text, timeNs } from '../decode/json-fields.ts';
import { parseExactJson } from '../decode/json-text.ts';
import { doubleOf, integerOf } from '../decode/json-value.ts';
import { malformed } from '../decode/refusals.ts';
import { jsonSources, type Source } from '../decode/source.ts';
import { OBJECT_COST } from '../decode/value.ts';
import type { Buckets, Exemplar, Metric, Point } from './point.ts';

/** The points of an `ExportMetricsServiceRequest` in JSON. Throws `bad_input` or `body_too_large` and nothing else. */
export function decodeJson(body: Buffer): Point[] {
  const lists = new JsonLists();
  const points: Point[] = [];
  jsonSources(parseExactJson(body), lists, NAMES, (of, source) => {
    for (const point of new MetricReader(lists, of, source).points()) points.push(point);
  });
  return points;
}

const NAMES = {
  resources: 'resourceMetrics',
  scopes: 'scopeMetrics',
  items: 'metrics',
  cost: OBJECT_COST.point,
} as const;

class MetricReader {
  private readonly lists: JsonLists;
  private readonly of: Fields;
  private readonly metric: Metric;

  constructor(lists: JsonLists, of: Fields, source: Source) {
    this.lists = lists;
    this.of = of;
    const [name, description, unit] = [text(of, 'name'), text(of, 'description'), text(of, 'unit')];
    this.metric = { name, description, unit, temporality: 0, monotonic: false, source };
  }

  points(): Point[] {
    const numbers = (kind: 'gauge' | 'sum') => (point: Fields) => ({
      kind,
      ...this.common(point),
      value: numberOf(point),
      exemplars: this.exemplars(point),
    });
    return [
      ...this.data('gauge', numbers('gauge')),
      ...this.data('sum', numbers('sum')),
      ...this.data('histogram', (point) => ({
        kind: 'histogram',
        ...this.distribution(point),
        bucketCounts: this.counts(point, 'bucketCounts'),
        explicitBounds: this.lists.values(point, 'explicitBounds', OBJECT_COST.number).map(doubleOf),
      })),
      ...this.data('exponentialHistogram', (point) => ({
        kind: 'exponential_histogram',
        ...this.distribution(point),
        scale: int32(point, 'scale'),
        zeroCount: count(point['zeroCount'], 'zeroCount'),
        positive: this.buckets(optional(point, 'positive')),
        negative: this.buckets(optional(point, 'negative')),
      })),
      ...this.data('summary', (point) => {
        const at = this.lists.list(point, 'quantileValues', OBJECT_COST.number);
        return {
          kind: 'summary',
          ...this.common(point),
          count: count(point['count'], 'count'),
          sum: double(point, 'sum'),
          quantiles: at.map((q) => double(q, 'quantile')),
          values: at.map((q) => double(q, 'value')),
        };
      }),
    ];
  }

  private data(name: string, point: (fields: Fields) => Point): Point[] {
    const data = this.of[name];
    if (data === undefined || data === null) return [];
    const of = fields(data, name);
    this.metric.temporality = temporalityOf(of['aggregationTemporality']);
    this.metric.monotonic = of['isMonotonic'] === true;
    return this.lists.list(of, 'dataPoints', OBJECT_COST.point).map(point);
  }

  private common(point: Fields) {
    return {
      metric: this.metric,
      attributes: this.lists.attributes(point),
      startNs: timeNs(point, 'startTimeUnixNano'),
      timeNs: timeNs(point, 'timeUnixNano'),
      flags: Number(point['flags'] ?? 0) >>> 0,
    };
  }

  private distribution(point: Fields) {
    return {
      ...this.common(point),
      count: count(point['count'], 'count'),
      sum: double(point, 'sum'),
      min: double(point, 'min'),
      max: double(point, 'max'),
      exemplars: this.exemplars(point),
    };
  }

  private exemplars(point: Fields): Exemplar[] {
    return this.lists.list(point, 'exemplars', OBJECT_COST.exemplar).map((exemplar) => ({
      attributes: this.lists.attributes(exemplar, 'filteredAttributes'),
      timeNs: timeNs(exemplar, 'timeUnixNano'),
      value: numberOf(exemplar) ?? 0,
      spanId: text(exemplar, 'spanId').toLowerCase(),
      traceId: text(exemplar, 'traceId').toLowerCase(),
    }));
  }

  private buckets(of: Fields): Buckets {
    return { offset: int32(of, 'offset'), counts: this.counts(of, 'bucketCounts') };
  }

  private counts(of: Fields, name: string): bigint[] {
    return this.lists.values(of, name, OBJECT_COST.number).map((value) => count(value, name));
  }
}

/** As a number, or by its name in the protocol: `AGGREGATION_TEMPORALITY_DELTA`. */
const temporalityOf = (value: unknown): number => {
  const named = ['UNSPECIFIED', 'DELTA', 'CUMULATIVE'].indexOf(
    String(value).replace('AGGREGATION_TEMPORALITY_', ''),
  );
  return named >= 0 ? named : Number(value ?? 0) >>> 0;
};

function numberOf(of: Fields): number | undefined {
  const { asInt, asDouble } = of;
  if (asDouble !== undefined && asDouble !== null) return doubleOf(asDouble);
  if (asInt === undefined || asInt === null) return undefined;
  const value = integerOf(asInt);
  if (value === undefined || BigInt.asIntN(64, value) !== value)
    throw malformed('JSON: asInt: expected a 64-bit integer');
  return Number(value);
}

function count(value: unknown, name: string): bigint {
  if (value === undefined || value === null) return 0n;
  const n = integerOf(value);
  if (n === undefined || BigInt.asUintN(64, n) !== n)
    throw malformed(`JSON: ${name}: expected a count of up to 64 bits`);
  return n;
}

const double = (of: Fields, name: string): number => {
  const value = of[name];
  return value === undefined || value === null ? 0 : doubleOf(value);
};

function int32(of: Fields, name: string): number {
  const value = Number(of[name] ?? 0);
  if ((value | 0) === value) return value;
  throw malformed(`JSON: ${name}: expected an integer of 32 bits`);
}
