import {
  type Attributes,
  emptyAttributes,
  type Span,
  type SpanEvent,
  type SpanLink,
} from '../../src/span/span.ts';
import { spanKind, statusCode } from './enums.ts';
import { doubleJson, NESTED_DEPTH_MAX, OBJECT_COST } from './value.ts';
import { WireReader } from './wire.ts';

/**
 * `ExportTraceServiceRequest` in protobuf → spans. Field numbers are those of opentelemetry-proto 1.x; a case label
 * is the field's whole tag, `field << 3 | wire type`, so a known field with a wrong wire type is skipped as unknown.
 * Throws `bad_input` or `body_too_large` and nothing else.
 */
export function decodeProtobuf(body: Buffer): Span[] {
  const r = new WireReader(body);
  const spans: Span[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | 2)) resourceSpans(r, spans);
    else r.skip(tag);
  }
  return spans;
}

const LEN = 2;
const FIXED64 = 1;
const VARINT = 0;

function resourceSpans(r: WireReader, spans: Span[]): void {
  const outer = r.enter();
  const resource = emptyAttributes();
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag) {
      case (1 << 3) | LEN: {
        const message = r.enter();
        for (let t = r.tag(); t !== 0; t = r.tag()) {
          if (t === ((1 << 3) | LEN)) keyValue(r, resource);
          else r.skip(t);
        }
        r.leave(message);
        break;
      }
      case (2 << 3) | LEN:
        scopeSpans(r, resource, spans);
        break;
      default:
        r.skip(tag);
    }
  }
  r.leave(outer);
}

function scopeSpans(r: WireReader, resource: Attributes, spans: Span[]): void {
  const outer = r.enter();
  const first = spans.length;
  let scopeName = '';
  let scopeVersion = '';
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag) {
      case (1 << 3) | LEN: {
        const message = r.enter();
        for (let t = r.tag(); t !== 0; t = r.tag()) {
          if (t === ((1 << 3) | LEN)) scopeName = r.string();
          else if (t === ((2 << 3) | LEN)) scopeVersion = r.string();
          else r.skip(t);
        }
        r.leave(message);
        break;
      }
      case (2 << 3) | LEN:
        spans.push(decodeSpan(r, resource));
        break;
      default:
        r.skip(tag);
    }
  }
  // Fields may come in any order: the scope is known for sure only at the end.
  for (let i = first; i < spans.length; i++) {
    spans[i]!.scopeName = scopeName;
    spans[i]!.scopeVersion = scopeVersion;
  }
  r.leave(outer);
}

/** A span whose length is the next thing `r` reads; its scope is not in it. */
export function decodeSpan(r: WireReader, resource: Attributes): Span {
  const outer = r.enter(OBJECT_COST.span);
  const s: Span = {
    traceId: '',
    spanId: '',
    parentSpanId: '',
    traceState: '',
    name: '',
    kind: 'Unspecified',
    startNs: 0n,
    endNs: 0n,
    statusCode: 'Unset',
    statusMessage: '',
    resource,
    scopeName: '',
    scopeVersion: '',
    attributes: emptyAttributes(),
    events: [],
    links: [],
  };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag) {
      case (1 << 3) | LEN:
        s.traceId = r.hex();
        break;
      case (2 << 3) | LEN:
        s.spanId = r.hex();
        break;
      case (3 << 3) | LEN:
        s.traceState = r.string();
        break;
      case (4 << 3) | LEN:
        s.parentSpanId = r.hex();
        break;
      case (5 << 3) | LEN:
        s.name = r.string();
        break;
      case (6 << 3) | VARINT:
        s.kind = spanKind(r.uint32());
        break;
      case (7 << 3) | FIXED64:
        s.startNs = r.fixed64();
        break;
      case (8 << 3) | FIXED64:
        s.endNs = r.fixed64();
        break;
      case (9 << 3) | LEN:
        keyValue(r, s.attributes);
        break;
      case (11 << 3) | LEN:
        s.events.push(event(r));
        break;
      case (13 << 3) | LEN:
        s.links.push(link(r));
        break;
      case (15 << 3) | LEN: {
        const message = r.enter();
        for (let t = r.tag(); t !== 0; t = r.tag()) {
          if (t === ((2 << 3) | LEN)) s.statusMessage = r.string();
          else if (t === ((3 << 3) | VARINT)) s.statusCode = statusCode(r.uint32());
          else r.skip(t);
        }
        r.leave(message);
        break;
      }
      default:
        r.skip(tag);
    }
  }
  r.leave(outer);
  return s;
}

