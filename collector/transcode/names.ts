import { isUtf8 } from 'node:buffer';
import { randomInt } from 'node:crypto';
import { Bytes, type Source } from './bytes.ts';

const FIRST_SLOTS = 1 << 12;
/** Past these it starts anew with the next block: names come from strangers. */
const NAMES_MAX = 50_000;
const NAME_BYTES_MAX = 4_000_000;
/** Unknown outside, so that nobody can send names that all go to one place of the table. No outcome depends on it. */
const HASH_SEED = randomInt(2 ** 32 - 1);

/**
 * Names as numbers: the same bytes are the same number, and a name that is known costs no object. Telemetry repeats a
 * few hundred names for ever, in the same order span after span, so who asks says which one it expects, and that is
 * nearly always right.
 */
export class Names {
  /** Bytes of all names, one after the other. */
  private readonly bytes = new Bytes();
  private starts = new Int32Array(FIRST_SLOTS / 2 + 1);
  private readonly byText = new Map<string, number>();
  private slots = new Int32Array(FIRST_SLOTS).fill(-1);
  private readonly flagsOf: (name: string) => number;
  private readonly firstNames: readonly string[];
  /** What `flagsOf` said of each name. */
  flags = new Uint8Array(FIRST_SLOTS / 2);
  count = 0;

  /** `firstNames` are the numbers from 0 on. */
  constructor(firstNames: readonly string[], flagsOf: (name: string) => number) {
    this.firstNames = firstNames;
    this.flagsOf = flagsOf;
    this.reset();
  }

  /** To be called while no number is in use. */
  shrink(): void {
    if (this.count > NAMES_MAX || this.bytes.length > NAME_BYTES_MAX) this.reset();
  }

  /** The number of the `size` bytes at `from`; -1 where they are not UTF-8. */
  find({ bytes: source, view }: Source, from: number, size: number, expected: number): number {
    if (expected < this.count && this.is(expected, view, from, size)) return expected;
    const mask = this.slots.length - 1;
    let slot = hashOf(source, from, size) & mask;
    for (; this.slots[slot]! >= 0; slot = (slot + 1) & mask) {
      const id = this.slots[slot]!;
      if (this.is(id, view, from, size)) return id;
    }
    return this.add(source, from, size, slot);
  }

  ofText(text: string): number {
    const known = this.byText.get(text);
    if (known !== undefined) return known;
    const bytes = Buffer.from(text);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const id = this.find({ bytes, view }, 0, bytes.length, 0);
    this.byText.set(text, id);
    return id;
  }

  /** Appends the names of `ids`, each as a String. */
  write(to: Bytes, ids: Uint32Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const start = this.starts[ids[i]!]!;
      to.string(this.bytes.source, start, this.starts[ids[i]! + 1]! - start);
    }
  }

  private is(id: number, other: DataView, from: number, size: number): boolean {
    const start = this.starts[id]!;
    const end = this.starts[id + 1]!;
    if (end - start !== size) return false;
    const { view } = this.bytes;
    let a = start;
    let b = from;
    // Four bytes at a time: most of what a transcoder does is to see that a name is the one it expected.
    for (; a + 4 <= end; a += 4, b += 4) if (view.getInt32(a) !== other.getInt32(b)) return false;
    for (; a < end; a++, b++) if (view.getInt8(a) !== other.getInt8(b)) return false;
    return true;
  }

  private add(source: Buffer, from: number, size: number, slot: number): number {
    const name = source.subarray(from, from + size);
    if (!isUtf8(name)) return -1;
    const id = this.count++;
    this.bytes.reserve(size);
    name.copy(this.bytes.buffer, this.bytes.length);
    this.bytes.length += size;
    this.starts[id + 1] = this.bytes.length;
    this.flags[id] = this.flagsOf(name.toString());
    this.slots[slot] = id;
    if (2 * this.count >= this.slots.length) this.grow();
    return id;
  }

  private grow(): void {
    const { starts, flags } = this;
    this.starts = new Int32Array(2 * starts.length);
    this.starts.set(starts);
    this.flags = new Uint8Array(2 * flags.length);
    this.flags.set(flags);
    const mask = 2 * this.slots.length - 1;
    this.slots = new Int32Array(mask + 1).fill(-1);
    for (let id = 0; id < this.count; id++) {
      const start = this.starts[id]!;
      let slot = hashOf(this.bytes.buffer, start, this.starts[id + 1]! - start) & mask;
      while (this.slots[slot]! >= 0) slot = (slot + 1) & mask;
      this.slots[slot] = id;
    }
  }

  private reset(): void {
    this.bytes.reset(NAME_BYTES_MAX);
    this.starts = new Int32Array(FIRST_SLOTS / 2 + 1);
    this.flags = new Uint8Array(FIRST_SLOTS / 2);
    this.slots = new Int32Array(FIRST_SLOTS).fill(-1);
    this.count = 0;
    this.byText.clear();
    for (const name of this.firstNames) this.ofText(name);
  }
}

/** FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/, begun elsewhere and its high bits folded in. */
function hashOf(source: Buffer, from: number, size: number): number {
  let hash = HASH_SEED;
  for (let at = from, end = from + size; at < end; at++) hash = Math.imul(hash ^ source[at]!, 0x01000193);
  return hash ^ (hash >>> 15);
}
