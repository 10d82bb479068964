/** Attributes as they are stored: every value a string (lists and maps as JSON). Null prototype: names come from strangers. */
export type Attributes = Record<string, string>;

/** Attributes to fill in: no prototype, so that `__proto__` and `constructor` are names like any other. */
export const emptyAttributes = (): Attributes => Object.create(null);

export type SpanKind = 'Unspecified' | 'Internal' | 'Server' | 'Client' | 'Producer' | 'Consumer';
export type StatusCode = 'Unset' | 'Ok' | 'Error';

export interface SpanEvent {
  timeNs: bigint;
  name: string;
  attributes: Attributes;
}

export interface SpanLink {
  traceId: string;
  spanId: string;
  traceState: string;
  attributes: Attributes;
}

/** One finished span, as it travels from decoding to storage. Ids are lower-case hex; `''` where there is none. */
export interface Span {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  name: string;
  kind: SpanKind;
  startNs: bigint;
  endNs: bigint;
  statusCode: StatusCode;
  statusMessage: string;
  resource: Attributes;
  scopeName: string;
  scopeVersion: string;
  attributes: Attributes;
  events: SpanEvent[];
  links: SpanLink[];
}
