/** What the collector's stages hand to each other. Here, so that no stage needs another one. */

/** Encoding of an OTLP request, and so of its answer. */
export type OtlpEncoding = 'protobuf' | 'json';

/** A piece of content, kept apart from the spans that refer to it by `hash`. */
export interface Message {
  hash: string;
  /** system | user | assistant | tool; `''` where nobody said. */
  role: string;
  content: string;
  /** The trace in which it came; `''` where nobody said. */
  traceId: string;
}

/** Tables that requests are stored in, in the order they are written: a span is not there before what it refers to. */
export const TABLES = [
  'messages',
  'otel_traces',
  'otel_logs',
  'otel_metrics_gauge',
  'otel_metrics_sum',
  'otel_metrics_histogram',
  'otel_metrics_exponential_histogram',
  'otel_metrics_summary',
] as const;
export type Table = (typeof TABLES)[number];

/** Rows of one table, serialised as they will be inserted, within the bounds of one insert. */
export interface Chunk {
  table: Table;
  /** ClickHouse's name of the format of `bytes`. */
  format: 'JSONEachRow' | 'Native';
  rows: number;
  /** The partitions the rows go to, each once: an insert may have only so many. */
  partitions: number[];
  bytes: Buffer;
}

/** The three kinds of OTLP requests. */
export type Signal = 'traces' | 'logs' | 'metrics';

/** What one export request became: rows ready to be stored, and what was left out of them. */
export interface Prepared {
  /** In the order of `TABLES`. */
  chunks: Chunk[];
  /** Spans, log records or data points that were taken. */
  items: number;
  /** Items that were not, by reason; `REJECTIONS` of the signal says in words what a reason means. */
  rejected: Partial<Record<string, number>>;
  /** What was cut off items that were taken, by what it was. */
  cut: Partial<Record<string, number>>;
  /** To be called once the chunks are durable: later requests need not bring the same messages again. */
  kept(): void;
}
