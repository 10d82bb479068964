import { styleText } from 'node:util';
import type { Clock } from '../src/clock.ts';

type Style = Parameters<typeof styleText>[0];

export interface Timeline {
  /** A line of the story, with the seconds since it began. */
  tell(text: string, style?: Style): void;
  /** What is going on meanwhile; shown on a terminal only, and overwritten. */
  progress(text: string): void;
}

/** As wide as the seconds before each line. */
const MARGIN = ' '.repeat(10);
/** Where nobody says how wide it is: a file, a pipe. */
const COLUMNS = 120;

/** Tells a story on `stream` as it happens. */
export function createTimeline(clock: Clock, stream: NodeJS.WriteStream): Timeline {
  const start = clock.now();
  const stamp = () => `${((clock.now() - start) / 1000).toFixed(1).padStart(6)} s  `;
  const wipe = stream.isTTY ? '\r\u001b[2K' : '';
  return {
    tell: (text, style) => {
      const shown = wrap(text, (stream.columns ?? COLUMNS) - MARGIN.length).join(`\n${MARGIN}`);
      stream.write(`${wipe}${stamp()}${style ? styleText(style, shown, { stream }) : shown}\n`);
    },
    progress: (text) => {
      if (stream.isTTY) stream.write(`${wipe}${stamp()}${text}`);
    },
  };
}

/** Lines of at most `width` characters, cut between words; a longer word stands alone. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
