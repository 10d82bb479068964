/** Bounds of one insert of rows that are text. */
const ROWS_MAX = 10_000;
const LENGTH_MAX = 8_000_000;

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
