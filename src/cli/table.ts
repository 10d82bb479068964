import type { Output, Style } from './output.ts';

/** A cell: its text, and how it is coloured. */
export type Cell = string | { text: string; style?: Style | undefined };

export interface Column<Row> {
  header: string;
  align?: 'left' | 'right';
  cell(row: Row): Cell;
}

const GAP = '  ';

/** Lines of a table: a header, then a line a row, columns aligned by what a terminal shows. */
export function table<Row>(
  paint: Output['paint'],
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): string[] {
  const cells = rows.map((row) => columns.map((column) => asCell(column.cell(row))));
  const widths = columns.map((column, i) =>
    Math.max(displayWidth(column.header), ...cells.map((row) => displayWidth(row[i]!.text))),
  );
  const render = (row: readonly { text: string; style?: Style | undefined }[]) => {
    let line = '';
    row.forEach(({ text, style }, i) => {
      const padding = ' '.repeat(widths[i]! - displayWidth(text));
      const painted = style && text ? paint(style, text) : text;
      if (i > 0) line += GAP;
      line += columns[i]!.align === 'right' ? padding + painted : painted + padding;
    });
    return line.trimEnd();
  };
  const header = columns.map((column) => ({ text: column.header, style: 'dim' as const }));
  return [render(header), ...cells.map(render)];
}

function asCell(cell: Cell): { text: string; style?: Style | undefined } {
  return typeof cell === 'string'
    ? { text: printable(cell) }
    : { text: printable(cell.text), style: cell.style };
}

/**
 * Text that cannot steer the terminal: names, models and error messages come from strangers. Control characters
 * and those that turn the direction of writing become U+FFFD.
 */
export const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, '\ufffd');

const INVISIBLE = /[\p{Mn}\p{Me}\p{Cf}]/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

/** Columns that a terminal gives to printable text. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) width += INVISIBLE.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}
