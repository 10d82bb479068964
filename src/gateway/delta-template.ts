/**
 * Reads the event that most of a stream is made of, "and then came this piece of text", without parsing it.
 *
 * One such event differs from the next in its text only, and where providers add them in a number that counts up and
 * in padding. So an event that was parsed is learned as what stands around these places, and an event with the same
 * around them says the same, with a text of its own. Everything else is left to the parser: what is not the same, and
 * what has an escape in its text.
 *
 * It is sound since in JSON a quote inside of a text always has a backslash before it: `"content":"` is never part of
 * a text, and a text without backslash ends at the next quote. So a piece is what JSON would read.
 */
export class DeltaTemplate {
  readonly #textKeys: readonly string[];
  /** What stands before the first hole, between holes and after the last: one more than there are holes. */
  #between: string[] = [];
  #holes: Hole[] = [];
  #misses = 0;

  /** `textKeys`: the names under which a piece of text may stand. */
  constructor(textKeys: readonly string[]) {
    this.#textKeys = textKeys;
  }

  /** The piece of text of an event that is like the learned one, `undefined` for any other. */
  match(data: string): string | undefined {
    const between = this.#between;
    const holes = this.#holes;
    if (holes.length === 0 || !standsAt(data, 0, between[0]!)) return undefined;
    let at = between[0]!.length;
    let text: string | undefined;
    for (let i = 0; i < holes.length; i++) {
      const hole = holes[i]!;
      const end = hole === 'number' ? endOfDigits(data, at) : endOfText(data, at);
      const next = between[i + 1]!;
      if (end === -1 || !standsAt(data, end, next)) return undefined;
      if (hole === 'text') text = data.slice(at, end);
      at = end + next.length;
    }
    if (at !== data.length) return undefined;
    this.#misses = 0;
    return text;
  }

  /**
   * Learns an event that was parsed and that brought `piece` and nothing else that is new. Gives `false` where it
   * cannot be learned: what was learned before stays.
   */
  learn(data: string, piece: string): boolean {
    if (this.#misses > MISSES_MAX) return false;
    this.#misses++;
    const text = this.#textKeys.map((key) => find(data, key, 'text')).find((place) => place !== undefined);
    if (!text || data.slice(text.start, text.end) !== piece) return false;
    const places = [text];
    for (const [key, hole] of VARYING) {
      const place = find(data, key, hole);
      if (place) places.push(place);
    }
    places.sort((a, b) => a.start - b.start);
    this.#holes = places.map(({ hole }) => hole);
    this.#between = [0, ...places.map(({ end }) => end)].map((from, i) =>
      copyOf(data.slice(from, places[i]?.start)),
    );
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
function find(data: string, key: string, hole: Hole): Place | undefined {
  const name = `"${key}":`;
  const at = data.indexOf(name);
  if (at === -1 || data.indexOf(name, at + 1) !== -1) return undefined;
  let start = at + name.length;
  if (data[start] === ' ') start++;
  if (hole !== 'number' && data[start++] !== '"') return undefined;
  const end = hole === 'number' ? endOfDigits(data, start) : endOfText(data, start);
  return end === -1 ? undefined : { hole, start, end };
}

/** Compared this way round since `startsWith` takes four times as long. */
const standsAt = (data: string, at: number, what: string) => data.slice(at, at + what.length) === what;

/** A string of its own: a slice would hold on to the whole chunk it is from, and is slower to compare. */
const copyOf = (text: string) => Buffer.from(text).toString();

/** The quote that ends a text, -1 where it has an escape, or what JSON allows only as one. */
function endOfText(data: string, from: number): number {
  for (let at = from; at < data.length; at++) {
    const code = data.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH || code < SPACE) return -1;
  }
  return -1;
}

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Where the number ends that begins at `from`, -1 where JSON would read none. */
function endOfDigits(data: string, from: number): number {
  let end = from;
  while (isDigit(data.charCodeAt(end))) end++;
  return end === from || (end > from + 1 && data[from] === '0') ? -1 : end;
}

const isDigit = (code: number) => code >= 0x30 && code <= 0x39;
