/**
 * Reads the event that most of a stream is made of, "and then came this piece of text", without decoding or parsing it.
 *
 * One such event differs from the next in its text only, and where providers add them in a number that counts up and
 * in padding. So an event that was parsed is learned as the bytes around these places, and an event with the same bytes
 * around them says the same, with a text of its own. Everything else is left to the parser: what is not the same, and
 * what has an escape in its text.
 *
 * It is sound since in JSON a quote inside of a text always has a backslash before it: `"content":"` is never part of
 * a text, and a text without backslash ends at the next quote. So a piece is what JSON would read.
 */
export class DeltaTemplate {
  readonly #textKeys: readonly string[];
  /** What stands before the first hole, between holes and after the last, in one, and where each of these parts ends. */
  #around: Buffer = Buffer.alloc(0);
  #ends: number[] = [];
  #holes: Hole[] = [];
  #misses = 0;
  /** Where the text stands of the event that matched last. */
  textFrom = 0;
  textEnd = 0;

  /** `textKeys`: the names under which a piece of text may stand. */
  constructor(textKeys: readonly string[]) {
    this.#textKeys = textKeys;
  }

  /** Where the event ends that begins at `from` and is like the learned one; -1 for any other. */
  match(bytes: Buffer, from: number): number {
    const around = this.#around;
    const ends = this.#ends;
    const holes = this.#holes;
    if (holes.length === 0 || !standsAt(bytes, from, around, 0, ends[0]!)) return -1;
    let at = from + ends[0]!;
    for (let i = 0; i < holes.length; i++) {
      const hole = holes[i]!;
      const end = hole === 'number' ? endOfDigits(bytes, at) : endOfText(bytes, at);
      const partFrom = ends[i]!;
      const partEnd = ends[i + 1]!;
      if (end === -1 || !standsAt(bytes, end, around, partFrom, partEnd)) return -1;
      if (hole === 'text') {
        this.textFrom = at;
        this.textEnd = end;
      }
      at = end + partEnd - partFrom;
    }
    this.#misses = 0;
    return at;
  }

  /**
   * Learns an event, from its first byte to its last, that was parsed and that brought `piece` and nothing else that is
   * new. Gives `false` where it cannot be learned: what was learned before stays.
   */
  learn(event: Buffer, piece: string): boolean {
    if (this.#misses > MISSES_MAX) return false;
    this.#misses++;
    const text = this.#textKeys.map((key) => find(event, key, 'text')).find((place) => place !== undefined);
    if (!text || event.toString('utf8', text.start, text.end) !== piece) return false;
    const places = [text];
    for (const [key, hole] of VARYING) {
      const place = find(event, key, hole);
      if (place) places.push(place);
    }
    places.sort((a, b) => a.start - b.start);
    this.#holes = places.map(({ hole }) => hole);
    const parts = [0, ...places.map(({ end }) => end)].map((from, i) =>
      event.subarray(from, places[i]?.start),
    );
    this.#around = Buffer.concat(parts);
    let end = 0;
    this.#ends = parts.map(({ length }) => (end += length));
    return true;
  }
}

type Hole = 'text' | 'padding' | 'number';

interface Place {
  hole: Hole;
  start: number;
  end: number;
}

/** What else differs between events that say the same, in any API. */
const VARYING = [
  ['obfuscation', 'padding'],
  ['sequence_number', 'number'],
] as const;

/** Events learned in a row without one that was like them; a stream with more is not worth learning. */
const MISSES_MAX = 32;

/** The one place of a value, `undefined` where there is none or it is not the only one. */
function find(bytes: Buffer, key: string, hole: Hole): Place | undefined {
  const name = `"${key}":`;
  const at = bytes.indexOf(name);
  if (at === -1 || bytes.indexOf(name, at + 1) !== -1) return undefined;
  let start = at + name.length;
  if (bytes[start] === SPACE) start++;
  if (hole !== 'number' && bytes[start++] !== QUOTE) return undefined;
  const end = hole === 'number' ? endOfDigits(bytes, start) : endOfText(bytes, start);
  return end === -1 ? undefined : { hole, start, end };
}

/** Whether a part of `what` does. Byte by byte: they are few, and a call out of JavaScript costs as much as all of them. */
function standsAt(bytes: Buffer, at: number, what: Buffer, from: number, to: number): boolean {
  if (at + to - from > bytes.length) return false;
  for (let i = from, j = at; i < to; i++, j++) if (bytes[j] !== what[i]) return false;
  return true;
}

/** The quote that ends a text, -1 where it has an escape, or what JSON allows only as one. */
function endOfText(bytes: Buffer, from: number): number {
  const { length } = bytes;
  for (let at = from; at < length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH || byte < SPACE) return -1;
  }
  return -1;
}

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;

/** Where the number ends that begins at `from`, -1 where JSON would read none. */
function endOfDigits(bytes: Buffer, from: number): number {
  let end = from;
  while (isDigit(bytes[end])) end++;
  return end === from || (end > from + 1 && bytes[from] === ZERO) ? -1 : end;
}

const isDigit = (byte: number | undefined) => byte !== undefined && byte >= ZERO && byte <= ZERO + 9;
