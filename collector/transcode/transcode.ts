import type { Chunk } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { type Attributes, emptyAttributes, type Span } from '../../src/span/span.ts';
import type { Admission, Rejection } from '../admit/admit.ts';
import { KINDS, STATUS_CODES } from '../decode/enums.ts';
import { anyValue, decodeSpan, keyValue } from '../decode/protobuf.ts';
import { OBJECT_COST } from '../decode/value.ts';
import { WireReader } from '../decode/wire.ts';
import { appendSpan, high, low } from './append.ts';
import type { AttributesColumn } from './attributes.ts';
import type { Bytes } from './bytes.ts';
import { SpanBlock } from './span-block.ts';
import { EMPTY_NAME, FIRST_KIND, FIRST_STATUS, ROLE } from './span-names.ts';

const VARINT = 0;
const FIXED64 = 1;
const LEN = 2;

const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;

/**
 * `ExportTraceServiceRequest` in protobuf → blocks of `otel_traces` in Native, with no object for a span or an
 * attribute in between: bytes go from the request into columns.
 *
 * A span that must be looked at as a whole takes the longer way, through `decodeSpan` and admission: one with prompts or
 * answers in it, one of another convention, one past a limit, one that names an attribute twice. Both ways give the
 * same rows, and which is taken is decided here, span by span.
 */
export class Transcoder {
  private readonly block = new SpanBlock();
  private readonly chunks: Chunk[] = [];

  // The span that is being read: where its parts are.
  private traceIdAt = 0;
  private traceIdSize = 0;
  private spanIdAt = 0;
  private spanIdSize = 0;
  private parentAt = 0;
  private parentSize = 0;
  private stateAt = 0;
  private stateSize = 0;
  private nameAt = 0;
  private nameSize = 0;
  private messageAt = 0;
  private messageSize = 0;
  private kind = 0;
  private status = 0;
  private startLow = 0;
  private startHigh = 0;
  private endLow = 0;
  private endHigh = 0;
  /** `ROLE`s of its attributes' names, together. */
  private roles = 0;

  private lastName = EMPTY_NAME;
  private lastEventName = EMPTY_NAME;

  // What the spans being read belong to.
  private resource: Attributes = emptyAttributes();
  private scopeName = '';
  private scopeVersion = '';

