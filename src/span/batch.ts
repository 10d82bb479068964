import type { Span } from './span.ts';

/** What the collector's stages hand to each other. Here, so that no stage needs another one. */

/** Encoding of an OTLP request, and so of its answer. */
export type OtlpEncoding = 'protobuf' | 'json';

/** A piece of content, kept apart from the spans that refer to it by `hash`. */
export interface Message {
  hash: string;
  /** system | user | assistant | tool; `''` where nobody said. */
  role: string;
  content: string;
}

/** What one export request brought, ready to be stored. It counts as stored once all of it is. */
export interface SpanBatch {
  spans: Span[];
  /** Stored before the spans that refer to them. */
  messages: Message[];
  /** Hash of the request's body: the same request again has the same digest. */
  digest: string;
  /**
   * The sender may send these spans again, in other batches, at any later time (an import): spans that are stored
   * already are left out.
   */
  repeatable: boolean;
}

/** What became of a batch. */
export type StoreOutcome =
  | { kind: 'stored'; repeatedSpans: number }
  | { kind: 'unavailable'; message: string }
  | { kind: 'rejected'; message: string };

/** Rows of one table, serialised as they will be inserted, within the bounds of one insert. */
export interface Chunk {
  table: 'messages' | 'otel_traces';
  /** ClickHouse's name of the format of `bytes`. */
  format: 'JSONEachRow';
  rows: number;
  /** The partitions the rows go to, each once: an insert may have only so many. */
  partitions: number[];
  bytes: Buffer;
}
