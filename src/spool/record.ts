import { crc32 } from 'node:zlib';
import type { Chunk } from './chunk.ts';

/**
 * A record is one request: whole in the spool or not at all.
 *
 *   magic 4 │ header crc 4 │ payload length 4 │ payload crc 4 │ sequence 8 │ time 8 │ digest 32 ║ payload
 *                          └──────────── covered by the header crc ───────────┘
 *   payload = length of the table 4 │ the table: JSON, a row a chunk │ the chunks' bytes, one after the other
 *
 * - The header has a checksum of its own, so a length is believed only where it is right.
 * - In a damaged file the next record is found by looking for the magic and a header that checks. A payload holds bytes
 *   of its sender's choice, and so may hold the magic: both checksums start from the spool's salt, which no sender
 *   knows, and a record that somebody wrote into a payload does not check.
 * - Numbers are little-endian.
 */
export interface SpoolRecord {
  /** Grows from record to record through all segments. */
  sequence: number;
  /** When it was taken, in ms since 1970. */
  timeMs: number;
  /** What the request is known by when it comes again: 32 bytes, in hexadecimal. */
  digest: string;
  chunks: readonly Chunk[];
}

export const RECORD_HEADER_BYTES = 64;
/** A request that becomes more than this is refused. */
export const RECORD_BYTES_MAX = 256 * 1024 * 1024;
const MAGIC = Buffer.from([0xfe, 0xc1, 0xff, 0xc0]);

/** What the checksums of a spool's records start from. */
export interface Salt {
  header: number;
  payload: number;
}

/** The salt of the spool with this id, which is random and stays in its folder. */
export const saltOf = (spoolId: string): Salt => ({
  header: Number.parseInt(spoolId.slice(0, 8), 16),
  payload: Number.parseInt(spoolId.slice(8, 16), 16),
});

/** A record's payload, measured and not yet put together. */
export interface Payload {
  chunks: readonly Chunk[];
  /** The table, as JSON, and its length in bytes. */
  table: string;
  tableBytes: number;
  /** Of all of it, in bytes. */
  length: number;
}

/** The payload of a request, or `undefined` when it is larger than a record may be. */
export function payloadOf(chunks: readonly Chunk[]): Payload | undefined {
  const table = JSON.stringify(
    chunks.map((c) => ({
      table: c.table,
      format: c.format,
      rows: c.rows,
      partitions: c.partitions,
      length: c.bytes.length,
    })),
  );
  const tableBytes = Buffer.byteLength(table);
  const length = chunks.reduce((sum, { bytes }) => sum + bytes.length, 4 + tableBytes);
  return length > RECORD_BYTES_MAX ? undefined : { chunks, table, tableBytes, length };
}

/** Writes a record to `target` from `at` on, where there is room for it. Gives where it ends. */
export function writeRecord(
  target: Buffer,
  at: number,
  { sequence, timeMs, digest }: Omit<SpoolRecord, 'chunks'>,
  { chunks, table, tableBytes, length }: Payload,
  salt: Salt,
): number {
  const from = at + RECORD_HEADER_BYTES;
  let end = target.writeUInt32LE(tableBytes, from);
  end += target.write(table, end, 'utf8');
  for (const { bytes } of chunks) end += bytes.copy(target, end);
  MAGIC.copy(target, at);
  target.writeUInt32LE(length, at + 8);
  target.writeUInt32LE(crc32(target.subarray(from, end), salt.payload), at + 12);
  writeUint64(target, sequence, at + 16);
  writeUint64(target, timeMs, at + 24);
  target.write(digest, at + 32, 32, 'hex');
  target.writeUInt32LE(crc32(target.subarray(at + 8, from), salt.header), at + 4);
  return end;
}