  /** Gives blocks of the spans that `admission` kept, in order. Throws `bad_input` or `body_too_large`. */
  transcode(body: Buffer, admission: Admission): Chunk[] {
    return this.collect(() => {
      const r = new WireReader(body);
      for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
        if (tag === ((1 << 3) | LEN)) this.resourceSpans(r, admission);
        else r.skip(tag);
      }
    });
  }

  /** The same of spans that are objects, and admitted. */
  append(spans: readonly Span[]): Chunk[] {
    return this.collect(() => {
      for (const span of spans) this.appendOne(span);
    });
  }

  private collect(fill: () => void): Chunk[] {
    try {
      fill();
      this.finishBlock();
      return this.chunks.splice(0);
    } catch (error) {
      this.block.reset();
      this.chunks.length = 0;
      throw error;
    }
  }

  private finishBlock(): void {
    const chunk = this.block.finish();
    if (chunk) this.chunks.push(chunk);
  }

  private appendOne(span: Span): void {
    if (this.block.isFull(low(span.startNs), high(span.startNs))) this.finishBlock();
    appendSpan(this.block, span);
  }

  private resourceSpans(r: WireReader, admission: Admission): void {
    const outer = r.enter();
    // Fields may come in any order, and what all spans share must be known before the first of them.
    const start = r.position;
    this.resource = emptyAttributes();
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag !== ((1 << 3) | LEN)) {
        r.skip(tag);
        continue;
      }
      const message = r.enter();
      for (let t = r.tag(); t !== 0; t = r.tag()) {
        if (t === ((1 << 3) | LEN)) keyValue(r, this.resource);
        else r.skip(t);
      }
      r.leave(message);
    }
    admission.boundResource(this.resource);
    r.seek(start);
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === ((2 << 3) | LEN)) this.scopeSpans(r, admission);
      else r.skip(tag);
    }
    r.leave(outer);
  }

  private scopeSpans(r: WireReader, admission: Admission): void {
    const outer = r.enter();
    const start = r.position;
    this.scopeName = '';
    this.scopeVersion = '';
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag !== ((1 << 3) | LEN)) {
        r.skip(tag);
        continue;
      }
      const message = r.enter();
      for (let t = r.tag(); t !== 0; t = r.tag()) {
        if (t === ((1 << 3) | LEN)) this.scopeName = r.string();
        else if (t === ((2 << 3) | LEN)) this.scopeVersion = r.string();
        else r.skip(t);
      }
      r.leave(message);
    }
    r.seek(start);
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === ((2 << 3) | LEN)) this.span(r, admission);
      else r.skip(tag);
    }
    r.leave(outer);
  }

  private span(r: WireReader, admission: Admission): void {
    const start = r.position;
    const { block } = this;
    block.begin();
    const isPlain = this.read(r);
    if (isPlain && block.isFull(this.startLow, this.startHigh)) {
      block.cancel();
      this.finishBlock();
      r.seek(start);
      this.span(r, admission);
      return;
    }
    const rejection = isPlain ? this.rejectionOf(r.bytes) : undefined;
    if (isPlain && rejection === undefined) {
      this.write(r.bytes);
      return;
    }
    block.cancel();
    if (rejection !== undefined) admission.reject(rejection);
    else this.takeALook(r.bytes, start, admission);
  }

  /** The longer way. */
  private takeALook(body: Buffer, start: number, admission: Admission): void {
    const again = new WireReader(body);
    again.seek(start);
    const span = decodeSpan(again, this.resource);
    span.scopeName = this.scopeName;
    span.scopeVersion = this.scopeVersion;
    if (admission.admit(span)) this.appendOne(span);
  }

  /** Reads a span; `false` where it must be looked at as a whole. */
  private read(r: WireReader): boolean {
    const outer = r.enter(OBJECT_COST.span);
    const { block } = this;
    this.traceIdSize = this.spanIdSize = this.parentSize = this.stateSize = 0;
    this.nameSize = this.messageSize = 0;
    this.kind = this.status = this.roles = 0;
    this.startLow = this.startHigh = this.endLow = this.endHigh = 0;
    let isPlain = true;
    let attributes = 0;
    let events = 0;
    let links = 0;
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      switch (tag) {
        case (1 << 3) | LEN:
          r.span();
          this.traceIdAt = r.at;
          this.traceIdSize = r.size;
          break;
        case (2 << 3) | LEN:
          r.span();
          this.spanIdAt = r.at;
          this.spanIdSize = r.size;
          break;
        case (3 << 3) | LEN:
          r.span();
          this.stateAt = r.at;
          this.stateSize = r.size;
          break;
        case (4 << 3) | LEN:
          r.span();
          this.parentAt = r.at;
          this.parentSize = r.size;
          break;
        case (5 << 3) | LEN:
          r.span();
          this.nameAt = r.at;
          this.nameSize = r.size;
          break;
        case (6 << 3) | VARINT:
          this.kind = r.uint32();
          break;
        case (7 << 3) | FIXED64:
          r.halves64();
          this.startLow = r.low;
          this.startHigh = r.high;
          break;
        case (8 << 3) | FIXED64:
          r.halves64();
          this.endLow = r.low;
          this.endHigh = r.high;
          break;
        case (9 << 3) | LEN:
          if (!this.attribute(r, block.attributes, attributes++)) isPlain = false;
          break;
        case (11 << 3) | LEN:
          events++;
          if (!this.event(r)) isPlain = false;
          break;
        case (13 << 3) | LEN:
          links++;
          if (!this.link(r)) isPlain = false;
          break;
        case (15 << 3) | LEN:
          this.readStatus(r);
          break;
        default:
          r.skip(tag);
      }
    }
    r.leave(outer);
    return (
      isPlain &&
      attributes <= LIMITS.attributesPerSpanMax &&
      events <= LIMITS.eventsPerSpanMax &&
      links <= LIMITS.linksPerSpanMax &&
      this.nameSize <= LIMITS.spanNameBytesMax &&
      (this.roles & ROLE.content) === 0 &&
      // What says what it stands for is ours; another GenAI span needs its names understood.
      ((this.roles & ROLE.marker) === 0 || (this.roles & ROLE.record) !== 0) &&
      this.readTexts(r.bytes)
    );
  }

  private readStatus(r: WireReader): void {
    const outer = r.enter();
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === ((2 << 3) | LEN)) {
        r.span();
        this.messageAt = r.at;
        this.messageSize = r.size;
      } else if (tag === ((3 << 3) | VARINT)) this.status = r.uint32();
      else r.skip(tag);
    }
    r.leave(outer);
  }

  /** The texts that may not be UTF-8; `false` where one is not. */
  private readTexts(bytes: Buffer): boolean {
    const { block } = this;
    const name = block.names.find(bytes, this.nameAt, this.nameSize, this.lastName);
    if (name < 0) return false;
    this.lastName = name;
    return (
      block.traceState.string(bytes, this.stateAt, this.stateSize) &&
      block.statusMessage.string(bytes, this.messageAt, this.messageSize)
    );
  }

  private event(r: WireReader): boolean {
    const outer = r.enter(OBJECT_COST.event);
    const { block } = this;
    let timeLow = 0;
    let timeHigh = 0;
    let nameAt = 0;
    let nameSize = 0;
    let attributes = 0;
    let isPlain = true;
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === ((1 << 3) | FIXED64)) {
        r.halves64();
        timeLow = r.low;
        timeHigh = r.high;
      } else if (tag === ((2 << 3) | LEN)) {
        r.span();
        nameAt = r.at;
        nameSize = r.size;
      } else if (tag === ((3 << 3) | LEN)) {
        if (!this.attribute(r, block.eventAttributes, attributes++)) isPlain = false;
      } else r.skip(tag);
    }
    r.leave(outer);
    const name = block.names.find(r.bytes, nameAt, nameSize, this.lastEventName);
    if (name < 0 || !isPlain) return false;
    this.lastEventName = name;
    block.eventName.push(name);
    block.eventTimestamp.uint64(timeLow, timeHigh);
    block.eventAttributes.end();
    return attributes <= LIMITS.attributesPerSpanMax && isTime(timeHigh);
  }

  private link(r: WireReader): boolean {
    const outer = r.enter(OBJECT_COST.link);
    const { block } = this;
    let traceIdAt = 0;
    let traceIdSize = 0;
    let spanIdAt = 0;
    let spanIdSize = 0;
    let stateAt = 0;
    let stateSize = 0;
    let attributes = 0;
    let isPlain = true;
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === ((1 << 3) | LEN)) {
        r.span();
        traceIdAt = r.at;
        traceIdSize = r.size;
      } else if (tag === ((2 << 3) | LEN)) {
        r.span();
        spanIdAt = r.at;
        spanIdSize = r.size;
      } else if (tag === ((3 << 3) | LEN)) {
        r.span();
        stateAt = r.at;
        stateSize = r.size;
      } else if (tag === ((4 << 3) | LEN)) {
        if (!this.attribute(r, block.linkAttributes, attributes++)) isPlain = false;
      } else r.skip(tag);
    }
    r.leave(outer);
    if (!isPlain || traceIdSize > TRACE_ID_BYTES || spanIdSize > SPAN_ID_BYTES) return false;
    if (!block.linkTraceState.string(r.bytes, stateAt, stateSize)) return false;
    block.linkTraceId.hex(r.bytes, traceIdAt, traceIdSize);
    block.linkSpanId.hex(r.bytes, spanIdAt, spanIdSize);
    block.linkAttributes.end();
    return attributes <= LIMITS.attributesPerSpanMax;
  }

  /** Reads a KeyValue into a map that has `size` others; `false` where its span must be looked at as a whole. */
  private attribute(r: WireReader, column: AttributesColumn, size: number): boolean {
    const outer = r.enter();
    let keyAt = 0;
    let keySize = 0;
    let valueFrom = -1;
    for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
      if (tag === ((1 << 3) | LEN)) {
        r.span();
        keyAt = r.at;
        keySize = r.size;
      } else if (tag === ((2 << 3) | LEN)) {
        valueFrom = r.position;
        r.span();
      } else r.skip(tag);
    }
    r.leave(outer);
    const { names } = this.block;
    const name = names.find(r.bytes, keyAt, keySize, column.expectedAt(size));
    if (name < 0 || !column.key(name, size)) return false;
    const { values } = column;
    const written = values.length;
    if (valueFrom < 0) values.ascii('');
    else {
      const end = r.position;
      r.seek(valueFrom);
      if (!value(r, values)) return false;
      r.seek(end);
    }
    const bytes = values.length - written;
    const flags = names.flags[name]!;
    if (flags !== 0 && column === this.block.attributes) {
      this.roles |= flags;
      if ((flags & ROLE.owner) !== 0 && bytes > LIMITS.nameLengthMax) return false;
    }
    return bytes <= LIMITS.attributeValueBytesMax;
  }

  private rejectionOf(bytes: Buffer): Rejection | undefined {
    if (!isId(bytes, this.traceIdAt, this.traceIdSize, TRACE_ID_BYTES)) return 'trace_id';
    if (!isId(bytes, this.spanIdAt, this.spanIdSize, SPAN_ID_BYTES)) return 'span_id';
    if (this.parentSize !== 0 && this.parentSize !== SPAN_ID_BYTES) return 'parent_span_id';
    return isTime(this.startHigh) && isTime(this.endHigh) ? undefined : 'time';
  }

  /** The columns of the span that was read last, and is whole. */
  private write(bytes: Buffer): void {
    const { block } = this;
    block.attributes.end();
    block.times(this.startLow, this.startHigh, this.endLow, this.endHigh);
    block.traceId.hex(bytes, this.traceIdAt, TRACE_ID_BYTES);
    block.spanId.hex(bytes, this.spanIdAt, SPAN_ID_BYTES);
    const hasParent = isId(bytes, this.parentAt, this.parentSize, SPAN_ID_BYTES); // zeros are none
    block.parentSpanId.hex(bytes, this.parentAt, hasParent ? SPAN_ID_BYTES : 0);
    block.spanName.push(this.lastName);
    block.spanKind.push(FIRST_KIND + (this.kind < KINDS.length ? this.kind : 0));
    block.ofResource(this.resource);
    block.scopeName.text(this.scopeName);
    block.scopeVersion.text(this.scopeVersion);
    block.statusCode.push(FIRST_STATUS + (this.status < STATUS_CODES.length ? this.status : 0));
    block.end();
  }
}

