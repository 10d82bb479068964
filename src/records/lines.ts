import { createReadStream } from 'node:fs';
import { LoopscopeError } from '../errors.ts';

const NEWLINE = 0x0a;

/** A line without its end; `undefined` bytes where it was longer than it may be. */
export interface Line {
  line: number;
  bytes: Buffer | undefined;
}

/**
 * The lines of a file, numbered from 1, holding at most one of them. Throws `not_found` when there is no such file,
 * `bad_input` when it cannot be read.
 */
export async function* readLines(path: string, bytesMax: number): AsyncGenerator<Line> {
  let line = 1;
  let parts: Buffer[] = [];
  let length = 0;
  const end = (last: Buffer): Line => {
    const tooLong = length + last.length > bytesMax;
    const bytes = tooLong ? undefined : Buffer.concat([...parts, last]);
    parts = [];
    length = 0;
    return { line: line++, bytes };
  };
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
        yield end(chunk.subarray(start, at));
        start = at + 1;
      }
      const rest = chunk.subarray(start);
      length += rest.length;
      if (length > bytesMax) parts = [];
      else if (rest.length > 0) parts.push(rest);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new LoopscopeError(
      code === 'ENOENT' ? 'not_found' : 'bad_input',
      `${path}: cannot be read: ${message}`,
    );
  }
  if (length > 0) yield end(Buffer.alloc(0));
}
