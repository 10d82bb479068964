import type { Span } from '../../src/span/span.ts';
import { rowLength, spanDay } from './row.ts';

/**
 * Bounds of one insert. ClickHouse refuses a block of more than 100 partitions (days, here), and only a block it need
 * not split is stored whole or not at all.
 */
const DAYS_MAX = 50;
const ROWS_MAX = 10_000;
const LENGTH_MAX = 8_000_000;

/** Cuts spans into inserts. The same spans are always cut the same way. */
export function spanChunks(spans: readonly Span[]): Span[][] {
  const byDay = Map.groupBy(spans, spanDay);
  const days = [...byDay.keys()].sort((a, b) => a - b);
  const chunks: Span[][] = [];
  for (let i = 0; i < days.length; i += DAYS_MAX) {
    const together = days.slice(i, i + DAYS_MAX).flatMap((day) => byDay.get(day)!);
    chunks.push(...bySize(together, rowLength, ROWS_MAX, LENGTH_MAX));
  }
  return chunks;
}

/** Cuts a list into pieces of at most `countMax` items and, but for a single larger item, `lengthMax` of length. */
export function bySize<T>(
  items: readonly T[],
  lengthOf: (item: T) => number,
  countMax = ROWS_MAX,
  lengthMax = LENGTH_MAX,
): T[][] {
  const pieces: T[][] = [];
  let piece: T[] = [];
  let length = 0;
  for (const item of items) {
    const itemLength = lengthOf(item);
    if (piece.length > 0 && (piece.length >= countMax || length + itemLength > lengthMax)) {
      pieces.push(piece);
      piece = [];
      length = 0;
    }
    piece.push(item);
    length += itemLength;
  }
  if (piece.length > 0) pieces.push(piece);
  return pieces;
}
