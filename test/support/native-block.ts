import { isUtf8 } from 'node:buffer';

/**
 * Reads blocks of ClickHouse's Native format, strictly: every byte belongs to something, every place in a dictionary
 * is there, every text is UTF-8. It knows the types of our tables, and nothing of who writes them.
 */

/** A row by the names of its columns: numbers as text, maps as lists of entries, lists as lists. */
export type NativeRow = Record<string, unknown>;

export function readBlock(bytes: Buffer): NativeRow[] {
  const r = new Reader(bytes);
  const columns = r.varint();
  const size = r.varint();
  const rows: NativeRow[] = Array.from({ length: size }, () => ({}));
  for (let c = 0; c < columns; c++) {
    const name = r.text();
    const type = r.text();
    readPrefix(r, type);
    const values = readValues(r, type, size);
    for (let i = 0; i < size; i++) rows[i]![name] = values[i];
  }
  r.end();
  return rows;
}

const MAP = 'Map(LowCardinality(String), String)';
const ADDITIONAL_KEYS_ONLY = 0x600n;

const elementOf = (type: string) => /^Array\((.*)\)$/.exec(type)?.[1];

/** What stands before everything else of a column, however deep its dictionary is. */
function readPrefix(r: Reader, type: string): void {
  if (type.includes('LowCardinality') && r.uint64() !== 1n) throw new Error(`${type}: unknown version`);
}

function readValues(r: Reader, type: string, size: number): unknown[] {
  const element = elementOf(type);
  if (element !== undefined) return readLists(r, size, (n) => readValues(r, element, n));
  switch (type) {
    case 'String':
      return Array.from({ length: size }, () => r.text());
    case 'UInt64':
    case 'DateTime64(9)':
      return Array.from({ length: size }, () => String(r.uint64()));
    case 'LowCardinality(String)':
      return readDictionary(r, size);
    case MAP:
      return readLists(r, size, (n) => {
        const keys = readDictionary(r, n);
        return keys.map((key) => [key, r.text()]);
      });
    default:
      throw new Error(`Unknown type ${type}`);
  }
}

function readLists(r: Reader, size: number, read: (elements: number) => unknown[]): unknown[][] {
  const ends = Array.from({ length: size }, () => Number(r.uint64()));
  const elements = read(ends.at(-1) ?? 0);
  return ends.map((end, i) => {
    const start = i === 0 ? 0 : ends[i - 1]!;
    if (end < start) throw new Error(`A list ends at ${end}, before its start at ${start}`);
    return elements.slice(start, end);
  });
}

function readDictionary(r: Reader, size: number): string[] {
  if (size === 0) return [];
  const kind = r.uint64();
  const width = Number(kind & 0xffn);
  if ((kind & ~0xffn) !== ADDITIONAL_KEYS_ONLY || width > 2) throw new Error(`A dictionary of kind ${kind}`);
  const names = Array.from({ length: Number(r.uint64()) }, () => r.text());
  if (new Set(names).size !== names.length) throw new Error('A name is in a dictionary twice');
  if (Number(r.uint64()) !== size) throw new Error('A dictionary column of another length');
  return Array.from({ length: size }, () => {
    const place = r.uint(1 << width);
    if (place >= names.length) throw new Error(`Place ${place} of ${names.length} names`);
    return names[place]!;
  });
}

class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  varint(): number {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = this.uint(1);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  text(): string {
    const size = this.varint();
    const bytes = this.bytes.subarray(this.at, this.at + size);
    if (bytes.length < size) throw new Error(`A text of ${size} bytes at ${this.at} goes past the end`);
    if (!isUtf8(bytes)) throw new Error(`The text at ${this.at} is not UTF-8`);
    this.at += size;
    return bytes.toString();
  }

  uint64(): bigint {
    this.at += 8;
    return this.bytes.readBigUInt64LE(this.at - 8);
  }

  uint(size: number): number {
    this.at += size;
    return this.bytes.readUIntLE(this.at - size, size);
  }

  end(): void {
    if (this.at !== this.bytes.length) throw new Error(`${this.bytes.length - this.at} bytes are left over`);
  }
}
