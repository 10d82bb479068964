import { LIMITS } from '../../src/span/limits.ts';
import { boundAttributes, cutText } from '../admit/cut.ts';
import type { Source } from '../decode/source.ts';
import type { Exemplar, Point } from './point.ts';

/** Why a data point was not taken. */
export const REJECTIONS = {
  point_time: 'its time is past the year 2106',
  no_value: 'it has no value and does not say that none was recorded',
  metric_name: 'its metric has no name',
  buckets: `it has more than ${LIMITS.bucketsPerPointMax} buckets or quantiles`,
} as const;
export type Rejection = keyof typeof REJECTIONS;

/** What was cut off points that were taken. */
export type Cut = 'attributes' | 'value' | 'name' | 'exemplars' | 'exemplar_time' | 'start_time';

export interface Admitted {
  points: Point[];
  rejected: Partial<Record<Rejection, number>>;
  cut: Partial<Record<Cut, number>>;
}

/** Decides which points are kept and brings them within `LIMITS`. Changes the points it is given. */
export function admit(points: readonly Point[]): Admitted {
  const admitted: Admitted = { points: [], rejected: {}, cut: {} };
  const onCut = (what: Cut) => {
    admitted.cut[what] = (admitted.cut[what] ?? 0) + 1;
  };
  const sources = new Set<Source>();
  for (const point of points) {
    const rejection = rejectionOf(point);
    if (rejection) {
      admitted.rejected[rejection] = (admitted.rejected[rejection] ?? 0) + 1;
      continue;
    }
    sources.add(point.metric.source);
    bound(point, onCut);
    admitted.points.push(point);
  }
  const shared = new Set(
    [...sources].flatMap(({ resource, scope }) => [resource.attributes, scope.attributes]),
  );
  for (const attributes of shared) boundAttributes(attributes, onCut);
  return admitted;
}

/** The last second of ClickHouse's DateTime. */
const TIME_MAX_NS = (2n ** 32n - 1n) * 1_000_000_000n;
const NO_RECORDED_VALUE = 1;

function rejectionOf(point: Point): Rejection | undefined {
  if (point.metric.name === '') return 'metric_name';
  if (point.timeNs > TIME_MAX_NS) return 'point_time';
  if ((point.kind === 'gauge' || point.kind === 'sum') && point.value === undefined)
    return (point.flags & NO_RECORDED_VALUE) === 0 ? 'no_value' : undefined;
  return bucketsOf(point) > LIMITS.bucketsPerPointMax ? 'buckets' : undefined;
}

function bucketsOf(point: Point): number {
  if (point.kind === 'histogram') return Math.max(point.bucketCounts.length, point.explicitBounds.length);
  if (point.kind === 'exponential_histogram')
    return point.positive.counts.length + point.negative.counts.length;
  return point.kind === 'summary' ? point.quantiles.length : 0;
}

function bound(point: Point, onCut: (what: Cut) => void): void {
  const { metric } = point;
  for (const field of ['name', 'description', 'unit'] as const) {
    const text = cutText(metric[field], LIMITS.spanNameBytesMax);
    if (text !== metric[field]) onCut('name');
    metric[field] = text;
  }
  boundAttributes(point.attributes, onCut);
  if (point.startNs > TIME_MAX_NS) {
    point.startNs = 0n;
    onCut('start_time');
  }
  if (point.kind === 'summary') return;
  if (point.exemplars.length > LIMITS.exemplarsPerPointMax) {
    point.exemplars.length = LIMITS.exemplarsPerPointMax;
    onCut('exemplars');
  }
  for (const exemplar of point.exemplars) boundExemplar(exemplar, onCut);
}

function boundExemplar(exemplar: Exemplar, onCut: (what: Cut) => void): void {
  boundAttributes(exemplar.attributes, onCut);
  if (exemplar.timeNs <= TIME_MAX_NS) return;
  exemplar.timeNs = 0n;
  onCut('exemplar_time');
}
