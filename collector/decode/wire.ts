import { LIMITS } from '../../src/span/limits.ts';
import { malformed, tooManyObjects } from './refusals.ts';

/**
 * A cursor over protobuf wire format. It never reads outside [pos, end): whatever the bytes are, the outcome is a
 * value or a refusal of this stage. Unknown fields are skipped, groups included.
 *
 * Format: https://protobuf.dev/programming-guides/encoding/
 */
export class WireReader {
  readonly bytes: Buffer;
  private readonly view: DataView;
  private pos: number;
  private end: number;
  private objectsLeft: number = LIMITS.otlpObjectsMax;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.pos = 0;
    this.end = bytes.length;
  }

  /** The next tag (`field << 3 | wire type`), or 0 at the end of the message. */
  tag(): number {
    if (this.pos >= this.end) return 0;
    const tag = this.uint32();
    if (tag >>> 3 === 0) throw malformed(`protobuf: field number 0 at byte ${this.pos}`);
    return tag;
  }

  /**
   * Narrows the cursor to an embedded message; give the result to `leave` when done. `cost` is its share of
   * `otlpObjectsMax`.
   */
  enter(cost = 1): number {
    this.objectsLeft -= cost;
    if (this.objectsLeft < 0) throw tooManyObjects();
    const length = this.length();
    const outer = this.end;
    this.end = this.pos + length;
    return outer;
  }

  /** Ends an embedded message, read to its end or not. */
  leave(outer: number): void {
    this.pos = this.end;
    this.end = outer;
  }

  /** A varint of which the low 32 bits count (tags, enums, flags). */
  uint32(): number {
    let result = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      if (shift < 32) result |= (byte & 0x7f) << shift;
      if (byte < 0x80) return result >>> 0;
    }
    throw malformed(`protobuf: a varint longer than 10 bytes at byte ${this.pos}`);
  }

  /** A varint as int64. */
  int64(): bigint {
    let low = 0; // bits 0..27
    let middle = 0; // bits 28..55
    let high = 0; // bits 56..63
    for (let i = 0; i < 10; i++) {
      const byte = this.byte();
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i < 8) middle |= bits << (7 * (i - 4));
      else high |= bits << (7 * (i - 8));
      if (byte < 0x80) {
        if (i < 4) return BigInt(low);
        return BigInt.asIntN(64, BigInt(low) | (BigInt(middle) << 28n) | (BigInt(high & 0xff) << 56n));
      }
    }
    throw malformed(`protobuf: a varint longer than 10 bytes at byte ${this.pos}`);
  }

  fixed64(): bigint {
    const at = this.take(8);
    return this.view.getBigUint64(at, true);
  }

  double(): number {
    const at = this.take(8);
    return this.view.getFloat64(at, true);
  }

  /** UTF-8 text; what is not UTF-8 becomes U+FFFD. */
  string(): string {
    const length = this.length();
    const at = this.take(length);
    return this.bytes.toString('utf8', at, at + length);
  }

  hex(): string {
    const length = this.length();
    const at = this.take(length);
    return this.bytes.toString('hex', at, at + length);
  }

  base64(): string {
    const length = this.length();
    const at = this.take(length);
    return this.bytes.toString('base64', at, at + length);
  }

  /** Skips the field that `tag` opened. */
  skip(tag: number): void {
    let depth = 0;
    let open = tag;
    for (;;) {
      const type = open & 7;
      if (type === 0) this.uint32();
      else if (type === 1) this.take(8);
      else if (type === 2) this.take(this.length());
      else if (type === 5) this.take(4);
      else if (type === 3) depth++;
      else if (type === 4 && depth > 0) depth--;
      else throw malformed(`protobuf: wire type ${type} out of place at byte ${this.pos}`);
      if (depth === 0) return;
      open = this.tag();
      if (open === 0) throw malformed('protobuf: a group that is never closed');
    }
  }

  private length(): number {
    const length = this.uint32();
    if (length > this.end - this.pos)
      throw malformed(
        `protobuf: a field of ${length} bytes at byte ${this.pos}, but ${this.end - this.pos} are left`,
      );
    return length;
  }

  private byte(): number {
    if (this.pos >= this.end)
      throw malformed(`protobuf: the message ends inside a field at byte ${this.pos}`);
    return this.bytes[this.pos++]!;
  }

  private take(n: number): number {
    const at = this.pos;
    if (n > this.end - at) throw malformed(`protobuf: the message ends inside a field at byte ${at}`);
    this.pos = at + n;
    return at;
  }
}
