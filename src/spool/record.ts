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

/** A record's payload in pieces: those of the chunks are the chunks' own memory. */
export interface Payload {
  parts: readonly Buffer[];
  length: number;
}

export function encodePayload(chunks: readonly Chunk[]): Payload {
  const table = Buffer.from(
    JSON.stringify(
      chunks.map((c) => ({
        table: c.table,
        format: c.format,
        rows: c.rows,
        partitions: c.partitions,
        length: c.bytes.length,
      })),
    ),
  );
  const tableLength = Buffer.alloc(4);
  tableLength.writeUInt32LE(table.length);
  const parts = [tableLength, table, ...chunks.map((c) => c.bytes)];
  return { parts, length: parts.reduce((sum, part) => sum + part.length, 0) };
}

export function encodeHeader(record: Omit<SpoolRecord, 'chunks'>, payload: Payload, salt: Salt): Buffer {
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt32LE(payload.length, 8);
  const crc = payload.parts.reduce((sum, part) => crc32(part, sum), salt.payload);
  header.writeUInt32LE(crc, 12);
  header.writeBigUInt64LE(BigInt(record.sequence), 16);
  header.writeBigUInt64LE(BigInt(record.timeMs), 24);
  header.write(record.digest, 32, 32, 'hex');
  header.writeUInt32LE(crc32(header.subarray(8), salt.header), 4);
  return header;
}

export type Found =
  | { kind: 'record'; from: number; to: number; record: SpoolRecord }
  /** Bytes that are no record; the next one that checks is at `to`. */
  | { kind: 'corrupt'; from: number; to: number }
  /** The file ends before the record does: what a write that was cut short leaves. */
  | { kind: 'torn'; from: number; to: number }
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
    const cutShort = next === undefined && !whole && (to !== undefined || isCut(bytes.subarray(at)));
    yield { kind: cutShort ? 'torn' : 'corrupt', from: at, to: end };
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

/** Shorter than a header, or space that the file system had reserved and nothing was written to. */
const isCut = (rest: Buffer) => rest.length < RECORD_HEADER_BYTES || rest.every((byte) => byte === 0);

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
