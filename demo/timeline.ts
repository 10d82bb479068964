import { styleText } from 'node:util';
import type { Clock } from '../src/clock.ts';

type Style = Parameters<typeof styleText>[0];

export interface Timeline {
  /** A line of the story, with the seconds since it began. */
  tell(text: string, style?: Style): void;
  /** What is going on meanwhile; shown on a terminal only, and overwritten. */
  progress(text: string): void;
}

/** Tells a story on `stream` as it happens. */
export function createTimeline(clock: Clock, stream: NodeJS.WriteStream): Timeline {
  const start = clock.now();
  const stamp = () => `${((clock.now() - start) / 1000).toFixed(1).padStart(6)} s  `;
  const wipe = stream.isTTY ? '\r\u001b[2K' : '';
  return {
    tell: (text, style) => {
      const shown = style ? styleText(style, text, { stream }) : text;
      stream.write(`${wipe}${stamp()}${shown.replaceAll('\n', `\n${' '.repeat(10)}`)}\n`);
    },
    progress: (text) => {
      if (stream.isTTY) stream.write(`${wipe}${stamp()}${text}`);
    },
  };
}
