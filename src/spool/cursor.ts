import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Files, type OpenFile, readRange, using } from './files.ts';

/** Bounds of a batch: `[from, to)` of the file of `segment`. */
export interface Range {
  segment: number;
  from: number;
  to: number;
  /** Inserts (by `insertKey`) of the batch this is a half of that are stored, and so are not for the half to make. */
  stored: readonly string[];
}

/**
 * How far delivery has come, and what is being delivered.
 *
 * - Everything before `offset` of `segment` is in ClickHouse, or set aside.
 * - `ranges` are the batches decided on and not passed, in order and without gaps; the first begins at the cursor, or
 *   at the start of a later segment. A batch is written down here before it is sent and never changes while it may
 *   have been stored, so a repeat of it has the same bytes and the same token. Refused, a range is replaced by its
 *   halves, and that is written down as well.
 * - The file has two slots, written by turns and in place: one is always whole, and a disk that is full does not keep
 *   what is delivered from being noted, and then removed.
 */
export interface Cursor {
  /** Random, and known to nobody outside the folder: the records' checksums start from it. */
  spoolId: string;
  segment: number;
  offset: number;
  /** Sequence of the last record that is done with. */
  sequence: number;
  ranges: readonly Range[];
}

/** Another release may write it down in another way; its cursor is none for this one. */
const VERSION = 1;
/** Holds the ranges of batches that are refused and halved all the way down, many times over. */
const SLOT_BYTES = 65_536;
const PAGE_BYTES = 4_096;
const NAME = 'cursor';

export class CursorFile {
  private readonly file: OpenFile;
  private generation: number;

  private constructor(file: OpenFile, generation: number) {
    this.file = file;
    this.generation = generation;
  }

  /**
   * Opens the one in `folder` or makes one, to be saved. `cursor` is missing where none was there that can be read.
   * Its entry in the folder is forced by recovery, which comes before anything is delivered.
   */
  static async open(files: Files, folder: string): Promise<{ file: CursorFile; cursor: Cursor | undefined }> {
    const path = join(folder, NAME);
    const exists = (await files.list(folder)).includes(NAME);
    // A file that was just made is one to append to.
    if (!exists) await using(files.create(path), async () => {});
    const file = await files.open(path);
    try {
      const bytes = await readRange(file, 0, 2 * SLOT_BYTES);
      const slots = [readSlot(bytes, 0), readSlot(bytes, SLOT_BYTES)].filter((s) => s !== undefined);
      const newest = slots.sort((a, b) => b.generation - a.generation)[0];
      if (!newest) {
        await file.write(Buffer.alloc(2 * SLOT_BYTES), 0); // its pages are reserved from the start
      } else await file.datasync(); // a process that was killed may have written it and not forced it
      return { file: new CursorFile(file, newest?.generation ?? 0), cursor: newest?.cursor };
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
  }

  /** Durable when it resolves; when it rejects, what was saved last still stands. */
  async save(cursor: Cursor): Promise<void> {
    const body = Buffer.from(JSON.stringify({ version: VERSION, generation: this.generation + 1, cursor }));
    if (body.length > SLOT_BYTES - 8) throw new Error(`a cursor of ${body.length} bytes has no place`);
    const slot = Buffer.alloc(Math.ceil((body.length + 8) / PAGE_BYTES) * PAGE_BYTES);
    slot.writeUInt32LE(crc32(body), 0);
    slot.writeUInt32LE(body.length, 4);
    body.copy(slot, 8);
    // By generation and not by turns: a save that failed is repeated on the same slot, and the good one is not touched.
    const position = ((this.generation + 1) % 2) * SLOT_BYTES;
    if (this.file.writeNow) this.file.writeNow(slot, position);
    else await this.file.write(slot, position);
    await this.file.datasync();
    this.generation++;
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

function readSlot(bytes: Buffer, at: number): { generation: number; cursor: Cursor } | undefined {
  if (bytes.length < at + 8) return undefined;
  const length = bytes.readUInt32LE(at + 4);
  if (length === 0 || length > SLOT_BYTES - 8) return undefined;
  const body = bytes.subarray(at + 8, at + 8 + length);
  if (body.length < length || crc32(body) !== bytes.readUInt32LE(at)) return undefined;
  const { version, generation, cursor } = JSON.parse(body.toString());
  return version === VERSION ? { generation, cursor } : undefined;
}
