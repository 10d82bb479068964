/**
 * The `model` of a JSON request, replaced in the bytes as they came: nothing else changes, not a space, not the way
 * a number is written.
 *
 * - The body is an object that `JSON.parse` takes; what it does not take is left alone by whoever asks.
 * - A name may come twice. Parsers differ in which one they believe, so every top-level `model` is replaced.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;

interface Span {
  /** Of the opening quote. */
  start: number;
  /** After the closing quote. */
  end: number;
}

/** Where the top-level `model` strings stand, in order; none for what is no JSON object. */
export function findModels(body: Buffer): Span[] {
  const found: Span[] = [];
  let depth = 0;
  /** At the top level: whether the next string is a name, and whether the last one was `model`. */
  let nameIsNext = false;
  let isModel = false;
  for (let at = 0; at < body.length; at++) {
    switch (body[at]) {
      case QUOTE: {
        const end = stringEnd(body, at);
        if (end === -1) return [];
        if (depth === 1) {
          if (nameIsNext) isModel = isModelName(body, at, end);
          else if (isModel) found.push({ start: at, end });
        }
        at = end - 1;
        break;
      }
      case OPEN_BRACE:
      case OPEN_BRACKET:
        // A list at the top has no names in it.
        if (depth === 0 && body[at] === OPEN_BRACKET) return [];
        depth++;
        nameIsNext = depth === 1;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth--;
        break;
      case COLON:
        if (depth === 1) nameIsNext = false;
        break;
      case COMMA:
        if (depth === 1) {
          nameIsNext = true;
          isModel = false;
        }
        break;
    }
  }
  return depth === 0 ? found : [];
}

/** `body` with `model` as its model; `body` itself where it names none. */
export function replaceModel(body: Buffer, model: string): Buffer {
  const spans = findModels(body);
  if (spans.length === 0) return body;
  const written = Buffer.from(JSON.stringify(model));
  const pieces: Buffer[] = [];
  let from = 0;
  for (const { start, end } of spans) {
    pieces.push(body.subarray(from, start), written);
    from = end;
  }
  pieces.push(body.subarray(from));
  return Buffer.concat(pieces);
}

/** After the closing quote of the string that opens at `start`; -1 where it never closes. */
function stringEnd(body: Buffer, start: number): number {
  let at = start + 1;
  for (;;) {
    const quote = body.indexOf(QUOTE, at);
    if (quote === -1) return -1;
    let backslashes = 0;
    while (body[quote - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

/** Whether the string between two quotes reads `model`, with or without escapes. */
function isModelName(body: Buffer, start: number, end: number): boolean {
  // Every letter may be written as \uXXXX, and none longer.
  if (end - start > '"model"'.length + 5 * '\\uXXX'.length) return false;
  const text = body.toString('latin1', start, end);
  if (!text.includes('\\')) return text === '"model"';
  try {
    return JSON.parse(text) === 'model';
  } catch {
    return false;
  }
}
