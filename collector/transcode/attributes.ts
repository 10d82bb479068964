import { Bytes } from './bytes.ts';
import { LowCardinality, Offsets } from './columns.ts';
import type { Names } from './names.ts';

/** A shape has at most so many names; what follows is no longer compared with it. */
const SHAPE_MAX = 64;
const NO_RUN = -1;
const FIRST_NAMES = 1024;
/** Room for more names than this is given back after a block. */
const KEPT_NAMES_MAX = 1 << 18;
const INT32_MAX = 0x7fff_ffff;

/**
 * Map(LowCardinality(String), String): the attributes of spans, of events or of links, one map after the other.
 *
 * Telemetry repeats itself: most maps have the names of the one before, in the same order (its shape). While a map
 * follows the shape its keys are only compared, and written all at once at its end.
 */
export class AttributesColumn {
  readonly keys: LowCardinality;
  readonly values = new Bytes();
  /** Where the maps end. */
  readonly maps = new Offsets();
  private readonly shape = new Int32Array(SHAPE_MAX);
  private shapeSize = 0;
  /** Where keys of that shape are among `keys`. */
  private shapeAt = NO_RUN;
  /** The map that was begun has, so far, the names of the shape, and none of its keys is written. */
  private isFollowing = false;
  /** By name, the map it was last a key in: a key comes once in a map. */
  private seenIn = new Int32Array(FIRST_NAMES);
  private mapNumber = 1;

  constructor(names: Names) {
    this.keys = new LowCardinality(names);
  }

  /** The key that will most likely be next in the map that has `size` by now. */
  expectedAt(size: number): number {
    return size < this.shapeSize ? this.shape[size]! : 0;
  }

  /** Adds a key, for a value to follow; `false` where this map, of `size` keys, has it already. */
  key(name: number, size: number): boolean {
    if (this.isFollowing) {
      if (size < this.shapeSize && this.shape[size] === name) return true;
      this.leaveShape(size);
    }
    return this.add(name);
  }

  /** Ends a map of `size` keys. */
  end(size: number): void {
    if (this.isFollowing) this.keys.repeat(this.shapeAt, this.shapeAt + size);
    else if (size > 0) this.shapeAt = this.rememberShape(size);
    this.maps.push(this.keys.length);
    this.nextMap();
  }

  /** Adds map number `map` again, whose values are the bytes from `valuesFrom` to `valuesTo`. */
  repeat(map: number, valuesFrom: number, valuesTo: number): void {
    this.keys.repeat(this.maps.startOf(map), this.maps.startOf(map + 1));
    this.values.repeat(valuesFrom, valuesTo);
    this.maps.push(this.keys.length);
  }

  /** Takes back all maps after the first `maps`, and a map that was begun. */
  cut(maps: number, keys: number, valueBytes: number): void {
    this.maps.length = maps;
    this.keys.length = keys;
    this.values.length = valueBytes;
    if (this.shapeAt + this.shapeSize > keys) this.shapeAt = NO_RUN;
    this.nextMap();
  }

  reset(keepMax: number): void {
    this.keys.reset();
    this.maps.reset();
    this.values.reset(keepMax);
    this.shapeAt = NO_RUN;
    if (this.seenIn.length > KEPT_NAMES_MAX) this.seenIn = new Int32Array(FIRST_NAMES);
    this.nextMap();
  }

  private add(name: number): boolean {
    if (name >= this.seenIn.length) {
      const larger = new Int32Array(2 * name);
      larger.set(this.seenIn);
      this.seenIn = larger;
    }
    if (this.seenIn[name] === this.mapNumber) return false;
    this.seenIn[name] = this.mapNumber;
    this.keys.push(name);
    return true;
  }

  /** A map that had a key nobody could read has fewer keys than it counts, and is taken back. */
  private leaveShape(size: number): void {
    this.isFollowing = false;
    const keys = Math.min(size, this.shapeSize);
    for (let i = 0; i < keys; i++) this.add(this.shape[i]!);
  }

  /** Of the map whose `size` keys are the last ones; gives where they are. */
  private rememberShape(size: number): number {
    const at = this.keys.length - size;
    this.shapeSize = Math.min(size, SHAPE_MAX);
    for (let i = 0; i < this.shapeSize; i++) this.shape[i] = this.keys.nameAt(at + i);
    return at;
  }

  private nextMap(): void {
    this.isFollowing = this.shapeAt !== NO_RUN;
    if (++this.mapNumber <= INT32_MAX) return;
    this.seenIn.fill(0);
    this.mapNumber = 1;
  }

  /** After the prefix, and after the offsets of a list around the maps. */
  write(to: Bytes): void {
    this.maps.write(to);
    this.keys.write(to);
    to.append(this.values);
  }
}
