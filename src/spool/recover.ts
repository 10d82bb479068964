import { join } from 'node:path';
import type { Cursor } from './cursor.ts';
import { type Digests, REMEMBERED_MAX, type Taken } from './digests.ts';
import { type Files, readRange, using } from './files.ts';
import type { Segment } from './log.ts';
import { saltOf } from './record.ts';
import { scan } from './scan.ts';
import {
  decodeSegmentHeader,
  numberIn,
  SEGMENT_HEADER_BYTES,
  SEGMENT_VERSION,
  type SegmentHeader,
  segmentName,
  segmentPath,
} from './segment.ts';
import type { SetAside } from './set-aside.ts';

export interface RecoverOptions {
  files: Files;
  folder: string;
  cursor: Cursor;
  digests: Digests;
  setAside: SetAside;
  /** Told what is wrong with what was found. */
  count: (reason: 'torn_tail' | Misplaced | 'missing_segment', n: number) => void;
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

type Misplaced = 'foreign' | 'unknown_version';

/**
 * What a start finds in the folder. It reads every segment once: to learn the digests, to cut off what a crash left
 * half written, and to set aside files that are not what their names say. Damage within a segment is left to delivery,
 * which comes by it anyway.
 */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { files, folder, cursor, digests, setAside, count } = options;
  // The cursor's entry, if it is new, and what a killed process did here, of which the rest takes no account.
  await files.syncFolder(folder);
  await digests.load();
  const names = await files.list(folder);
  for (const name of names) if (name.endsWith('.tmp')) await files.unlink(join(folder, name));
  const numbers = names
    .map((name) => numberIn(name, '.seg'))
    .filter((n) => n !== undefined)
    .sort((a, b) => a - b);
  const digestNumbers = names.map((name) => numberIn(name, '.digests')).filter((n) => n !== undefined);
  const found: Recovered = {
    segments: [],
    nextNumber: Math.max(cursor.segment, ...numbers, ...digestNumbers) + 1,
    nextSequence: cursor.sequence + 1,
    pendingRecords: 0,
    delivered: [],
    repeated: new Set(),
  };
  const salt = saltOf(cursor.spoolId);
  const pending = new Set<string>();
  const oldest = pending.values(); // goes on where it was, past those that are gone
  const present = new Set(numbers);
  const { sound, ends } = await look();
  for (const { number, path, size } of sound) {
    let end = Math.min(size, ends.get(number) ?? size);
    const done: Taken[] = [];
    for await (const f of scan(files, path, { from: SEGMENT_HEADER_BYTES, to: end, salt })) {
      if (f.kind === 'torn') {
        // Nothing after a tear was ever acknowledged, as a record is acknowledged when all before it are whole.
        if (!f.isBlank) count('torn_tail', 1);
        await using(files.open(path), (file) => file.truncate(f.from));
        end = f.from;
        break;
      }
      if (f.kind !== 'record') continue;
      const { digest, timeMs, sequence } = f.record;
      digests.add({ digest, timeMs });
      found.nextSequence = Math.max(found.nextSequence, sequence + 1);
      const isPending = number > cursor.segment || (number === cursor.segment && f.from >= cursor.offset);
      if (!isPending) {
        if (digests.isRecent(timeMs)) done.push({ digest, timeMs });
      } else if (pending.has(digest)) {
        // Its first commit failed, its sender came again soon, and then the first was on the disk after all.
        found.repeated.add(sequence);
      } else {
        pending.add(digest);
        if (pending.size > REMEMBERED_MAX) pending.delete(oldest.next().value!);
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
    found.segments.push({ number, path, committed: end, sealed: true });
  }
  return found;

  /** The segments that are what their names say, and where records end according to the segments after them. */
  async function look() {
    const sound: { number: number; path: string; size: number }[] = [];
    const ends = new Map<number, number>();
    for (const number of numbers) {
      const path = segmentPath(folder, number);
      const { header, size } = await using(files.open(path), async (file) => {
        // A process that was killed may have written what it never forced: it is built upon from here on.
        await file.datasync();
        return {
          header: decodeSegmentHeader(await readRange(file, 0, SEGMENT_HEADER_BYTES)),
          size: await file.size(),
        };
      });
      const misplaced = header && whyMisplaced(header, number);
      if (misplaced) {
        await setAside.move(misplaced, path, segmentName(number));
        count(misplaced, 1);
        continue;
      }
      if (header && header.previous > cursor.segment && !present.has(header.previous))
        count('missing_segment', 1);
      if (header && header.previousEnd > 0) ends.set(header.previous, header.previousEnd);
      if (size < SEGMENT_HEADER_BYTES) count('torn_tail', 1);
      sound.push({ number, path, size });
    }
    return { sound, ends };
  }

  function whyMisplaced(header: SegmentHeader, number: number): Misplaced | undefined {
    if (header.version !== SEGMENT_VERSION) return 'unknown_version';
    return header.number !== number || header.spoolId !== cursor.spoolId ? 'foreign' : undefined;
  }
}
