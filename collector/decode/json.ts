import { LIMITS } from '../../src/span/limits.ts';
import {
  type Attributes,
  emptyAttributes,
  type Span,
  type SpanEvent,
  type SpanLink,
} from '../../src/span/span.ts';
import { spanKindOf, statusCodeOf } from './enums.ts';
import { parseExactJson } from './json-text.ts';
import { anyValueText, integerOf, wellFormed } from './json-value.ts';
import { malformed, tooManyObjects } from './refusals.ts';
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

type Fields = Record<string, unknown>;

class JsonDecoder {
  private objectsLeft: number = LIMITS.otlpObjectsMax;

  request(root: unknown): Span[] {
    const spans: Span[] = [];
    for (const resourceSpans of this.list(fields(root, 'the request'), 'resourceSpans', 1)) {
      const resource = this.attributes(optional(resourceSpans, 'resource'));
      for (const scopeSpans of this.list(resourceSpans, 'scopeSpans', 1)) {
        const scope = optional(scopeSpans, 'scope');
        const scopeName = text(scope, 'name');
        const scopeVersion = text(scope, 'version');
        for (const span of this.list(scopeSpans, 'spans', OBJECT_COST.span))
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
      attributes: this.attributes(span),
      events: this.list(span, 'events', OBJECT_COST.event).map((event) => this.event(event)),
      links: this.list(span, 'links', OBJECT_COST.link).map((link) => this.link(link)),
    };
  }

  private event(event: Fields): SpanEvent {
    return {
      timeNs: timeNs(event, 'timeUnixNano'),
      name: text(event, 'name'),
      attributes: this.attributes(event),
    };
  }

  private link(link: Fields): SpanLink {
    return {
      traceId: text(link, 'traceId').toLowerCase(),
      spanId: text(link, 'spanId').toLowerCase(),
      traceState: text(link, 'traceState'),
      attributes: this.attributes(link),
    };
  }

  private attributes(of: Fields): Attributes {
    const attributes = emptyAttributes();
    for (const attribute of this.list(of, 'attributes', OBJECT_COST.attribute))
      attributes[text(attribute, 'key')] = anyValueText(attribute['value']);
    return attributes;
  }

  private list(of: Fields, name: string, cost: number): Fields[] {
    const value = of[name];
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) throw malformed(`JSON: ${name}: expected a list, found ${kindOf(value)}`);
    this.objectsLeft -= cost * value.length;
    if (this.objectsLeft < 0) throw tooManyObjects();
    for (const item of value) fields(item, name);
    return value as Fields[];
  }
}

const NO_FIELDS: Fields = Object.freeze(Object.create(null));

function optional(of: Fields, name: string): Fields {
  const value = of[name];
  return value === undefined || value === null ? NO_FIELDS : fields(value, name);
}

function fields(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw malformed(`JSON: ${what}: expected an object, found ${kindOf(value)}`);
}

function text(of: Fields, name: string): string {
  const value = of[name];
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return wellFormed(value);
  throw malformed(`JSON: ${name}: expected a string, found ${kindOf(value)}`);
}

function timeNs(of: Fields, name: string): bigint {
  const value = of[name];
  if (value === undefined || value === null || value === '') return 0n;
  const time = integerOf(value);
  if (time !== undefined && time >= 0n && time < 1n << 64n) return time;
  throw malformed(`JSON: ${name}: expected nanoseconds since 1970 as an integer, found ${kindOf(value)}`);
}

const kindOf = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
