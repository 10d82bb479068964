import { type Chunk, TABLES } from '../../src/span/batch.ts';
import type { Found, SpoolRecord } from './record.ts';

/**
 * Bounds of one insert. ClickHouse refuses a block of more than 100 partitions, and only a block it need not split is
 * stored whole or not at all.
 */
const ROWS_MAX = 10_000;
const BYTES_MAX = 8_000_000;
const PARTITIONS_MAX = 50;

/** How many of `finds` from the first on go together: one, or as many as become one insert a table. */
export function batchLength(finds: readonly Found[]): number {
  const totals = new Map(TABLES.map((t) => [t, { rows: 0, bytes: 0, partitions: new Set<number>() }]));
  let records = 0;
  for (const [i, f] of finds.entries()) {
    if (f.kind !== 'record') continue;
    const tables = f.record.chunks.map((c) => c.table);
    const isLarge = new Set(tables).size < tables.length; // a request that is several inserts by itself
    let fits = !isLarge;
    for (const { table, rows, bytes, partitions } of f.record.chunks) {
      const total = totals.get(table)!;
      total.rows += rows;
      total.bytes += bytes.length;
      for (const partition of partitions) total.partitions.add(partition);
      fits &&= total.rows <= ROWS_MAX && total.bytes <= BYTES_MAX && total.partitions.size <= PARTITIONS_MAX;
    }
    if (!fits && records > 0) return i;
    if (isLarge) return i + 1;
    records++;
  }
  return finds.length;
}

export interface Insert {
  table: Chunk['table'];
  format: Chunk['format'];
  rows: number;
  /** One after the other they are the rows. */
  bodies: Buffer[];
  /** The same for every try of these rows, also by a process that comes after this one. */
  token: string;
}

/**
 * The inserts a batch becomes, in order. Tokens name the place in the spool and not the content: should a record of the
 * batch be damaged between two tries, what the first try may have stored is still not stored again.
 */
export function insertsOf(records: readonly SpoolRecord[], place: string): Insert[] {
  const inserts: Insert[] = [];
  for (const table of TABLES) {
    const chunks = records.flatMap((r) => r.chunks.filter((c) => c.table === table));
    const groups = records.length > 1 ? [chunks] : chunks.map((c) => [c]);
    groups.forEach((group, i) => {
      if (group.length === 0) return;
      inserts.push({
        table,
        format: group[0]!.format,
        rows: group.reduce((sum, c) => sum + c.rows, 0),
        bodies: group.map((c) => c.bytes),
        token: `${place}-${table}-${i}`,
      });
    });
  }
  return inserts;
}
