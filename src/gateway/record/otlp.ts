import type { Attributes, AttributeValue, SpanDraft } from './span-draft.ts';

/**
 * Spans as OTLP's protobuf, written straight into memory that many of them share. What is short, as most attributes are, is
 * written byte by byte: a call out of JavaScript costs as much as fifty of them.
 *
 * A message is preceded by its length, which is known when it is written: room is left for it, and filled in afterwards.
 * Small messages have one byte of it, all others four; a varint may be longer than it need be. What comes out is a whole
 * `ExportTraceServiceRequest`, and several of them one after the other are one again: fields that repeat add up.
 * Field numbers: opentelemetry-proto, trace/v1/trace.proto and common/v1/common.proto.
 */
const KIND = { Internal: 1, Client: 3 } as const;
const STATUS_ERROR = 2;
/** Sampled, and that is known. */
const FLAGS = 0x101;
/** The longest text whose message has a length of one byte, whatever its characters are. */
const SHORT_CHARS_MAX = 40;
const LENGTH_BYTES = 4;
/** Memory is taken in slabs of this size. */
const SLAB_BYTES = 256 * 1024;
/** Most requests fit into this; with less left a new slab is begun. */
const REQUEST_BYTES = 32 * 1024;
/** Slabs that are kept to be used again. */
const FREE_MAX = 16;

export class OtlpEncoder {
  private buffer: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** How many requests in a slab are still needed. */
  private readonly needed = new WeakMap<ArrayBufferLike, number>();
  private readonly free: Buffer[] = [];
  /** Where the request begins. */
  private from = 0;
  private at = 0;
  /** `Resource` and `InstrumentationScope`, as they stand in every request. */
  private readonly head: Buffer;
  private readonly scope: Buffer;
  /** Names are the code's own, and few. */
  private readonly names = new Map<string, Buffer>();
  /** By its place, what the last span had there: most have the same as the one before. */
  private readonly lastNames: string[] = [];
  private readonly lastFields: Buffer[] = [];

  constructor(resource: Attributes, scopeName: string) {
    const begin = this.open(0x0a);
    this.attributes(0x0a, resource);
    this.close(begin);
    this.head = this.take();
    const scope = this.open(0x0a);
    this.text(0x0a, scopeName);
    this.close(scope);
    this.scope = this.take();
  }

  /**
   * A request with the spans from `first` on, and where they end: one with which it would be larger than `bytesMax` is not
   * in it, unless it is the first.
   */
  encode(
    spans: readonly SpanDraft[],
    first = 0,
    bytesMax = Number.POSITIVE_INFINITY,
  ): { bytes: Buffer; end: number } {
    this.at = this.from; // what a span that could not be written left behind is no part of this one
    const resourceSpans = this.open(0x0a);
    this.raw(this.head);
    const scopeSpans = this.open(0x12);
    this.raw(this.scope);
    let end = first;
    for (; end < spans.length; end++) {
      const { at } = this;
      this.span(spans[end]!);
      if (this.at - this.from <= bytesMax || end === first) continue;
      this.at = at;
      break;
    }
    this.close(scopeSpans);
    this.close(resourceSpans);
    return { bytes: this.take(), end };
  }

  /**
   * The bytes of a request are needed no more, and may be written over. Nobody has to say so: but memory that is always taken
   * anew makes the garbage collector look through all there is, again and again.
   */
  release({ buffer }: Buffer): void {
    const needed = this.needed.get(buffer);
    if (needed === undefined) return;
    this.needed.set(buffer, needed - 1);
    if (needed === 1 && buffer !== this.buffer.buffer) this.recycle(buffer);
  }

