import { align } from './align.ts';
import type { Piece } from './difference.ts';
import type { Volatility } from './volatile.ts';

/**
 * Two texts word by word. The pieces joined are the texts again, to the last character, whatever is given.
 *
 * Large texts are held against each other line by line first, and only the lines that differ word by word. A stretch of
 * more than WORDS_MAX characters without a line in common is told as replaced.
 */
const LINES_FROM = 20_000;
const WORDS_MAX = 60_000;

/** A word or another character with a blank that comes after it, or more blanks. */
const WORD = /(?:[\p{L}\p{N}_]+|\S) ?|\s+/gu;
const LINE = /[^\n]*\n|[^\n]+/g;

export function diffText(a: string, b: string, volatility: Volatility): Piece[] {
  if (a === b) return a === '' ? [] : [['=', a]];
  const pieces = new Pieces();
  if (a.length <= LINES_FROM && b.length <= LINES_FROM) byWord(a, b, volatility, pieces);
  else
    hunks(a.match(LINE) ?? [], b.match(LINE) ?? [], (line) => line, {
      same: (line) => pieces.same(line),
      other: (gone, come) => byWord(gone.join(''), come.join(''), volatility, pieces),
    });
  return pieces.all();
}

/** Whether the texts differ in nothing that counts. */
export const isOnlyVolatile = (pieces: readonly Piece[]): boolean =>
  pieces.every(([op]) => op === '=' || op === '~');

function byWord(a: string, b: string, volatility: Volatility, pieces: Pieces): void {
  if (a.length > WORDS_MAX || b.length > WORDS_MAX) {
    replaced(a, b, pieces);
    return;
  }
  hunks(wordsOf(a, volatility), wordsOf(b, volatility), ({ key }) => key, {
    same: (x, y) => {
      if (x.text === y.text) pieces.same(x.text);
      else if (x.rule === '') {
        // A blank after the word that only one of them has.
        pieces.same(x.key);
        pieces.other(x.text.slice(x.key.length), y.text.slice(y.key.length));
      } else if (volatility.isVolatile(x.text, y.text, x.rule)) pieces.volatile(x.text, y.text);
      else pieces.other(x.text, y.text);
    },
    other: (gone, come) => pieces.other(joined(gone), joined(come)),
  });
}

interface Word {
  text: string;
  /** What it is aligned by: blanks do not matter, and volatile values of one rule are as good as the same. */
  key: string;
  /** Which rule for volatile values it matches; `''` for none. */
  rule: string;
}

const keyOf = (word: string): string =>
  word.length > 1 && word.endsWith(' ') ? word.trimEnd() || word : word;

const joined = (words: readonly Word[]): string => words.map(({ text }) => text).join('');

function wordsOf(text: string, volatility: Volatility): Word[] {
  const words: Word[] = [];
  const plain = (part: string) => {
    for (const word of part.match(WORD) ?? []) words.push({ text: word, key: keyOf(word), rule: '' });
  };
  let end = 0;
  for (const { at, value, rule } of volatility.find(text)) {
    plain(text.slice(end, at));
    words.push({ text: value, key: `\u0000${rule}`, rule });
    end = at + value.length;
  }
  plain(text.slice(end));
  return words;
}

/** What both begin and end with stays; all between is replaced. */
function replaced(a: string, b: string, pieces: Pieces): void {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  pieces.same(a.slice(0, start));
  pieces.other(a.slice(start, a.length - end), b.slice(start, b.length - end));
  pieces.same(a.slice(a.length - end));
}

/** Walks over what is aligned and what lies between. */
export function hunks<T>(
  a: readonly T[],
  b: readonly T[],
  key: (item: T) => string,
  found: { same(a: T, b: T): void; other(gone: T[], come: T[]): void },
): void {
  const numbers = new Map<string, number>();
  const numbered = (items: readonly T[]) =>
    Int32Array.from(items, (item) => {
      const name = key(item);
      const known = numbers.get(name);
      if (known !== undefined) return known;
      numbers.set(name, numbers.size);
      return numbers.size - 1;
    });
  let i = 0;
  let j = 0;
  const upTo = (aTo: number, bTo: number) => {
    if (i < aTo || j < bTo) found.other(a.slice(i, aTo), b.slice(j, bTo));
  };
  for (const [x, y] of align(numbered(a), numbered(b))) {
    upTo(x, y);
    found.same(a[x]!, b[y]!);
    i = x + 1;
    j = y + 1;
  }
  upTo(a.length, b.length);
}

/** Collects pieces so that no two of a kind stand side by side, and blanks alone do not tear a change apart. */
class Pieces {
  #all: Piece[] = [];
  #gone = '';
  #come = '';
  /** Blanks that both have after a change, until it is known whether the change goes on. */
  #blanks = '';

  same(text: string): void {
    if (text === '') return;
    if (this.#isOpen() && this.#blanks === '' && text.trim() === '' && !text.includes('\n')) {
      this.#blanks = text;
      return;
    }
    this.#close();
    this.#addSame(text);
  }

  other(gone: string, come: string): void {
    if (this.#blanks !== '') {
      this.#gone += this.#blanks;
      this.#come += this.#blanks;
      this.#blanks = '';
    }
    this.#gone += gone;
    this.#come += come;
  }

  volatile(a: string, b: string): void {
    this.#close();
    this.#all.push(['~', a, b]);
  }

  all(): Piece[] {
    this.#close();
    return this.#all;
  }

  #isOpen(): boolean {
    return this.#gone !== '' || this.#come !== '';
  }

  #close(): void {
    // A blank that both end with is no part of the change.
    if (this.#blanks === '' && this.#gone.endsWith(' ') && this.#come.endsWith(' ')) {
      this.#gone = this.#gone.slice(0, -1);
      this.#come = this.#come.slice(0, -1);
      this.#blanks = ' ';
    }
    if (this.#gone !== '') this.#all.push(['-', this.#gone]);
    if (this.#come !== '') this.#all.push(['+', this.#come]);
    this.#gone = '';
    this.#come = '';
    if (this.#blanks !== '') this.#addSame(this.#blanks);
    this.#blanks = '';
  }

  #addSame(text: string): void {
    const last = this.#all.at(-1);
    if (last?.[0] === '=') last[1] += text;
    else this.#all.push(['=', text]);
  }
}