/** Writes an AnyValue as text; `false` where it is not UTF-8. */
function value(r: WireReader, to: Bytes): boolean {
  const start = r.position;
  const outer = r.enter();
  const from = to.length;
  let isText = true;
  for (let tag = r.tag(); tag !== 0; tag = r.tag()) {
    if (!isScalar(tag)) {
      r.leave(outer);
      r.seek(start);
      to.length = from;
      to.text(anyValue(r, 0, false));
      return true;
    }
    to.length = from; // of several the last one counts
    isText = true;
    switch (tag) {
      case (1 << 3) | LEN:
        r.span();
        isText = to.string(r.bytes, r.at, r.size);
        break;
      case (2 << 3) | VARINT:
        r.varintHalves();
        to.ascii(r.low === 0 && r.high === 0 ? 'false' : 'true');
        break;
      case (3 << 3) | VARINT:
        r.varintHalves();
        to.int64(r.low, r.high);
        break;
      default:
        to.ascii(String(r.double()));
    }
  }
  r.leave(outer);
  if (to.length === from && isText) to.ascii('');
  return isText;
}

/** Text, truth, whole number, double. */
const isScalar = (tag: number) =>
  tag === ((1 << 3) | LEN) || tag === ((2 << 3) | VARINT) || tag === ((3 << 3) | VARINT) || tag === ((4 << 3) | FIXED64);

function isId(bytes: Buffer, at: number, size: number, sizeWanted: number): boolean {
  if (size !== sizeWanted) return false;
  for (let i = at; i < at + size; i++) if (bytes[i] !== 0) return true;
  return false;
}

/** Within what ClickHouse's DateTime64(9) holds. */
const isTime = (high: number) => high < 0x8000_0000;
