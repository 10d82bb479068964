import type { Chunk } from './chunk.ts';
import type { RecordFind } from './scan.ts';

/**
 * Records that were just written, for the side that reads the log: while it keeps up, nothing is read back. It takes
 * them in the order they were written; what it left behind goes when there is too much.
 */
export class RecentRecords {
  private readonly records: { segment: number; find: RecordFind }[] = [];
  private readonly bytesMax: number;
  private readonly onLeft: (chunks: readonly Chunk[]) => void;
  private bytes = 0;

  /** `onLeft` is told of what goes because there is too much. */
  constructor(bytesMax: number, onLeft: (chunks: readonly Chunk[]) => void) {
    this.bytesMax = bytesMax;
    this.onLeft = onLeft;
  }

  add(segment: number, find: RecordFind): void {
    this.records.push({ segment, find });
    this.bytes += find.to - find.from;
    while (this.bytes > this.bytesMax) this.onLeft(this.dropFirst().record.chunks);
  }

  /** The record at this place; everything before it is forgotten. */
  at(segment: number, from: number): RecordFind | undefined {
    for (let first = this.records[0]; first; first = this.records[0]) {
      if (first.segment === segment && first.find.from === from) return first.find;
      if (first.segment > segment || (first.segment === segment && first.find.from > from)) return undefined;
      this.dropFirst();
    }
    return undefined;
  }

  private dropFirst(): RecordFind {
    const { find } = this.records.shift()!;
    this.bytes -= find.to - find.from;
    return find;
  }
}
