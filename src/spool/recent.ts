import type { RecordFind } from './scan.ts';

/**
 * Records that were just written, for the side that reads the log: while it keeps up, nothing is read back. It takes
 * them in the order they were written; what it left behind goes when there is too much.
 */
export class RecentRecords {
  private readonly records: { segment: number; find: RecordFind }[] = [];
  private readonly bytesMax: number;
  private bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  add(segment: number, find: RecordFind): void {
    this.records.push({ segment, find });
    this.bytes += find.to - find.from;
    while (this.bytes > this.bytesMax) this.dropFirst();
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

  private dropFirst(): void {
    const { find } = this.records.shift()!;
    this.bytes -= find.to - find.from;
  }
}