/** A whole number up to 2^53, in eight bytes. */
function writeUint64(target: Buffer, value: number, at: number): void {
  target.writeUInt32LE(value % 2 ** 32, at);
  target.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

export type Found =
  | { kind: 'record'; from: number; to: number; record: SpoolRecord }
  /** Bytes that are no record; the next one that checks is at `to`. */
  | { kind: 'corrupt'; from: number; to: number }
  /**
   * The file, or what is written of it, ends before the record does: what a write that was cut short leaves. Where nothing
   * of a record is there, but room for the next, `isBlank`.
   */
  | { kind: 'torn'; from: number; to: number; isBlank: boolean }
  /** The window ends here, and the file does not: look again at `from` with at least `bytes`. */
  | { kind: 'more'; from: number; bytes: number };

/**
 * The records in `bytes`, and what is none. Every byte belongs to exactly one find, in order. `complete`: nothing
 * follows these bytes in the file; the last find is then never `more`.
 */
export function* findRecords(bytes: Buffer, complete: boolean, salt: Salt): Generator<Found, void> {
  let at = 0;
  while (at < bytes.length) {
    const to = endOf(bytes, at, salt);
    const whole = to !== undefined && to <= bytes.length;
    const record = whole ? decodeAt(bytes, at, to, salt) : undefined;
    if (record) {
      yield { kind: 'record', from: at, to: to!, record };
      at = to!;
      continue;
    }
    if (!complete && !whole) {
      const cutHeader = bytes.length - at < RECORD_HEADER_BYTES;
      yield { kind: 'more', from: at, bytes: to !== undefined ? to - at : cutHeader ? 1 : Infinity };
      return;
    }
    const next = nextHeader(bytes, at + 1, salt);
    if (next === undefined && !complete) {
      yield { kind: 'more', from: at, bytes: Infinity };
      return;
    }
    const end = next ?? bytes.length;
    const written = next === undefined ? writtenBytes(bytes.subarray(at)) : Number.POSITIVE_INFINITY;
    const least = to === undefined ? RECORD_HEADER_BYTES : to - at - ZEROS_AT_END_MAX;
    const isCut = written < least || (next === undefined && to !== undefined && !whole);
    if (isCut) yield { kind: 'torn', from: at, to: end, isBlank: written === 0 };
    else yield { kind: 'corrupt', from: at, to: end };
    at = end;
  }
}

/** Where the record at `at` ends; `undefined` when there is no header that checks. */
function endOf(bytes: Buffer, at: number, salt: Salt): number | undefined {
  if (bytes.length - at < RECORD_HEADER_BYTES) return undefined;
  const header = bytes.subarray(at, at + RECORD_HEADER_BYTES);
  if (!header.subarray(0, 4).equals(MAGIC)) return undefined;
  if (header.readUInt32LE(4) !== crc32(header.subarray(8), salt.header)) return undefined;
  return at + RECORD_HEADER_BYTES + header.readUInt32LE(8);
}

function nextHeader(bytes: Buffer, from: number, salt: Salt): number | undefined {
  for (let at = bytes.indexOf(MAGIC, from); at >= 0; at = bytes.indexOf(MAGIC, at + 1)) {
    if (endOf(bytes, at, salt) !== undefined) return at;
  }
  return undefined;
}

/** A record's last bytes may be zeros too. */
const ZEROS_AT_END_MAX = 16;

/** How many bytes there are without the zeros at the end: room that was taken and not written to. */
function writtenBytes(rest: Buffer): number {
  let end = rest.length;
  while (end > 0 && rest[end - 1] === 0) end--;
  return end;
}

function decodeAt(bytes: Buffer, from: number, to: number, salt: Salt): SpoolRecord | undefined {
  const header = bytes.subarray(from, from + RECORD_HEADER_BYTES);
  const payload = bytes.subarray(from + RECORD_HEADER_BYTES, to);
  if (header.readUInt32LE(12) !== crc32(payload, salt.payload)) return undefined;
  return {
    sequence: Number(header.readBigUInt64LE(16)),
    timeMs: Number(header.readBigUInt64LE(24)),
    digest: header.toString('hex', 32, 64),
    chunks: decodePayload(payload),
  };
}

/** The chunks share the payload's memory. */
function decodePayload(payload: Buffer): Chunk[] {
  let at = 4 + payload.readUInt32LE(0);
  const table = JSON.parse(payload.toString('utf8', 4, at)) as (Omit<Chunk, 'bytes'> & { length: number })[];
  return table.map(({ length, ...chunk }) => {
    const bytes = payload.subarray(at, at + length);
    at += length;
    return { ...chunk, bytes };
  });
}