function event(r: WireReader): SpanEvent {
  const outer = r.enter(OBJECT_COST.event);
  const e: SpanEvent = { timeNs: 0n, name: '', attributes: emptyAttributes() };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | FIXED64)) e.timeNs = r.fixed64();
    else if (tag === ((2 << 3) | LEN)) e.name = r.string();
    else if (tag === ((3 << 3) | LEN)) keyValue(r, e.attributes);
    else r.skip(tag);
  }
  r.leave(outer);
  return e;
}

function link(r: WireReader): SpanLink {
  const outer = r.enter(OBJECT_COST.link);
  const l: SpanLink = { traceId: '', spanId: '', traceState: '', attributes: emptyAttributes() };
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) l.traceId = r.hex();
    else if (tag === ((2 << 3) | LEN)) l.spanId = r.hex();
    else if (tag === ((3 << 3) | LEN)) l.traceState = r.string();
    else if (tag === ((4 << 3) | LEN)) keyValue(r, l.attributes);
    else r.skip(tag);
  }
  r.leave(outer);
  return l;
}

export function keyValue(r: WireReader, into: Attributes): void {
  const outer = r.enter();
  let key = '';
  let value = '';
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) key = r.string();
    else if (tag === ((2 << 3) | LEN)) value = anyValue(r, 0, false);
    else r.skip(tag);
  }
  r.leave(outer);
  into[key] = value;
}

/** An AnyValue as text; `nested` ones are JSON, where strings have quotes. */
export function anyValue(r: WireReader, depth: number, nested: boolean): string {
  const outer = r.enter();
  let text = nested ? 'null' : '';
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    switch (tag) {
      case (1 << 3) | LEN:
        text = nested ? JSON.stringify(r.string()) : r.string();
        break;
      case (2 << 3) | VARINT:
        text = r.int64() === 0n ? 'false' : 'true';
        break;
      case (3 << 3) | VARINT:
        text = String(r.int64());
        break;
      case (4 << 3) | FIXED64:
        text = nested ? doubleJson(r.double()) : String(r.double());
        break;
      case (5 << 3) | LEN:
        text = depth < NESTED_DEPTH_MAX ? arrayJson(r, depth + 1) : skipped(r, tag);
        break;
      case (6 << 3) | LEN:
        text = depth < NESTED_DEPTH_MAX ? mapJson(r, depth + 1) : skipped(r, tag);
        break;
      case (7 << 3) | LEN:
        text = nested ? `"${r.base64()}"` : r.base64();
        break;
      default:
        r.skip(tag);
    }
  }
  r.leave(outer);
  return text;
}

function skipped(r: WireReader, tag: number): string {
  r.skip(tag);
  return 'null';
}

function arrayJson(r: WireReader, depth: number): string {
  const outer = r.enter();
  const items: string[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag === ((1 << 3) | LEN)) items.push(anyValue(r, depth, true));
    else r.skip(tag);
  }
  r.leave(outer);
  return `[${items.join(',')}]`;
}

function mapJson(r: WireReader, depth: number): string {
  const outer = r.enter();
  const entries: string[] = [];
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (tag !== ((1 << 3) | LEN)) {
      r.skip(tag);
      continue;
    }
    const entry = r.enter();
    let key = '';
    let value = 'null';
    for (let t = r.tag(); t !== 0; t = r.tag()) {
      if (t === ((1 << 3) | LEN)) key = r.string();
      else if (t === ((2 << 3) | LEN)) value = anyValue(r, depth, true);
      else r.skip(t);
    }
    r.leave(entry);
    entries.push(`${JSON.stringify(key)}:${value}`);
  }
  r.leave(outer);
  return `{${entries.join(',')}}`;
}