  private span(span: SpanDraft): void {
    const begin = this.open(0x12);
    this.hex(0x0a, span.traceId);
    this.hex(0x12, span.spanId);
    if (span.traceState) this.text(0x1a, span.traceState);
    if (span.parentSpanId !== undefined) this.hex(0x22, span.parentSpanId);
    this.text(0x2a, span.name);
    this.reserve(32);
    this.byte(0x30);
    this.byte(KIND[span.kind]);
    this.fixed64(0x39, span.startNs);
    this.fixed64(0x41, span.endNs);
    this.attributes(0x4a, span.attributes);
    if (span.event) {
      const event = this.open(0x5a);
      this.fixed64(0x09, span.startNs);
      this.text(0x12, span.event.name);
      this.attributes(0x1a, span.event.attributes);
      this.close(event);
    }
    if (span.error !== undefined) {
      const status = this.open(0x7a);
      this.text(0x12, span.error);
      this.reserve(2);
      this.byte(0x18);
      this.byte(STATUS_ERROR);
      this.close(status);
    }
    this.reserve(6);
    this.byte(0x85);
    this.byte(0x01);
    this.at = this.buffer.writeUInt32LE(FLAGS, this.at);
    this.close(begin);
  }

  private attributes(tag: number, attributes: Attributes): void {
    const { names, values } = attributes;
    const { lastNames, lastFields } = this;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      if (lastNames[i] !== name) {
        lastNames[i] = name;
        lastFields[i] = this.nameOf(name);
      }
      this.attribute(tag, lastFields[i]!, values[i]!);
    }
  }

  /** The field `key` of a `KeyValue`. */
  private nameOf(name: string): Buffer {
    let bytes = this.names.get(name);
    if (!bytes) {
      const text = Buffer.from(name);
      if (text.length > 0x7f) throw new Error(`an attribute's name of ${text.length} bytes`);
      bytes = Buffer.concat([Buffer.from([0x0a, text.length]), text]);
      this.names.set(name, bytes);
    }
    return bytes;
  }

  private attribute(tag: number, name: Buffer, value: AttributeValue): void {
    const chars = typeof value === 'string' ? value.length : Number.POSITIVE_INFINITY;
    if (chars <= SHORT_CHARS_MAX && name.length + 3 * chars < 120) {
      this.shortAttribute(tag, name, value as string, chars);
      return;
    }
    const begin = this.open(tag);
    this.raw(name);
    const any = this.open(0x12);
    this.value(value);
    this.close(any);
    this.close(begin);
  }

  private shortAttribute(tag: number, name: Buffer, value: string, chars: number): void {
    const nameBytes = name.length;
    this.reserve(nameBytes + 3 * chars + 8);
    const { buffer } = this;
    const begin = this.at + 2;
    buffer[begin - 2] = tag;
    for (let i = 0; i < nameBytes; i++) buffer[begin + i] = name[i]!;
    const at = begin + nameBytes;
    const length = writeShort(buffer, value, chars, at + 4);
    buffer[at] = 0x12;
    buffer[at + 1] = length + 2;
    buffer[at + 2] = 0x0a;
    buffer[at + 3] = length;
    this.at = at + 4 + length;
    buffer[begin - 1] = this.at - begin;
  }

  private value(value: AttributeValue): void {
    if (typeof value === 'string') this.text(0x0a, value);
    else if (typeof value === 'boolean') {
      this.reserve(2);
      this.byte(0x10);
      this.byte(value ? 1 : 0);
    } else if (typeof value === 'number') {
      this.reserve(12);
      if (Number.isSafeInteger(value)) {
        this.byte(0x18);
        this.varint(value);
      } else {
        this.byte(0x21);
        this.at = this.buffer.writeDoubleLE(value, this.at);
      }
    } else {
      const array = this.open(0x2a);
      for (const item of value) {
        const any = this.open(0x0a);
        this.text(0x0a, item);
        this.close(any);
      }
      this.close(array);
    }
  }

  /** A whole number; a negative one in two's complement, ten bytes long. */
  private varint(value: number): void {
    if (value >= 0) {
      for (; value >= 0x80; value = Math.floor(value / 0x80)) this.byte((value % 0x80) | 0x80);
      this.byte(value);
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 0x80n; rest >>= 7n) this.byte(Number(rest & 0x7fn) | 0x80);
    this.byte(Number(rest));
  }

  private text(tag: number, text: string): void {
    const chars = text.length;
    this.reserve(3 * chars + 1 + LENGTH_BYTES);
    if (chars <= SHORT_CHARS_MAX) {
      this.byte(tag);
      const length = writeShort(this.buffer, text, chars, this.at + 1);
      this.byte(length);
      this.at += length;
      return;
    }
    const begin = this.open(tag);
    this.at += this.buffer.write(text, this.at);
    this.close(begin);
  }

  private hex(tag: number, digits: string): void {
    const bytes = digits.length / 2;
    this.reserve(bytes + 2);
    const { buffer } = this;
    let { at } = this;
    buffer[at++] = tag;
    buffer[at++] = bytes;
    for (let i = 0; i < 2 * bytes; i += 2)
      buffer[at++] = (nibble(charCodeAt.call(digits, i)) << 4) | nibble(charCodeAt.call(digits, i + 1));
    this.at = at;
  }

  private fixed64(tag: number, value: bigint): void {
    this.reserve(9);
    this.byte(tag);
    this.at = this.buffer.writeBigUInt64LE(value, this.at);
  }

  private raw(bytes: Buffer): void {
    this.reserve(bytes.length);
    this.at += bytes.copy(this.buffer, this.at);
  }

  private byte(value: number): void {
    this.buffer[this.at++] = value;
  }

  /** Begins a message; what it gives is for `close`. */
  private open(tag: number): number {
    this.reserve(1 + LENGTH_BYTES);
    this.byte(tag);
    this.at += LENGTH_BYTES;
    return this.at;
  }

  private close(begin: number): void {
    const length = this.at - begin;
    const { buffer } = this;
    buffer[begin - 4] = (length & 0x7f) | 0x80;
    buffer[begin - 3] = ((length >> 7) & 0x7f) | 0x80;
    buffer[begin - 2] = ((length >> 14) & 0x7f) | 0x80;
    buffer[begin - 1] = length >> 21;
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    // Messages that are open know their places, so these stay as they are.
    const larger = Buffer.allocUnsafeSlow(2 * (this.at + bytes));
    this.buffer.copy(larger, this.from, this.from, this.at);
    this.buffer = larger;
  }

  private take(): Buffer {
    const { buffer, from, at } = this;
    const bytes = buffer.subarray(from, at);
    this.from = at;
    const isLarger = buffer.length > SLAB_BYTES;
    if (!isLarger) this.needed.set(buffer.buffer, (this.needed.get(buffer.buffer) ?? 0) + 1);
    if (buffer.length - at >= REQUEST_BYTES && !isLarger) return bytes;
    this.buffer = this.free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
    if (this.needed.get(buffer.buffer) === 0) this.recycle(buffer.buffer);
    this.from = this.at = 0;
    // A request of much content took more than it needed.
    return isLarger ? Buffer.from(bytes) : bytes;
  }

  private recycle(slab: ArrayBufferLike): void {
    this.needed.delete(slab);
    if (this.free.length < FREE_MAX) this.free.push(Buffer.from(slab));
  }
}

/** Taken once: strings are of many kinds, and to find a property of one costs more than a character. */
const { charCodeAt } = String.prototype;

/** Writes a text of so many characters, which are few, and gives how many bytes it has. */
function writeShort(buffer: Buffer, text: string, chars: number, at: number): number {
  for (let i = 0; i < chars; i++) {
    const code = charCodeAt.call(text, i);
    if (code >= 0x80) return buffer.write(text, at);
    buffer[at + i] = code;
  }
  return chars;
}

/** Of a lower-case hexadecimal digit. */
const nibble = (code: number): number => (code < 0x3a ? code - 0x30 : code - 0x57);
