import { Bytes } from './bytes.ts';
import { LowCardinality, Offsets } from './columns.ts';
import type { Names } from './names.ts';

/** A power of two. */
const EXPECTED_MAX = 64;
const INT32_MAX = 0x7fff_ffff;

/** Map(LowCardinality(String), String): the attributes of spans, of events or of links, one map after the other. */
export class AttributesColumn {
  readonly keys: LowCardinality;
  readonly values = new Bytes();
  /** Where the maps end. */
  readonly maps = new Offsets();
  /** By place in a map, the key that was there last: the next map has most likely the same there. */
  private readonly expected = new Int32Array(EXPECTED_MAX);
  /** By name, the map it was last a key in: a key comes once in a map. */
  private seenIn = new Int32Array(1024);
  private mapNumber = 1;

  constructor(names: Names) {
    this.keys = new LowCardinality(names);
  }

  /** The key that will most likely be next in the map that has `size` by now. */
  expectedAt(size: number): number {
    return this.expected[size & (EXPECTED_MAX - 1)]!;
  }

  /** Adds a key, for a value to follow; `false` where this map has it already. */
  key(name: number, size: number): boolean {
    if (name >= this.seenIn.length) {
      const larger = new Int32Array(2 * name);
      larger.set(this.seenIn);
      this.seenIn = larger;
    }
    if (this.seenIn[name] === this.mapNumber) return false;
    this.seenIn[name] = this.mapNumber;
    this.expected[size & (EXPECTED_MAX - 1)] = name;
    this.keys.push(name);
    return true;
  }

  /** Ends a map. */
  end(): void {
    this.nextMap();
    this.maps.push(this.keys.length);
  }

  /** Adds map number `map` again, whose values are the bytes from `valuesFrom` to `valuesTo`. */
  repeat(map: number, valuesFrom: number, valuesTo: number): void {
    this.keys.repeat(this.maps.startOf(map), this.maps.startOf(map + 1));
    this.values.repeat(valuesFrom, valuesTo);
    this.maps.push(this.keys.length);
  }

  private nextMap(): void {
    if (++this.mapNumber <= INT32_MAX) return;
    this.seenIn.fill(0);
    this.mapNumber = 1;
  }

  /** Takes back all maps after the first `maps`, and a map that was begun. */
  cut(maps: number, keys: number, valueBytes: number): void {
    this.nextMap();
    this.maps.length = maps;
    this.keys.length = keys;
    this.values.length = valueBytes;
  }

  reset(keepMax: number): void {
    this.nextMap();
    this.keys.reset();
    this.maps.reset();
    this.values.reset(keepMax);
  }

  /** About how many bytes it will take. */
  size(): number {
    return this.values.length + 2 * this.keys.length + 8 * this.maps.length;
  }

  /** After the prefix, and after the offsets of a list around the maps. */
  write(to: Bytes): void {
    this.maps.write(to);
    this.keys.write(to);
    to.append(this.values);
  }
}
