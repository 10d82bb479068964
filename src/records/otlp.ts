import type { Attributes, Span } from '../span/span.ts';

const KINDS = ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'];
const STATUS_CODES = ['Unset', 'Ok', 'Error'];

/** Spans of one resource and scope as an OTLP/JSON trace export request. At least one span. */
export function otlpJson(spans: readonly Span[]): string {
  const { resource, scopeName, scopeVersion } = spans[0]!;
  const scopeSpans = [{ scope: { name: scopeName, version: scopeVersion }, spans: spans.map(otlpSpan) }];
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: keyValues(resource) }, scopeSpans }] });
}

const otlpSpan = (span: Span) => ({
  traceId: span.traceId,
  spanId: span.spanId,
  parentSpanId: span.parentSpanId,
  traceState: span.traceState,
  name: span.name,
  kind: KINDS.indexOf(span.kind),
  startTimeUnixNano: String(span.startNs),
  endTimeUnixNano: String(span.endNs),
  status: { code: STATUS_CODES.indexOf(span.statusCode), message: span.statusMessage },
  attributes: keyValues(span.attributes),
  events: span.events.map((e) => ({
    timeUnixNano: String(e.timeNs),
    name: e.name,
    attributes: keyValues(e.attributes),
  })),
  links: span.links.map((l) => ({
    traceId: l.traceId,
    spanId: l.spanId,
    traceState: l.traceState,
    attributes: keyValues(l.attributes),
  })),
});

const keyValues = (attributes: Attributes) =>
  Object.entries(attributes).map(([key, stringValue]) => ({ key, value: { stringValue } }));
