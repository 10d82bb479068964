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
  readonly view: DataView;
  private pos: number;
  private end: number;
  private objectsLeft: number = LIMITS.otlpObjectsMax;
  /** What `span` found: the field's bytes are [`at`, `at + size`). */
  at = 0;
  size = 0;
  /** The halves of the number that `halves64` or `varintHalves` read, each unsigned. */
  low = 0;
  high = 0;

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

  /** Reads the next tag if it is this one, of a byte. */
  isNext(tag: number): boolean {
    if (this.pos >= this.end || this.bytes[this.pos] !== tag) return false;
    this.pos++;
    return true;
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

  /** Where the next byte is. */
  get position(): number {
    return this.pos;
  }

  /** Where the message being read ends. */
  get limit(): number {
    return this.end;
  }

  /** Takes `cost` of `otlpObjectsMax`, as `enter` does; `false`, and takes nothing, where there is less left. */
  spend(cost: number): boolean {
    if (this.objectsLeft < cost) return false;
    this.objectsLeft -= cost;
    return true;
  }

  /** Goes back, or ahead, within the message being read. */
  seek(position: number): void {
    this.pos = position;
  }

  /** A length-delimited field, left where it is: sets `at` and `size`. */
  span(): void {
    this.size = this.length();
    this.at = this.take(this.size);
  }

  /** A fixed64 without a bigint: sets `low` and `high`. */
  halves64(): void {
    const at = this.take(8);
    this.low = this.view.getUint32(at, true);
    this.high = this.view.getUint32(at + 4, true);
  }

  /** A varint of 64 bits without a bigint: sets `low` and `high`. */
  varintHalves(): void {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= (bits & 1) << 31;
      if (byte < 0x80) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw malformed(`protobuf: a varint longer than 10 bytes at byte ${this.pos}`);
  }

  /** A varint of which the low 32 bits count (tags, enums, flags). */
  uint32(): number {
    const first = this.pos < this.end ? this.bytes[this.pos]! : 0x80;
    if (first < 0x80) {
      this.pos++;
      return first;
    }
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

  fixed32(): number {
    const at = this.take(4);
    return this.view.getUint32(at, true);
  }

  /** A varint as sint32, in which small negative numbers are short. */
  sint32(): number {
    const n = this.uint32();
    return (n >>> 1) ^ -(n & 1);
  }

  /** The numbers of a packed list, read one by one by `read`. */
  packed<T>(read: () => T, into: T[]): void {
    const outer = this.enter();
    while (this.pos < this.end) {
      if (--this.objectsLeft < 0) throw tooManyObjects();
      into.push(read());
    }
    this.leave(outer);
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
