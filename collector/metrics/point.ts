import type { Attributes } from '../../src/span/span.ts';
import type { Source } from '../decode/source.ts';

/** A data point of a metric, as it travels from decoding to its row: one of five kinds, a table each. */
export type Point = NumberPoint | HistogramPoint | ExponentialHistogramPoint | SummaryPoint;

/** What all points of a metric share. */
export interface Metric {
  name: string;
  description: string;
  unit: string;
  /** 0 where nobody said, 1 what was since the last report (delta), 2 what was since the start (cumulative). */
  temporality: number;
  monotonic: boolean;
  source: Source;
}

export interface AnyPoint {
  metric: Metric;
  attributes: Attributes;
  /** When counting began; 0 where nobody said. */
  startNs: bigint;
  timeNs: bigint;
  /** Bit 0: nothing was recorded, and the values say nothing. */
  flags: number;
}

export interface NumberPoint extends AnyPoint {
  kind: 'gauge' | 'sum';
  /** `undefined` where it has none. */
  value: number | undefined;
  exemplars: Exemplar[];
}

interface DistributionPoint extends AnyPoint {
  count: bigint;
  /** These three are optional in the protocol; 0 where nobody said, as the exporter's columns have no other word. */
  sum: number;
  min: number;
  max: number;
  exemplars: Exemplar[];
}

export interface HistogramPoint extends DistributionPoint {
  kind: 'histogram';
  bucketCounts: bigint[];
  explicitBounds: number[];
}

export interface ExponentialHistogramPoint extends DistributionPoint {
  kind: 'exponential_histogram';
  scale: number;
  zeroCount: bigint;
  positive: Buckets;
  negative: Buckets;
}

export interface Buckets {
  offset: number;
  counts: bigint[];
}

export interface SummaryPoint extends AnyPoint {
  kind: 'summary';
  count: bigint;
  sum: number;
  quantiles: number[];
  values: number[];
}

/** One of the measurements behind a point, with the span it was made in. */
export interface Exemplar {
  attributes: Attributes;
  timeNs: bigint;
  value: number;
  spanId: string;
  traceId: string;
}
