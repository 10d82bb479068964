import type { Bytes } from './bytes.ts';
import type { Names } from './names.ts';

/**
 * Columns of ClickHouse's Native format: what is collected row by row, and how it is written at the end of a block.
 *
 * Source: `src/DataTypes/Serializations` of ClickHouse (SerializationLowCardinality, SerializationArray,
 * SerializationMap), checked against a real server in `test/integration/collector-transcode.test.ts`.
 */

/** A larger array with the same beginning, to hold `index` too. */
function grown(array: Uint32Array<ArrayBuffer>, index: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(Math.max(2 * array.length, index + 1));
  larger.set(array);
  return larger;
}

const FIRST_ROWS = 1024;
const UINT32_MAX = 0xffff_ffff;

/** Ends of lists: for each row, or list, how many elements there are up to its end. */
export class Offsets {
  private ends = new Uint32Array(FIRST_ROWS);
  length = 0;

  push(end: number): void {
    if (this.length === this.ends.length) this.ends = grown(this.ends, this.length);
    this.ends[this.length++] = end;
  }

  /** Where list `i` begins. */
  startOf(i: number): number {
    return i === 0 ? 0 : this.ends[i - 1]!;
  }

  reset(): void {
    this.length = 0;
    if (this.ends.length > KEPT_ELEMENTS_MAX) this.ends = new Uint32Array(FIRST_ROWS);
  }

  write(to: Bytes): void {
    to.reserve(8 * this.length);
    for (let i = 0; i < this.length; i++) to.uint64(this.ends[i]!, 0);
  }
}

/** Arrays longer than this are given back to the garbage collector after their block. */
const KEPT_ELEMENTS_MAX = 1 << 20;
/** And these where they have room for more names. */
const KEPT_NAMES_MAX = 1 << 18;

/** Has a dictionary of its own in every block, and brings all of it. */
const DICTIONARY_IN_BLOCK = 0x600;
const SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS = 1;

/** LowCardinality(String): each value is a place in the block's own list of names. */
export class LowCardinality {
  private readonly names: Names;
  private values = new Uint32Array(FIRST_ROWS);
  length = 0;
  /** The block's list: numbers of `names` in the order they came. */
  private dictionary = new Uint32Array(FIRST_ROWS);
  private dictionarySize = 0;
  /** By name: its place in that list, where `placedIn` is this block. */
  private placeOf = new Uint32Array(FIRST_ROWS);
  private placedIn = new Uint32Array(FIRST_ROWS);
  private block = 1;

  constructor(names: Names) {
    this.names = names;
  }

  /** `name` is a number that `names` gave. */
  push(name: number): void {
    if (name >= this.placedIn.length || this.placedIn[name] !== this.block) this.place(name);
    if (this.length === this.values.length) this.values = grown(this.values, this.length);
    this.values[this.length++] = this.placeOf[name]!;
  }

  /** Pushes values `from` to `to` again. */
  repeat(from: number, to: number): void {
    const length = this.length + to - from;
    if (length > this.values.length) this.values = grown(this.values, length);
    this.values.copyWithin(this.length, from, to);
    this.length = length;
  }

  /** The number that was pushed as value `i`. */
  nameAt(i: number): number {
    return this.dictionary[this.values[i]!]!;
  }

  private place(name: number): void {
    if (name >= this.placeOf.length) this.placeOf = grown(this.placeOf, name);
    if (name >= this.placedIn.length) this.placedIn = grown(this.placedIn, name);
    if (this.dictionarySize === this.dictionary.length)
      this.dictionary = grown(this.dictionary, this.dictionarySize);
    this.placedIn[name] = this.block;
    this.placeOf[name] = this.dictionarySize;
    this.dictionary[this.dictionarySize++] = name;
  }

  reset(): void {
    this.length = 0;
    this.dictionarySize = 0;
    if (++this.block > UINT32_MAX) {
      this.placedIn.fill(0);
      this.block = 1;
    }
    if (this.values.length > KEPT_ELEMENTS_MAX) this.values = new Uint32Array(FIRST_ROWS);
    if (this.placeOf.length <= KEPT_NAMES_MAX) return;
    this.dictionary = new Uint32Array(FIRST_ROWS);
    this.placeOf = new Uint32Array(FIRST_ROWS);
    this.placedIn = new Uint32Array(FIRST_ROWS);
  }

  /** Stands before everything else of a column, also before the offsets of lists around it. */
  writePrefix(to: Bytes): void {
    to.uint64(SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS, 0);
  }

  write(to: Bytes): void {
    if (this.length === 0) return;
    const width = this.dictionarySize <= 0x100 ? 0 : this.dictionarySize <= 0x1_0000 ? 1 : 2;
    to.uint64(DICTIONARY_IN_BLOCK | width, 0);
    to.uint64(this.dictionarySize, 0);
    this.names.write(to, this.dictionary, this.dictionarySize);
    to.uint64(this.length, 0);
    to.reserve(this.length << width);
    const { buffer } = to;
    let at = to.length;
    for (let i = 0; i < this.length; i++) {
      const value = this.values[i]!;
      buffer[at++] = value;
      if (width > 0) buffer[at++] = value >>> 8;
      if (width > 1) {
        buffer[at++] = value >>> 16;
        buffer[at++] = value >>> 24;
      }
    }
    to.length = at;
  }
}
