import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes } from '../../src/span/span.ts';
import type { Rejection } from '../admit/admit.ts';
import { KINDS, STATUS_CODES } from '../decode/enums.ts';
import { OBJECT_COST } from '../decode/value.ts';
import type { AttributesColumn } from './attributes.ts';
import { type KeyValueReader, NO_VALUE } from './key-value.ts';
import type { SpanBlock } from './span-block.ts';
import { EMPTY_NAME, FIRST_KIND, FIRST_STATUS, ROLE } from './span-names.ts';
import { writeValue } from './value.ts';

const VARINT = 0;
const FIXED64 = 1;
const LEN = 2;

const TEXT = (1 << 3) | LEN;
const WHOLE_NUMBER = (3 << 3) | VARINT;

const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;

export interface Scope {
  name: string;
  version: string;
}

/**
 * Reads one span after the other from the wire into a block. Lists go straight into their columns; of everything else it
 * notes where it is, until it is known that the span becomes a row.
 */
export class SpanReader {
  private readonly block: SpanBlock;

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
  startLow = 0;
  startHigh = 0;
  private endLow = 0;
  private endHigh = 0;
  /** How many attributes it has. */
  private attributes = 0;
  /** `ROLE`s of its attributes' names, together. */
  private roles = 0;

  private lastName = EMPTY_NAME;
  private lastEventName = EMPTY_NAME;

  constructor(block: SpanBlock) {
    this.block = block;
  }

  /** Reads a span; `false` where it must be looked at as a whole. */
  read(r: KeyValueReader): boolean {
    const outer = r.enter(OBJECT_COST.span);
    const { block } = this;
    this.traceIdSize = this.spanIdSize = this.parentSize = this.stateSize = 0;
    this.nameSize = this.messageSize = 0;
    this.kind = this.status = this.roles = 0;
    this.startLow = this.startHigh = this.endLow = this.endHigh = 0;
    let isPlain = true;
    this.attributes = 0;
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
          // They come one after the other.
          do if (!this.attribute(r, block.attributes, this.attributes++)) isPlain = false;
          while (r.isNext(tag));
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
      this.attributes <= LIMITS.attributesPerSpanMax &&
      events <= LIMITS.eventsPerSpanMax &&
      links <= LIMITS.linksPerSpanMax &&
      this.nameSize <= LIMITS.spanNameBytesMax &&
      (this.roles & ROLE.content) === 0 &&
      // What says what it stands for is ours; another GenAI span needs its names understood.
      ((this.roles & ROLE.marker) === 0 || (this.roles & ROLE.record) !== 0) &&
      this.readTexts(r)
    );
  }

  private readStatus(r: KeyValueReader): void {
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
  private readTexts(r: KeyValueReader): boolean {
    const { block } = this;
    const name = block.names.find(r, this.nameAt, this.nameSize, this.lastName);
    if (name < 0) return false;
    this.lastName = name;
    return (
      block.traceState.string(r, this.stateAt, this.stateSize) &&
      block.statusMessage.string(r, this.messageAt, this.messageSize)
    );
  }

  private event(r: KeyValueReader): boolean {
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
    const name = block.names.find(r, nameAt, nameSize, this.lastEventName);
    if (name < 0 || !isPlain) return false;
    this.lastEventName = name;
    this.roles |= block.names.flags[name]! & ROLE.content;
    block.eventName.push(name);
    block.eventTimestamp.uint64(timeLow, timeHigh);
    block.eventAttributes.end(attributes);
    return attributes <= LIMITS.attributesPerSpanMax && isTime(timeHigh);
  }

  private link(r: KeyValueReader): boolean {
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
    if (!block.linkTraceState.string(r, stateAt, stateSize)) return false;
    block.linkTraceId.hex(r.bytes, traceIdAt, traceIdSize);
    block.linkSpanId.hex(r.bytes, spanIdAt, spanIdSize);
    block.linkAttributes.end(attributes);
    return attributes <= LIMITS.attributesPerSpanMax;
  }

  /** Reads a KeyValue into a map that has `size` others; `false` where its span must be looked at as a whole. */
  private attribute(r: KeyValueReader, column: AttributesColumn, size: number): boolean {
    if (!r.usualKeyValue() && !r.keyValue()) return false;
    const { keyAt, keySize, valueFrom } = r;
    const { names } = this.block;
    const name = names.find(r, keyAt, keySize, column.expectedAt(size));
    if (name < 0 || !column.key(name, size)) return false;
    const { values } = column;
    const written = values.length;
    switch (r.valueTag) {
      case TEXT:
        if (!values.string(r, r.at, r.size)) return false;
        break;
      case WHOLE_NUMBER:
        values.int64(r.low, r.high);
        break;
      case NO_VALUE:
        values.ascii('');
        break;
      default: {
        const end = r.position;
        r.seek(valueFrom);
        if (!writeValue(r, values)) return false;
        r.seek(end);
      }
    }
    const bytes = values.length - written;
    const flags = names.flags[name]!;
    if (flags !== 0) {
      const isSpans = column === this.block.attributes;
      this.roles |= isSpans ? flags : flags & ROLE.content;
      if (isSpans && (flags & ROLE.owner) !== 0 && bytes > LIMITS.nameLengthMax) return false;
    }
    return bytes <= LIMITS.attributeValueBytesMax;
  }

  rejectionOf(bytes: Buffer): Rejection | undefined {
    if (!isId(bytes, this.traceIdAt, this.traceIdSize, TRACE_ID_BYTES)) return 'trace_id';
    if (!isId(bytes, this.spanIdAt, this.spanIdSize, SPAN_ID_BYTES)) return 'span_id';
    if (this.parentSize !== 0 && this.parentSize !== SPAN_ID_BYTES) return 'parent_span_id';
    return isTime(this.startHigh) && isTime(this.endHigh) ? undefined : 'time';
  }

  /** The columns of the span that was read last, and is whole. */
  write(bytes: Buffer, resource: Attributes, scope: Scope): void {
    const { block } = this;
    block.attributes.end(this.attributes);
    block.times(this.startLow, this.startHigh, this.endLow, this.endHigh);
    block.traceId.hex(bytes, this.traceIdAt, TRACE_ID_BYTES);
    block.spanId.hex(bytes, this.spanIdAt, SPAN_ID_BYTES);
    const hasParent = isId(bytes, this.parentAt, this.parentSize, SPAN_ID_BYTES); // zeros are none
    block.parentSpanId.hex(bytes, this.parentAt, hasParent ? SPAN_ID_BYTES : 0);
    block.spanName.push(this.lastName);
    block.spanKind.push(FIRST_KIND + (this.kind < KINDS.length ? this.kind : 0));
    block.ofResource(resource);
    block.scopeName.text(scope.name);
    block.scopeVersion.text(scope.version);
    block.statusCode.push(FIRST_STATUS + (this.status < STATUS_CODES.length ? this.status : 0));
    block.end();
  }
}

function isId(bytes: Buffer, at: number, size: number, sizeWanted: number): boolean {
  if (size !== sizeWanted) return false;
  for (let i = at; i < at + size; i++) if (bytes[i] !== 0) return true;
  return false;
}

/** Within what ClickHouse's DateTime64(9) holds. */
const isTime = (high: number) => high < 0x8000_0000;
