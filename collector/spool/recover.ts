import { join } from 'node:path';
import type { Cursor } from './cursor.ts';
import type { Digests, Taken } from './digests.ts';
import { type Files, type OpenFile, readRange, using } from './files.ts';
import type { Segment } from './log.ts';
import { findRecords } from './record.ts';
import { decodeSegmentHeader, numberIn, SEGMENT_HEADER_BYTES, segmentName } from './segment.ts';
import type { SetAside } from './set-aside.ts';

export interface RecoverOptions {
  files: Files;
  folder: string;
  cursor: Cursor;
  digests: Digests;
  setAside: SetAside;
  /** Told what is wrong with what was found. */
  count: (reason: 'torn_tail' | 'foreign' | 'missing_segment', n: number) => void;
}

export interface Recovered {
  /** Those that are not done with, in order. */
  segments: Segment[];
  nextNumber: number;
  nextSequence: number;
  pendingRecords: number;
  /** What the cursor's segment holds before the cursor. */
  delivered: Taken[];
  /** Sequences of records that are there a second time, and not to be delivered. */
  repeated: Set<number>;
}

/**
 * What a start finds in the folder. It reads every segment once: to learn the digests, to cut off what a crash left
 * half written, and to set aside files that are not what their names say. Damage within a segment is left to delivery,
 * which comes by it anyway.
 */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { files, folder, cursor, digests, setAside, count } = options;
  await digests.load();
  const names = await files.list(folder);
  for (const name of names) if (name.endsWith('.tmp')) await files.unlink(join(folder, name));
  const numbers = names
    .map((name) => numberIn(name, '.seg'))
    .filter((n) => n !== undefined)
    .sort((a, b) => a - b);
  const found: Recovered = {
    segments: [],
    nextNumber: Math.max(cursor.segment, ...numbers) + 1,
    nextSequence: cursor.sequence + 1,
    pendingRecords: 0,
    delivered: [],
    repeated: new Set(),
  };
  const pending = new Set<string>();
  const present = new Set(numbers);
  for (const number of numbers) {
    const path = join(folder, segmentName(number));
    const bytes = await using(files.open(path), async (file) => {
      const whole = await readRange(file, 0, await file.size());
      return await withoutTornTail(file, whole);
    });
    const header = decodeSegmentHeader(bytes);
    if (header && (header.number !== number || header.spoolId !== cursor.spoolId)) {
      await setAside.move(path, segmentName(number));
      count('foreign', 1);
      continue;
    }
    if (header && header.previous > cursor.segment && !present.has(header.previous))
      count('missing_segment', 1);
    const done: Taken[] = [];
    for (const f of findRecords(bytes.subarray(SEGMENT_HEADER_BYTES), true)) {
      if (f.kind !== 'record') continue;
      const { digest, timeMs, sequence } = f.record;
      digests.add({ digest, timeMs });
      found.nextSequence = Math.max(found.nextSequence, sequence + 1);
      const isPending =
        number > cursor.segment ||
        (number === cursor.segment && f.from + SEGMENT_HEADER_BYTES >= cursor.offset);
      if (!isPending) {
        done.push({ digest, timeMs });
      } else if (pending.has(digest)) {
        // Its first commit failed, its sender came again, and then the first was on the disk after all.
        found.repeated.add(sequence);
      } else {
        pending.add(digest);
        found.pendingRecords++;
      }
    }
    if (number < cursor.segment) {
      // The crash came between the cursor and the removal.
      await digests.keep(number, done);
      await files.unlink(path);
      continue;
    }
    if (number === cursor.segment) found.delivered = done;
    found.segments.push({ number, path, committed: bytes.length, sealed: true });
  }
  return found;

  /** Nothing after a tear was ever acknowledged, as a record is acknowledged when all before it are whole. */
  async function withoutTornTail(file: OpenFile, bytes: Buffer): Promise<Buffer> {
    if (bytes.length < SEGMENT_HEADER_BYTES) {
      count('torn_tail', 1);
      return bytes;
    }
    for (const f of findRecords(bytes.subarray(SEGMENT_HEADER_BYTES), true)) {
      if (f.kind !== 'torn') continue;
      count('torn_tail', 1);
      const end = f.from + SEGMENT_HEADER_BYTES;
      await file.truncate(end);
      await file.datasync();
      return bytes.subarray(0, end);
    }
    return bytes;
  }
}
