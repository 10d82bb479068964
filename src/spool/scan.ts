import { type Files, readRange, using } from './files.ts';
import { type Found, findRecords, type Salt } from './record.ts';

/** What is at a place of a segment's file: a record, or bytes that are none. Offsets are the file's. */
export type Find = Exclude<Found, { kind: 'more' }>;
export type RecordFind = Extract<Found, { kind: 'record' }>;

/** Read at once; a record that is larger is read by itself. */
const WINDOW_BYTES = 4_000_000;

/**
 * The finds in `[from, to)` of a file, in order, a window at a time, so that no more of it is in memory than is looked
 * at. Nothing that belongs to the range follows it in the file. A file that ends before `to` is corrupt from there on.
 */
export async function* scan(
  files: Files,
  path: string,
  { from, to, salt }: { from: number; to: number; salt: Salt },
): AsyncGenerator<Find, void> {
  let at = from;
  let windowBytes = WINDOW_BYTES;
  while (at < to) {
    const base = at;
    const end = Math.min(to, base + windowBytes);
    const bytes = await using(files.open(path), (file) => readRange(file, base, end));
    const missing = bytes.length < end - base;
    let neededBytes = 0;
    for (const f of findRecords(bytes, missing || end === to, salt)) {
      if (f.kind === 'more') {
        neededBytes = f.bytes;
        break;
      }
      at = base + f.to;
      yield { ...f, from: base + f.from, to: at };
    }
    if (missing) {
      yield { kind: 'corrupt', from: base + bytes.length, to };
      return;
    }
    // Where the window held nothing whole, a larger one, whatever it is that is there.
    const leastBytes = at > base ? WINDOW_BYTES : 2 * windowBytes;
    windowBytes = Number.isFinite(neededBytes) ? Math.max(leastBytes, neededBytes) : leastBytes;
  }
}
