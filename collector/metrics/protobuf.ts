import { emptyAttributes } from '../../src/span/span.ts';
import { keyValue } from '../decode/protobuf.ts';
import { protobufSources, type Source } from '../decode/source.ts';
import { OBJECT_COST } from '../decode/value.ts';
import { WireReader } from '../decode/wire.ts';
import type {
  AnyPoint,
  Buckets,
  Exemplar,
  ExponentialHistogramPoint,
  HistogramPoint,
  Metric,
  NumberPoint,
  Point,
  SummaryPoint,
} from './point.ts';

const VARINT = 0;
const FIXED64 = 1;
const LEN = 2;

/** The points of an `ExportMetricsServiceRequest` in protobuf. Throws `bad_input` or `body_too_large` and nothing else. */
export function decodeProtobuf(body: Buffer): Point[] {
  const r = new WireReader(body);
  const points: Point[] = [];
  protobufSources(r, (source) => metric(r, source, points));
  return points;
}

function metric(r: WireReader, source: Source, points: Point[]): void {
  const outer = r.enter(OBJECT_COST.point);
  const m: Metric = { name: '', description: '', unit: '', temporality: 0, monotonic: false, source };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) m.name = r.string();
    else if (tag === ((2 << 3) | LEN)) m.description = r.string();
    else if (tag === ((3 << 3) | LEN)) m.unit = r.string();
    else if (tag === ((5 << 3) | LEN)) data(r, m, () => points.push(numberPoint(r, m, 'gauge')));
    else if (tag === ((7 << 3) | LEN)) data(r, m, () => points.push(numberPoint(r, m, 'sum')));
    else if (tag === ((9 << 3) | LEN)) data(r, m, () => points.push(histogramPoint(r, m)));
    else if (tag === ((10 << 3) | LEN)) data(r, m, () => points.push(exponentialPoint(r, m)));
    else if (tag === ((11 << 3) | LEN)) data(r, m, () => points.push(summaryPoint(r, m)));
    else r.skip(tag);
  }
  r.leave(outer);
}

/** Gauge, Sum, Histogram, ExponentialHistogram and Summary number their fields alike. */
function data(r: WireReader, m: Metric, point: () => void): void {
  const outer = r.enter();
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) point();
    else if (tag === ((2 << 3) | VARINT)) m.temporality = r.uint32();
    else if (tag === ((3 << 3) | VARINT)) m.monotonic = r.int64() !== 0n;
    else r.skip(tag);
  }
  r.leave(outer);
}

function numberPoint(r: WireReader, metric: Metric, kind: 'gauge' | 'sum'): NumberPoint {
  const outer = r.enter(OBJECT_COST.point);
  const p: NumberPoint = { kind, ...anyPoint(metric), value: undefined, exemplars: [] };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((2 << 3) | FIXED64)) p.startNs = r.fixed64();
    else if (tag === ((3 << 3) | FIXED64)) p.timeNs = r.fixed64();
    else if (tag === ((4 << 3) | FIXED64)) p.value = r.double();
    else if (tag === ((5 << 3) | LEN)) p.exemplars.push(exemplar(r));
    else if (tag === ((6 << 3) | FIXED64)) p.value = signed(r);
    else if (tag === ((7 << 3) | LEN)) keyValue(r, p.attributes);
    else if (tag === ((8 << 3) | VARINT)) p.flags = r.uint32();
    else r.skip(tag);
  }
  r.leave(outer);
  return p;
}

function histogramPoint(r: WireReader, metric: Metric): HistogramPoint {
  const outer = r.enter(OBJECT_COST.point);
  const p: HistogramPoint = {
    kind: 'histogram',
    ...distribution(metric),
    bucketCounts: [],
    explicitBounds: [],
  };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((2 << 3) | FIXED64)) p.startNs = r.fixed64();
    else if (tag === ((3 << 3) | FIXED64)) p.timeNs = r.fixed64();
    else if (tag === ((4 << 3) | FIXED64)) p.count = r.fixed64();
    else if (tag === ((5 << 3) | FIXED64)) p.sum = r.double();
    else if (tag === ((6 << 3) | LEN)) r.packed(() => r.fixed64(), p.bucketCounts);
    else if (tag === ((6 << 3) | FIXED64)) p.bucketCounts.push(r.fixed64());
    else if (tag === ((7 << 3) | LEN)) r.packed(() => r.double(), p.explicitBounds);
    else if (tag === ((7 << 3) | FIXED64)) p.explicitBounds.push(r.double());
    else if (tag === ((8 << 3) | LEN)) p.exemplars.push(exemplar(r));
    else if (tag === ((9 << 3) | LEN)) keyValue(r, p.attributes);
    else if (tag === ((10 << 3) | VARINT)) p.flags = r.uint32();
    else if (tag === ((11 << 3) | FIXED64)) p.min = r.double();
    else if (tag === ((12 << 3) | FIXED64)) p.max = r.double();
    else r.skip(tag);
  }
  r.leave(outer);
  return p;
}

