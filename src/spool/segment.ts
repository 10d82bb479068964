import { join } from 'node:path';
import { crc32 } from 'node:zlib';

/**
 * A segment is one file of the log, `<number>.seg`, written once from front to back:
 *
 *   magic 4 │ crc 4 │ number 8 │ number of the segment before 8 │ spool id 16 (hex text) │ version 4 │ zeros 4 │
 *   end of the segment before 8 │ zeros ║ records
 */
export const SEGMENT_HEADER_BYTES = 64;
/** Of the records and what they are made of; 0 had checksums without a salt. */
export const SEGMENT_VERSION = 1;
const MAGIC = Buffer.from([0xfe, 0xc1, 0xff, 0xc2]);

export interface SegmentHeader {
  number: number;
  /** The segment written before this one; 0 where there was none. */
  previous: number;
  /** Where that one's records end. What a failed commit left behind them was never acknowledged. 0: not known. */
  previousEnd: number;
  spoolId: string;
  /** Another one than `SEGMENT_VERSION` was written by another release: its records cannot be read. */
  version: number;
}

export const segmentName = (number: number) => `${String(number).padStart(16, '0')}.seg`;
export const segmentPath = (folder: string, number: number) => join(folder, segmentName(number));
export const digestsName = (number: number) => `${String(number).padStart(16, '0')}.digests`;

/** The number in a file's name; `undefined` when the file is of another kind. */
export function numberIn(name: string, ending: '.seg' | '.digests'): number | undefined {
  const match = /^(\d{16})(\.\w+)$/.exec(name);
  return match && match[2] === ending ? Number(match[1]) : undefined;
}

export function encodeSegmentHeader(fields: Omit<SegmentHeader, 'version'>): Buffer {
  const { number, previous, previousEnd, spoolId } = fields;
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(header);
  header.writeBigUInt64LE(BigInt(number), 8);
  header.writeBigUInt64LE(BigInt(previous), 16);
  header.write(spoolId, 24, 16, 'latin1');
  header.writeUInt32LE(SEGMENT_VERSION, 40);
  header.writeBigUInt64LE(BigInt(previousEnd), 48);
  header.writeUInt32LE(crc32(header.subarray(8)), 4);
  return header;
}

/** `undefined` when it is damaged. */
export function decodeSegmentHeader(header: Buffer): SegmentHeader | undefined {
  if (header.length < SEGMENT_HEADER_BYTES || !header.subarray(0, 4).equals(MAGIC)) return undefined;
  if (header.readUInt32LE(4) !== crc32(header.subarray(8, SEGMENT_HEADER_BYTES))) return undefined;
  return {
    number: Number(header.readBigUInt64LE(8)),
    previous: Number(header.readBigUInt64LE(16)),
    previousEnd: Number(header.readBigUInt64LE(48)),
    spoolId: header.toString('latin1', 24, 40),
    version: header.readUInt32LE(40),
  };
}
