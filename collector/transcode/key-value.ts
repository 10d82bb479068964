import { WireReader } from '../decode/wire.ts';

const VARINT = 0;
const LEN = 2;
const KEY = (1 << 3) | LEN;
const VALUE = (2 << 3) | LEN;
const TEXT = (1 << 3) | LEN;
const WHOLE_NUMBER = (3 << 3) | VARINT;

/** What `valueTag` says where there is no value, and where the value is yet to be read. */
export const NO_VALUE = 0;
export const UNREAD_VALUE = -1;

/** Finds the parts of a KeyValue, which is most of what a span is made of. */
export class KeyValueReader extends WireReader {
  keyAt = 0;
  keySize = 0;
  /** Where the AnyValue begins, with its length. */
  valueFrom = 0;
  /** The tag in the AnyValue whose content `at` and `size`, or `low` and `high`, are; or one of the two above. */
  valueTag = NO_VALUE;

  /**
   * A KeyValue as every SDK writes it: the key, then a text or a number from 0 to 2^28, and each length in one byte.
   * `false`, with nothing read, for any other.
   */
  usualKeyValue(): boolean {
    const { bytes } = this;
    let at = this.position;
    const length = bytes[at]!;
    const end = at + 1 + length;
    // So the shortest there is: a tag, a length, a tag, a length, a tag and a byte.
    if (length >= 0x80 || length < 6 || end > this.limit || bytes[at + 1] !== KEY) return false;
    const keySize = bytes[at + 2]!;
    const keyAt = at + 3;
    at = keyAt + keySize;
    // What is read behind the end is compared, and never taken for more than it is.
    if (keySize >= 0x80 || at + 4 > end || bytes[at] !== VALUE || at + 2 + bytes[at + 1]! !== end)
      return false;
    const tag = bytes[at + 2]!;
    if (tag === TEXT) {
      const size = bytes[at + 3]!;
      if (at + 4 + size !== end) return false;
      this.at = at + 4;
      this.size = size;
    } else if (tag === WHOLE_NUMBER) {
      let value = 0;
      let shift = 0;
      for (at += 3; at < end && shift < 28; at++, shift += 7) {
        const byte = bytes[at]!;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      if (at !== end - 1 || shift >= 28) return false;
      this.low = value;
      this.high = 0;
    } else return false;
    if (!this.spend(2)) return false;
    this.keyAt = keyAt;
    this.keySize = keySize;
    this.valueTag = tag;
    this.seek(end);
    return true;
  }

  /** Any KeyValue but one with several values, which gives `false`. Its value is left to be read at `valueFrom`. */
  keyValue(): boolean {
    const outer = this.enter();
    let values = 0;
    this.keySize = 0;
    this.valueTag = NO_VALUE;
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if (tag === KEY) {
        this.span();
        this.keyAt = this.at;
        this.keySize = this.size;
      } else if (tag === VALUE) {
        this.valueFrom = this.position;
        this.valueTag = UNREAD_VALUE;
        values++;
        this.span();
      } else this.skip(tag);
    }
    this.leave(outer);
    return values <= 1;
  }
}
