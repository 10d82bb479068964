import { styleText } from 'node:util';

/** A stream that text is written to: a terminal, a pipe, or a test's buffer. */
export type TextStream = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

export type Style = Parameters<typeof styleText>[0];

/** Where a command says what it has to say: answers on stdout, everything else on stderr. */
export interface Output {
  /** A line on stdout. */
  line(text?: string): void;
  /** The one JSON document of a command under `--json`. */
  json(document: unknown): void;
  /** A line on stderr: hints, warnings, what could not be done. */
  note(text: string): void;
  /** Overwrites the last progress line on stderr; nothing where stderr is no terminal. `''` clears it. */
  progress(text: string): void;
  /** Colours text for stdout where that is a terminal and nobody asked for none (`NO_COLOR`, `--no-color`). */
  paint(style: Style, text: string): string;
}

export function createOutput(stdout: TextStream, stderr: TextStream, colour: () => boolean): Output {
  // Whoever reads us may have read enough (`| head`): that is no failure.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  let progressShown = false;
  const clearProgress = () => {
    if (progressShown) stderr.write('\r\u001b[2K');
    progressShown = false;
  };
  return {
    line: (text = '') => {
      clearProgress();
      stdout.write(`${text}\n`);
    },
    json: (document) => {
      clearProgress();
      stdout.write(`${JSON.stringify(document, null, stdout.isTTY ? 2 : 0)}\n`);
    },
    note: (text) => {
      clearProgress();
      stderr.write(`${text}\n`);
    },
    progress: (text) => {
      if (!stderr.isTTY) return;
      clearProgress();
      stderr.write(text);
      progressShown = text !== '';
    },
    paint: (style, text) => (colour() ? styleText(style, text, { stream: stdout }) : text),
  };
}
