import type { Piece } from './difference.ts';

/**
 * Pieces as people look at them: what both have is cut to what stands around a change, and no text is longer than it may
 * be. What was cut says how much it was.
 */
export interface ExcerptLimits {
  /** Characters of what both have that are kept on each side of a change. */
  around: number;
  /** Characters of a text that only one of them has. */
  alone: number;
  /** Changes. */
  changes: number;
}

/** A piece, or how many characters (`…`) or changes (`more`) are left out there. */
export type Excerpt = Piece | ['…', number] | ['more', number];

export function excerpt(pieces: readonly Piece[], { around, alone, changes }: ExcerptLimits): Excerpt[] {
  const shown: Excerpt[] = [];
  let told = 0;
  for (const [i, piece] of pieces.entries()) {
    const [op, text] = piece;
    if (op === '=') shown.push(...cutMiddle(text, i > 0 ? around : 0, i < pieces.length - 1 ? around : 0));
    else if (++told > changes) {
      const more = pieces.slice(i).filter(([kind]) => kind !== '=').length;
      shown.push(['more', more]);
      break;
    } else if (op === '~') shown.push(piece);
    else {
      shown.push([op, text.slice(0, alone)]);
      if (text.length > alone) shown.push(['…', text.length - alone]);
    }
  }
  return shown;
}

/** The beginning and the end of a text. */
function cutMiddle(text: string, head: number, tail: number): Excerpt[] {
  if (text.length <= head + tail + 1) return [['=', text]];
  const cut: Excerpt[] = [
    ['=', text.slice(0, head)],
    ['…', text.length - head - tail],
    ['=', text.slice(text.length - tail)],
  ];
  return cut.filter((piece) => piece[1] !== '');
}
