import type { Chunk, Table } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { rowsTooLong } from '../decode/refusals.ts';
import { bySize } from './chunks.ts';

/** Days of one insert: ClickHouse refuses a block of more than 100 partitions. */
const DAYS_MAX = 50;

/** A row of a table partitioned by days. */
export interface Row {
  /** Days since 1970, UTC. */
  day: number;
  columns: object;
}

/**
 * Serialises rows and cuts them into inserts; the same rows are always cut the same way. Throws `body_too_large` where
 * they grow past what memory should hold, as what many share is in each of them.
 */
export function rowChunks(table: Table, rows: Iterable<Row>): Chunk[] {
  const byDay = new Map<number, string[]>();
  let length = 0;
  for (const { day, columns } of rows) {
    const line = `${JSON.stringify(columns)}\n`;
    length += line.length;
    if (length > LIMITS.rowsPerRequestLengthMax) throw rowsTooLong();
    const lines = byDay.get(day);
    if (lines) lines.push(line);
    else byDay.set(day, [line]);
  }
  const days = [...byDay.keys()].sort((a, b) => a - b);
  const chunks: Chunk[] = [];
  for (let i = 0; i < days.length; i += DAYS_MAX) {
    const dated = days
      .slice(i, i + DAYS_MAX)
      .flatMap((day) => byDay.get(day)!.map((line) => ({ day, line })));
    for (const some of bySize(dated, ({ line }) => line.length))
      chunks.push({
        table,
        format: 'JSONEachRow',
        rows: some.length,
        partitions: [...new Set(some.map(({ day }) => day))],
        bytes: Buffer.from(some.map(({ line }) => line).join('')),
      });
  }
  return chunks;
}
