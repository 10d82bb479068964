import { COMMENT_LENGTH_MAX } from '../../evals/labels/label.ts';
import { printable } from './table.ts';

/** What a person answers when asked for a label, key by key. */
export type Answer =
  | { kind: 'score'; score: number }
  | { kind: 'skip' | 'undo' | 'comment' | 'quit' }
  /** A key that means nothing. */
  | { kind: 'unknown' };

export const KEYS_HELP = 'y pass · n fail · 0–9 tenths · s skip · u undo · c comment · q quit';

const INTERRUPT = '\u0003';
const END_OF_INPUT = '\u0004';
const ESCAPE = '\u001b';

/** The keys of a terminal in raw mode. The sequence that a key such as an arrow sends is one key. */
export async function* keysOf(input: AsyncIterable<string | Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  for await (const chunk of input) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences begin with the escape character
    yield* text.match(/\u001b\[[0-9;?]*[ -/]*[@-~]|\u001bO.|[\s\S]/gu) ?? [];
  }
}

/** What a key means; no key is the end of the input. */
export function answerOf(key: string | undefined): Answer {
  switch (key) {
    case undefined:
    case 'q':
    case INTERRUPT:
    case END_OF_INPUT:
      return { kind: 'quit' };
    case 'y':
      return { kind: 'score', score: 1 };
    case 'n':
      return { kind: 'score', score: 0 };
    case 's':
      return { kind: 'skip' };
    case 'u':
      return { kind: 'undo' };
    case 'c':
      return { kind: 'comment' };
  }
  return /^\d$/.test(key) ? { kind: 'score', score: Number(key) / 10 } : { kind: 'unknown' };
}

/** Reads a line up to Enter, telling after each key how it looks; `undefined` where it was given up. */
export async function readLine(
  keys: AsyncIterator<string, void>,
  onChange: (line: string) => void,
): Promise<string | undefined> {
  let line = '';
  onChange(line);
  for (;;) {
    const { value: key, done } = await keys.next();
    if (done || key === ESCAPE || key === INTERRUPT || key === END_OF_INPUT) return undefined;
    if (key === '\r' || key === '\n') return line;
    if (key === '\u007f' || key === '\b') line = [...line].slice(0, -1).join('');
    else if (printable(key) === key && line.length + key.length <= COMMENT_LENGTH_MAX) line += key;
    onChange(line);
  }
}