function exponentialPoint(r: WireReader, metric: Metric): ExponentialHistogramPoint {
  const outer = r.enter(OBJECT_COST.point);
  const p: ExponentialHistogramPoint = {
    kind: 'exponential_histogram',
    ...distribution(metric),
    scale: 0,
    zeroCount: 0n,
    positive: { offset: 0, counts: [] },
    negative: { offset: 0, counts: [] },
  };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) keyValue(r, p.attributes);
    else if (tag === ((2 << 3) | FIXED64)) p.startNs = r.fixed64();
    else if (tag === ((3 << 3) | FIXED64)) p.timeNs = r.fixed64();
    else if (tag === ((4 << 3) | FIXED64)) p.count = r.fixed64();
    else if (tag === ((5 << 3) | FIXED64)) p.sum = r.double();
    else if (tag === ((6 << 3) | VARINT)) p.scale = r.sint32();
    else if (tag === ((7 << 3) | FIXED64)) p.zeroCount = r.fixed64();
    else if (tag === ((8 << 3) | LEN)) buckets(r, p.positive);
    else if (tag === ((9 << 3) | LEN)) buckets(r, p.negative);
    else if (tag === ((10 << 3) | VARINT)) p.flags = r.uint32();
    else if (tag === ((11 << 3) | LEN)) p.exemplars.push(exemplar(r));
    else if (tag === ((12 << 3) | FIXED64)) p.min = r.double();
    else if (tag === ((13 << 3) | FIXED64)) p.max = r.double();
    else r.skip(tag);
  }
  r.leave(outer);
  return p;
}

function buckets(r: WireReader, into: Buckets): void {
  const outer = r.enter();
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | VARINT)) into.offset = r.sint32();
    else if (tag === ((2 << 3) | LEN)) r.packed(() => unsigned(r), into.counts);
    else if (tag === ((2 << 3) | VARINT)) into.counts.push(unsigned(r));
    else r.skip(tag);
  }
  r.leave(outer);
}

function summaryPoint(r: WireReader, metric: Metric): SummaryPoint {
  const outer = r.enter(OBJECT_COST.point);
  const p: SummaryPoint = {
    kind: 'summary',
    ...anyPoint(metric),
    count: 0n,
    sum: 0,
    quantiles: [],
    values: [],
  };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((2 << 3) | FIXED64)) p.startNs = r.fixed64();
    else if (tag === ((3 << 3) | FIXED64)) p.timeNs = r.fixed64();
    else if (tag === ((4 << 3) | FIXED64)) p.count = r.fixed64();
    else if (tag === ((5 << 3) | FIXED64)) p.sum = r.double();
    else if (tag === ((6 << 3) | LEN)) quantile(r, p);
    else if (tag === ((7 << 3) | LEN)) keyValue(r, p.attributes);
    else if (tag === ((8 << 3) | VARINT)) p.flags = r.uint32();
    else r.skip(tag);
  }
  r.leave(outer);
  return p;
}

function quantile(r: WireReader, into: SummaryPoint): void {
  const outer = r.enter();
  let quantile = 0;
  let value = 0;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | FIXED64)) quantile = r.double();
    else if (tag === ((2 << 3) | FIXED64)) value = r.double();
    else r.skip(tag);
  }
  into.quantiles.push(quantile);
  into.values.push(value);
  r.leave(outer);
}

function exemplar(r: WireReader): Exemplar {
  const outer = r.enter(OBJECT_COST.exemplar);
  const e: Exemplar = { attributes: emptyAttributes(), timeNs: 0n, value: 0, spanId: '', traceId: '' };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((2 << 3) | FIXED64)) e.timeNs = r.fixed64();
    else if (tag === ((3 << 3) | FIXED64)) e.value = r.double();
    else if (tag === ((4 << 3) | LEN)) e.spanId = r.hex();
    else if (tag === ((5 << 3) | LEN)) e.traceId = r.hex();
    else if (tag === ((6 << 3) | FIXED64)) e.value = signed(r);
    else if (tag === ((7 << 3) | LEN)) keyValue(r, e.attributes);
    else r.skip(tag);
  }
  r.leave(outer);
  return e;
}

const signed = (r: WireReader): number => Number(BigInt.asIntN(64, r.fixed64()));
const unsigned = (r: WireReader): bigint => BigInt.asUintN(64, r.int64());

const anyPoint = (metric: Metric): AnyPoint => ({
  metric,
  attributes: emptyAttributes(),
  startNs: 0n,
  timeNs: 0n,
  flags: 0,
});

const distribution = (metric: Metric) => ({
  ...anyPoint(metric),
  count: 0n,
  sum: 0,
  min: 0,
  max: 0,
  exemplars: [] as Exemplar[],
});
