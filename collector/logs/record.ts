import type { Attributes } from '../../src/span/span.ts';
import type { Source } from '../decode/source.ts';

/** One log record, as it travels from decoding to its row. Ids are lower-case hex; `''` where there is none. */
export interface LogRecord {
  /** When it happened; 0 where nobody said. */
  timeNs: bigint;
  /** When it was collected; 0 where nobody said. */
  observedNs: bigint;
  /** 1 (TRACE) to 24 (FATAL4); 0 where nobody said. */
  severityNumber: number;
  severityText: string;
  /** A scalar as it is, a list or map as JSON. */
  body: string;
  attributes: Attributes;
  /** The W3C trace flags; bit 0 says that the trace was sampled. */
  flags: number;
  traceId: string;
  spanId: string;
  eventName: string;
  source: Source;
}
