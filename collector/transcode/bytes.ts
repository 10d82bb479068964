import { isUtf8 } from 'node:buffer';

/** Up to here a loop over bytes is faster than a call that copies them. */
const LOOP_BYTES_MAX = 48;
const FIRST_BYTES = 1 << 16;
/** Set in any byte that is not ASCII; a single one is extended by its sign. */
const NOT_ASCII = 0x8080_8080 | 0;
const TWO_32 = 0x1_0000_0000;
const SAFE_HIGH_MAX = 0x1f_ffff;
const INT32_MAX = 0x7fff_ffff;

/** What `hex` writes for a byte: its two digits, as one little-endian number. */
const HEX = Uint16Array.from({ length: 256 }, (_, byte) => {
  const digits = byte.toString(16).padStart(2, '0');
  return digits.charCodeAt(0) | (digits.charCodeAt(1) << 8);
});

/** Bytes, and the same to be read several at a time. */
export interface Source {
  bytes: Buffer;
  view: DataView;
}

/** Bytes that grow at their end, and what ClickHouse's Native format writes into them. `length` may be set back. */
export class Bytes {
  buffer: Buffer<ArrayBuffer>;
  length = 0;
  view: DataView;

  constructor(bytes = FIRST_BYTES) {
    this.buffer = Buffer.allocUnsafeSlow(bytes);
    this.view = new DataView(this.buffer.buffer);
  }

  /** Makes room for `n` bytes more. */
  reserve(n: number): void {
    if (this.length + n <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.buffer.length, this.length + n));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
    this.view = new DataView(larger.buffer);
  }

  /** Empties it, and gives back memory past `keepMax` bytes. */
  reset(keepMax: number): void {
    this.length = 0;
    if (this.buffer.length <= keepMax) return;
    this.buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.view = new DataView(this.buffer.buffer);
  }

  /** Itself, to copy from. */
  get source(): Source {
    return { bytes: this.buffer, view: this.view };
  }

  append(other: Bytes): void {
    this.reserve(other.length);
    other.buffer.copy(this.buffer, this.length, 0, other.length);
    this.length += other.length;
  }

  /** Appends a copy of its own bytes from `from` to `to`. */
  repeat(from: number, to: number): void {
    this.reserve(to - from);
    this.buffer.copyWithin(this.length, from, to);
    this.length += to - from;
  }

  varint(value: number): void {
    this.reserve(5);
    let rest = value;
    while (rest >= 0x80) {
      this.buffer[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.buffer[this.length++] = rest;
  }

  /** 64 bits, little-endian, from two unsigned halves. */
  uint64(low: number, high: number): void {
    this.reserve(8);
    this.view.setUint32(this.length, low, true);
    this.view.setUint32(this.length + 4, high, true);
    this.length += 8;
  }

  /** A String of the `size` bytes at `from`; `false`, with nothing written, where they are not UTF-8. */
  string({ bytes, view }: Source, from: number, size: number): boolean {
    this.reserve(size + 5);
    if (size > LOOP_BYTES_MAX) {
      if (!isUtf8(bytes.subarray(from, from + size))) return false;
      this.varint(size);
      bytes.copy(this.buffer, this.length, from, from + size);
      this.length += size;
      return true;
    }
    const to = this.view;
    const end = from + size;
    let at = this.length;
    let seen = 0;
    to.setUint8(at++, size);
    let b = from;
    for (; b + 4 <= end; b += 4, at += 4) {
      const four = view.getInt32(b);
      seen |= four;
      to.setInt32(at, four);
    }
    for (; b < end; b++, at++) {
      const one = view.getInt8(b);
      seen |= one;
      to.setInt8(at, one);
    }
    if ((seen & NOT_ASCII) !== 0 && !isUtf8(bytes.subarray(from, end))) return false;
    this.length = at;
    return true;
  }

  /** A String of a text. */
  text(text: string): void {
    if (text.length <= LOOP_BYTES_MAX && this.ascii(text)) return;
    const size = Buffer.byteLength(text);
    this.varint(size);
    this.reserve(size);
    this.length += this.buffer.write(text, this.length);
  }

  /** A String of a few characters; `false`, with nothing written, where they are not all ASCII. */
  ascii(text: string): boolean {
    const size = text.length;
    this.reserve(size + 1);
    const { buffer } = this;
    let at = this.length;
    let seen = 0;
    buffer[at++] = size;
    for (let i = 0; i < size; i++) {
      const code = text.charCodeAt(i);
      seen |= code;
      buffer[at++] = code;
    }
    if (seen >= 0x80) return false;
    this.length = at;
    return true;
  }

  /** A String of the hexadecimal digits of `size` bytes, at most 63. */
  hex(source: Buffer, from: number, size: number): void {
    this.reserve(2 * size + 1);
    const { view } = this;
    let to = this.length;
    view.setUint8(to++, 2 * size);
    for (let i = from; i < from + size; i++, to += 2) view.setUint16(to, HEX[source[i]!]!, true);
    this.length = to;
  }

  /** A String of an int64 in decimal. */
  int64(low: number, high: number): void {
    if (high <= SAFE_HIGH_MAX) this.digits(high * TWO_32 + low);
    else this.ascii(String(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)))); // negative, or past 2^53
  }

  private digits(value: number): void {
    let count = 1;
    for (let power = 10; power <= value; power *= 10) count++;
    this.reserve(count + 1);
    const { buffer } = this;
    buffer[this.length] = count;
    let rest = value;
    let at = this.length + count;
    for (; rest > INT32_MAX; at--) {
      const tenth = Math.floor(rest / 10);
      buffer[at] = 48 + (rest - 10 * tenth);
      rest = tenth;
    }
    // Below 2^31 the same with whole numbers is several times faster.
    for (let small = rest | 0; at > this.length; at--) {
      const tenth = (small / 10) | 0;
      buffer[at] = 48 + (small - 10 * tenth);
      small = tenth;
    }
    this.length += count + 1;
  }
}
