import { type Digests, REMEMBERED_MAX, type Taken } from './digests.ts';
import type { Files } from './files.ts';
import type { SpoolLog } from './log.ts';

/**
 * Removes segments that a durable cursor is past. Their digests are kept first: a disk that has no room for those gets
 * its room back when the segment's requests are too old to be remembered, in ten minutes at most. A segment that cannot
 * be removed now is tried again, and stops nothing.
 */
export class Removal {
  private readonly options: { files: Files; digests: Digests; onError: (error: unknown) => void };
  private readonly log: SpoolLog;
  /** What was taken with the segments that are there, by their number. */
  private readonly taken = new Map<number, Taken[]>();

  constructor(options: Removal['options'], log: SpoolLog) {
    this.options = options;
    this.log = log;
  }

  /** To be remembered when the segment is gone. */
  remember(segment: number, delivered: readonly Taken[]): void {
    const taken = this.taken.get(segment) ?? [];
    this.taken.set(segment, taken);
    for (const entry of delivered) if (this.options.digests.isRecent(entry.timeMs)) taken.push(entry);
    if (taken.length > 2 * REMEMBERED_MAX) taken.splice(0, taken.length - REMEMBERED_MAX);
  }

  async removeBefore(number: number): Promise<void> {
    const { files, digests, onError } = this.options;
    for (let segment = this.log.segments[0]; segment && segment.number < number; ) {
      try {
        await digests.keep(segment.number, this.taken.get(segment.number) ?? []);
        await files.unlink(segment.path);
      } catch (error) {
        onError(error);
        return;
      }
      this.taken.delete(segment.number);
      this.log.segments.shift();
      segment = this.log.segments[0];
    }
  }
}
