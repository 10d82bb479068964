import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { type Files, readRange, using } from './files.ts';
import { digestsName, numberIn } from './segment.ts';

/** Requests remembered, to know one whose answer was lost when it comes again. */
export const REMEMBERED_MAX = 100_000;
export const REMEMBERED_MS = 600_000;
/** 32 of digest, 8 of time. */
const ENTRY_BYTES = 40;

export interface Taken {
  digest: string;
  timeMs: number;
}

/**
 * The digests of requests taken of late. They are in the records' headers, so a start finds them in the segments; those
 * of a segment that is removed go into a small file beside it first, and that stays as long as they are remembered.
 */
export class Digests {
  private readonly files: Files;
  private readonly folder: string;
  private readonly clock: Clock;
  private readonly rememberMs: number;
  private readonly takenAt = new Map<string, number>();
  /** Goes on where it was: a new one would have to pass all places of keys that are gone. */
  private readonly oldest = this.takenAt.keys();
  private readonly kept: { number: number; entries: number; newestMs: number }[] = [];

  /** `rememberMs` of 0: nobody comes again, and nothing is remembered. */
  constructor(files: Files, folder: string, clock: Clock, rememberMs: number) {
    this.files = files;
    this.folder = folder;
    this.clock = clock;
    this.rememberMs = rememberMs;
  }

  has(digest: string): boolean {
    const at = this.takenAt.get(digest);
    return at !== undefined && this.isRecent(at);
  }

  add({ digest, timeMs }: Taken): void {
    if (this.rememberMs === 0) return;
    this.takenAt.delete(digest);
    this.takenAt.set(digest, timeMs);
    if (this.takenAt.size > REMEMBERED_MAX) this.takenAt.delete(this.oldest.next().value!);
  }

  /** Reads the files of segments that are gone. One that is damaged is worth as much as its intact part. */
  async load(): Promise<void> {
    for (const name of (await this.files.list(this.folder)).sort()) {
      const number = numberIn(name, '.digests');
      if (number === undefined) continue;
      const bytes = await using(this.files.open(join(this.folder, name)), async (file) =>
        readRange(file, 0, await file.size()),
      );
      let newestMs = 0;
      let entries = 0;
      for (; (entries + 1) * ENTRY_BYTES <= bytes.length; entries++) {
        const at = entries * ENTRY_BYTES;
        const timeMs = Number(bytes.readBigUInt64LE(at + 32));
        if (timeMs > this.clock.now() + this.rememberMs) continue; // damaged, and else remembered for ever
        newestMs = Math.max(newestMs, timeMs);
        this.add({ digest: bytes.toString('hex', at, at + 32), timeMs });
      }
      this.kept.push({ number, entries, newestMs });
    }
  }

  /** Keeps those of a segment that is about to be removed, and removes the files nobody needs any more. */
  async keep(number: number, taken: readonly Taken[]): Promise<void> {
    const recent = taken.filter(({ timeMs }) => this.isRecent(timeMs)).slice(-REMEMBERED_MAX);
    if (recent.length > 0 && !this.kept.some((k) => k.number === number)) {
      const bytes = Buffer.alloc(recent.length * ENTRY_BYTES);
      let newestMs = 0;
      recent.forEach(({ digest, timeMs }, i) => {
        bytes.write(digest, i * ENTRY_BYTES, 32, 'hex');
        bytes.writeBigUInt64LE(BigInt(timeMs), i * ENTRY_BYTES + 32);
        newestMs = Math.max(newestMs, timeMs);
      });
      const path = join(this.folder, digestsName(number));
      const temporary = `${path}.tmp`;
      await this.files.unlink(temporary).catch(() => {}); // of a try that failed, if there was one
      await using(this.files.create(temporary), async (file) => {
        await file.write(bytes, 0);
        await file.datasync();
      });
      await this.files.rename(temporary, path);
      await this.files.syncFolder(this.folder);
      this.kept.push({ number, entries: recent.length, newestMs });
    }
    let entries = this.kept.reduce((sum, k) => sum + k.entries, 0);
    while (this.kept[0] && (entries > 2 * REMEMBERED_MAX || !this.isRecent(this.kept[0].newestMs))) {
      await this.files.unlink(join(this.folder, digestsName(this.kept[0].number)));
      entries -= this.kept.shift()!.entries;
    }
  }

  /** Whether what was taken then is still remembered. */
  isRecent(timeMs: number): boolean {
    return this.rememberMs > 0 && this.clock.now() - timeMs <= this.rememberMs;
  }
}
