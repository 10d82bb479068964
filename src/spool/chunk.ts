/**
 * What a record is made of: rows, or other items, of one table, serialised as they will be delivered, within the bounds of
 * one insert. What a table or a format is, only those know who put chunks in and take them out.
 */
export interface Chunk {
  table: string;
  format: string;
  rows: number;
  /** The partitions the rows go to, each once: an insert may have only so many. */
  partitions: readonly number[];
  bytes: Buffer;
}
