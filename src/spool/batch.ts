import type { Chunk } from './chunk.ts';
import type { SpoolRecord } from './record.ts';
import type { Find } from './scan.ts';

/**
 * Bounds of a batch. ClickHouse refuses a block of more than 100 partitions, and only a block it need not split is
 * stored whole or not at all. Rows are those of one insert, bytes those of all: batches under way are in memory. The
 * larger an insert the less it costs ClickHouse a span: 45, 34 and 26 µs of CPU in inserts of 10, 20 and 50 thousand
 * rows, merges included. Each request's chunks are blocks of their own, and a block costs up to some milliseconds
 * however small it is: an insert of too many would take longer than it may, every time.
 */
const ROWS_MAX = 50_000;
const BATCH_BYTES_MAX = 24_000_000;
const PARTITIONS_MAX = 50;
const CHUNKS_MAX = 1_000;

/** What goes into one insert: rows of one table in one format. */
export const insertKey = ({ table, format }: Pick<Chunk, 'table' | 'format'>) => `${table}-${format}`;

/** Takes finds as long as they go together: one record, or as many as become one insert a table and format. */
export class BatchBounds {
  private readonly bytesMax: number;
  private readonly totals = new Map<string, { rows: number; chunks: number; partitions: Set<number> }>();
  private bytes = 0;
  private records = 0;
  private closed = false;

  constructor(bytesMax = BATCH_BYTES_MAX) {
    this.bytesMax = bytesMax;
  }

  /** `false` when `find` does not belong to the batch any more; then nothing after it does. */
  take(find: Find): boolean {
    if (this.closed) return false;
    if (find.kind !== 'record') return true;
    const { chunks } = find.record;
    let fits = !isLarge(chunks);
    for (const chunk of chunks) {
      const key = insertKey(chunk);
      const total = this.totals.get(key) ?? { rows: 0, chunks: 0, partitions: new Set() };
      this.totals.set(key, total);
      total.rows += chunk.rows;
      total.chunks++;
      this.bytes += chunk.bytes.length;
      for (const partition of chunk.partitions) total.partitions.add(partition);
      fits &&=
        total.rows <= ROWS_MAX && total.chunks <= CHUNKS_MAX && total.partitions.size <= PARTITIONS_MAX;
      fits &&= this.bytes <= this.bytesMax;
    }
    this.closed = !fits;
    if (!fits && this.records > 0) return false;
    this.records++;
    return true;
  }
}

/** Whether a request is several inserts by itself. */
const isLarge = (chunks: readonly Chunk[]): boolean =>
  chunks.length > 1 && new Set(chunks.map(insertKey)).size < chunks.length;

export interface Insert {
  table: Chunk['table'];
  format: Chunk['format'];
  rows: number;
  /** One after the other they are the rows. */
  bodies: Buffer[];
  /** The same for every try of these rows, also by a process that comes after this one. */
  token: string;
}

/** The chunks of each insert that `records` become: by table in the order of `tables`, by format within one. */
function chunksByInsert(records: readonly SpoolRecord[], tables: readonly string[]): [string, Chunk[]][] {
  const byKey = new Map<string, Chunk[]>();
  for (const { chunks } of records)
    for (const chunk of chunks) {
      const key = insertKey(chunk);
      const same = byKey.get(key);
      if (same) same.push(chunk);
      else byKey.set(key, [chunk]);
    }
  const place = ([, [chunk]]: [string, Chunk[]]) => tables.indexOf(chunk!.table);
  return [...byKey].sort((a, b) => place(a) - place(b) || (a[0] < b[0] ? -1 : 1));
}

/**
 * The inserts a batch becomes, in order. Tokens name the place in the spool and not the content: should a record of the
 * batch be damaged between two tries, what the first try may have stored is still not stored again. `stored` are those
 * that need not be made. `tables` is the order in which they are written.
 */
export function insertsOf(
  records: readonly SpoolRecord[],
  place: string,
  tables: readonly string[],
  stored: readonly string[] = [],
): Insert[] {
  const inserts: Insert[] = [];
  for (const [key, chunks] of chunksByInsert(records, tables)) {
    if (stored.includes(key)) continue;
    const groups = records.length > 1 ? [chunks] : chunks.map((c) => [c]);
    groups.forEach((group, i) => {
      const [first] = group;
      if (!first) return;
      inserts.push({
        table: first.table,
        format: first.format,
        rows: group.reduce((sum, c) => sum + c.rows, 0),
        bodies: group.map((c) => c.bytes),
        token: `${place}-${key}-${i}`,
      });
    });
  }
  return inserts;
}
