import type { Attributes, Span, SpanEvent, SpanLink } from '../../src/span/span.ts';
import { spanKindOf, statusCodeOf } from './enums.ts';
import { type Fields, fields, JsonLists, optional, text, timeNs } from './json-fields.ts';
import { parseExactJson } from './json-text.ts';
import { OBJECT_COST } from './value.ts';

/**
 * `ExportTraceServiceRequest` in OTLP's JSON: lowerCamelCase names, ids in hexadecimal, enums as integers, 64-bit
 * integers as string or number, unknown fields ignored, `null` as absent.
 * Throws `bad_input` or `body_too_large` and nothing else.
 *
 * https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 */
export function decodeJson(body: Buffer): Span[] {
  return new JsonDecoder().request(parseExactJson(body));
}

class JsonDecoder {
  private readonly lists = new JsonLists();

  request(root: unknown): Span[] {
    const spans: Span[] = [];
    for (const resourceSpans of this.lists.list(fields(root, 'the request'), 'resourceSpans', 1)) {
      const resource = this.lists.attributes(optional(resourceSpans, 'resource'));
      for (const scopeSpans of this.lists.list(resourceSpans, 'scopeSpans', 1)) {
        const scope = optional(scopeSpans, 'scope');
        const scopeName = text(scope, 'name');
        const scopeVersion = text(scope, 'version');
        for (const span of this.lists.list(scopeSpans, 'spans', OBJECT_COST.span))
          spans.push(this.span(span, resource, scopeName, scopeVersion));
      }
    }
    return spans;
  }

  private span(span: Fields, resource: Attributes, scopeName: string, scopeVersion: string): Span {
    const status = optional(span, 'status');
    return {
      traceId: text(span, 'traceId').toLowerCase(),
      spanId: text(span, 'spanId').toLowerCase(),
      parentSpanId: text(span, 'parentSpanId').toLowerCase(),
      traceState: text(span, 'traceState'),
      name: text(span, 'name'),
      kind: spanKindOf(span['kind']),
      startNs: timeNs(span, 'startTimeUnixNano'),
      endNs: timeNs(span, 'endTimeUnixNano'),
      statusCode: statusCodeOf(status['code']),
      statusMessage: text(status, 'message'),
      resource,
      scopeName,
      scopeVersion,
      attributes: this.lists.attributes(span),
      events: this.lists.list(span, 'events', OBJECT_COST.event).map((event) => this.event(event)),
      links: this.lists.list(span, 'links', OBJECT_COST.link).map((link) => this.link(link)),
    };
  }

  private event(event: Fields): SpanEvent {
    return {
      timeNs: timeNs(event, 'timeUnixNano'),
      name: text(event, 'name'),
      attributes: this.lists.attributes(event),
    };
  }

  private link(link: Fields): SpanLink {
    return {
      traceId: text(link, 'traceId').toLowerCase(),
      spanId: text(link, 'spanId').toLowerCase(),
      traceState: text(link, 'traceState'),
      attributes: this.lists.attributes(link),
    };
  }
}
