import type { Span } from '../../src/span/span.ts';

/** A span as a row of `otel_traces`, for JSONEachRow. Nested columns are arrays of one length. */
export const spanRow = (span: Span): object => ({
  Timestamp: timestamp(span.startNs),
  TraceId: span.traceId,
  SpanId: span.spanId,
  ParentSpanId: span.parentSpanId,
  TraceState: span.traceState,
  SpanName: span.name,
  SpanKind: span.kind,
  ServiceName: span.resource['service.name'] ?? '',
  ResourceAttributes: span.resource,
  ScopeName: span.scopeName,
  ScopeVersion: span.scopeVersion,
  SpanAttributes: span.attributes,
  // A clock that was set back is no reason for a duration of 584 years.
  Duration: String(span.endNs > span.startNs ? span.endNs - span.startNs : 0n),
  StatusCode: span.statusCode,
  StatusMessage: span.statusMessage,
  'Events.Timestamp': span.events.map((e) => timestamp(e.timeNs)),
  'Events.Name': span.events.map((e) => e.name),
  'Events.Attributes': span.events.map((e) => e.attributes),
  'Links.TraceId': span.links.map((l) => l.traceId),
  'Links.SpanId': span.links.map((l) => l.spanId),
  'Links.TraceState': span.links.map((l) => l.traceState),
  'Links.Attributes': span.links.map((l) => l.attributes),
});

/** `2023-06-27T09:00:00.123456789Z`: the zone is named, as the server's own may be any. */
export function timestamp(ns: bigint): string {
  const seconds = ns / 1_000_000_000n;
  const fraction = String(ns % 1_000_000_000n).padStart(9, '0');
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${fraction}Z`;
}

/** The partition a span goes to: days since 1970, UTC. */
export const spanDay = (span: Span): number => Number(span.startNs / 86_400_000_000_000n);

/** About how long the row is, in characters. */
export function rowLength(span: Span): number {
  let length = 400 + span.name.length + span.statusMessage.length;
  const add = (attributes: Record<string, string>) => {
    for (const key in attributes) length += key.length + attributes[key]!.length + 6;
  };
  add(span.attributes);
  add(span.resource);
  for (const event of span.events) add(event.attributes);
  for (const link of span.links) add(link.attributes);
  return length;
}
