import { RULES, type Rule } from '../play/normalise.ts';

/**
 * Values that are others in every run and mean nothing: ids that were made up, and the time of day. A difference of two
 * such values is told apart from one that counts.
 *
 * That a value looks like an id or a time is not enough: the number of an order or the time of a flight is what a loop may
 * have got wrong. Two ids are volatile where they were drawn anew, which ids that differ in a few characters were not,
 * and where the one in a stands against the other in b wherever one of them is. Two times are volatile where each lies
 * around its own run. What matches a rule that somebody added is volatile as such.
 */
export interface Volatility {
  /** Where values that a rule matches stand in a text, from left to right. */
  find(text: string): Found[];
  /** The text with a mark for each such value: what differs in nothing else becomes the same. */
  loosened(text: string): string;
  /** Whether two different values of one rule differ only because they are of two runs. */
  isVolatile(a: string, b: string, rule: string): boolean;
}

export interface Found {
  at: number;
  value: string;
  rule: string;
}

/** When a run was. */
export interface Period {
  startedAt: number;
  durationMs: number;
}

/** Names of the rules for times; their other rules are for ids. */
const TIMES = new Set(['time', 'epoch ms']);
/** A value around a run is at most so far from it: clocks differ. */
const AROUND_MS = 24 * 3600 * 1000;
/** What share of the places of two ids may be equal: of hexadecimal digits drawn at random, a sixteenth is. */
const EQUAL_PLACES_MAX = 0.5;
const VALUE_LENGTH_MIN = 12;
const MARK = '\u0000';

/** `more` rules come before the built-in ones. What it is told of ids it remembers: one is made for one comparison. */
export function createVolatility(a: Period, b: Period, more: readonly Rule[] = []): Volatility {
  const rules = [...more, ...RULES];
  const added = new Set(more.map(({ name }) => name));
  const inB = new Map<string, string>();
  const inA = new Map<string, string>();
  const areRenamed = (x: string, y: string) => {
    if (!inB.has(x) && !inA.has(y)) {
      inB.set(x, y);
      inA.set(y, x);
    }
    return inB.get(x) === y && inA.get(y) === x;
  };
  // No built-in rule matches less, or anything without a digit.
  const cannotMatch = (text: string) =>
    more.length === 0 && (text.length < VALUE_LENGTH_MIN || !/\d/.test(text));
  return {
    find: (text) => {
      if (cannotMatch(text)) return [];
      const all = rules.flatMap(({ name, pattern }) =>
        Array.from(text.matchAll(pattern), (match) => ({ at: match.index, value: match[0], rule: name })),
      );
      let end = 0;
      return all
        .sort((x, y) => x.at - y.at || y.value.length - x.value.length)
        .filter(({ at, value }) => {
          if (at < end || value === '') return false;
          end = at + value.length;
          return true;
        });
    },
    loosened: (text) => {
      if (cannotMatch(text)) return text;
      return rules.reduce((rest, { pattern }) => rest.replace(pattern, MARK), text);
    },
    isVolatile: (x, y, rule) => {
      if (added.has(rule)) return true;
      if (TIMES.has(rule)) return isAround(x, a) && isAround(y, b);
      return wereDrawnAnew(x, y) && areRenamed(x, y);
    },
  };
}

function isAround(text: string, { startedAt, durationMs }: Period): boolean {
  const at = /^\d+$/.test(text) ? Number(text) : Date.parse(isoOf(text));
  return at >= startedAt - AROUND_MS && at <= startedAt + durationMs + AROUND_MS;
}

/** `2026-05-15 15:00:00,5` as a time that can be read; one without a zone is UTC. */
function isoOf(text: string): string {
  const plain = text.replace(' ', 'T').replace(',', '.');
  return /(?:Z|[+-]\d\d:?\d\d)$/.test(plain.slice(10)) ? plain : `${plain}Z`;
}

function wereDrawnAnew(x: string, y: string): boolean {
  if (x.length !== y.length) return false;
  const kind = /^[a-z]+[_-](?=[0-9A-Za-z]{12,}$)/.exec(x)?.[0] ?? '';
  if (!y.startsWith(kind)) return false;
  let places = 0;
  let equal = 0;
  for (let i = kind.length; i < x.length; i++) {
    if (x[i] === '-') continue;
    places++;
    if (x[i] === y[i]) equal++;
  }
  return equal <= places * EQUAL_PLACES_MAX;
}
