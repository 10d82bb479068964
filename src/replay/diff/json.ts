import type { JsonChange } from './difference.ts';
import type { Volatility } from './volatile.ts';
import { diffText, hunks, isOnlyVolatile } from './words.ts';

/**
 * Two JSON documents by path. Objects are compared key by key, arrays item by item after they were aligned, texts word
 * by word. At most CHANGES_MAX changes are told, the others counted; what lies deeper than DEPTH_MAX is one value.
 */
const CHANGES_MAX = 200;
const DEPTH_MAX = 40;

export interface JsonDiff {
  entries: JsonChange[];
  /** Changes beyond those told. */
  more: number;
}

export function diffJson(a: unknown, b: unknown, volatility: Volatility): JsonDiff {
  const found: JsonDiff = { entries: [], more: 0 };
  const tell = (change: JsonChange) => {
    if (found.entries.length < CHANGES_MAX) found.entries.push(change);
    else found.more++;
  };
  compare(a, b, [], { tell, volatility });
  return found;
}

/**
 * Text as the JSON object or array that it is; `undefined` where it is none, or is nested so deep that it is better compared
 * as text, as is a number or a word that happens to be JSON.
 */
export function parseDocument(text: string): object | undefined {
  if (!/^\s*[[{]/.test(text) || isNestedTooDeep(text)) return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
}

const NESTING_MAX = 1_000;

/** Counts brackets; those in texts too, which makes no difference to documents that people write. */
function isNestedTooDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '[' || character === '{') depth++;
    else if (character === ']' || character === '}') depth--;
    if (depth > NESTING_MAX) return true;
  }
  return false;
}

/**
 * Whether two JSON texts differ only in the order of keys and in how characters are escaped; where `blanks` do not count,
 * in those too.
 */
export function isSameDocument(a: string, b: string, blanks: boolean): boolean {
  const x = parseDocument(a);
  const y = parseDocument(b);
  if (x === undefined || y === undefined || canonical(x) !== canonical(y)) return false;
  // Reading a document loses double keys and the last digits of long numbers: its words have them.
  return wordsOf(a, blanks) === wordsOf(b, blanks);
}

const JSON_WORD = /"(?:[^"\\]|\\.)*"|[[\]{},:]|\s+|[^\s"[\]{},:]+/gs;
const wordsOf = (text: string, blanks: boolean): string =>
  (text.match(JSON_WORD) ?? [])
    .filter((word) => blanks || word.trim() !== '')
    .map((word) => (word.startsWith('"') && word.includes('\\') ? JSON.stringify(JSON.parse(word)) : word))
    .sort()
    .join('');

/** One text for equal documents, keys in order. */
export function canonical(value: unknown, depth = 0): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (depth === DEPTH_MAX) return JSON.stringify(shortened(value));
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, depth + 1)).join()}]`;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  entries.sort(([x], [y]) => (x < y ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item, depth + 1)}`).join()}}`;
}

/** What lies too deep, as a text that is the same for the same value. */
function shortened(value: object): string {
  try {
    return JSON.stringify(value);
  } catch {
    return 'nested too deeply';
  }
}

type Path = readonly (string | number)[];
interface Told {
  tell(change: JsonChange): void;
  volatility: Volatility;
}

function compare(a: unknown, b: unknown, path: Path, told: Told): void {
  if (a === b) return;
  const deep = path.length < DEPTH_MAX;
  if (deep && Array.isArray(a) && Array.isArray(b)) compareArrays(a, b, path, told);
  else if (deep && isObject(a) && isObject(b)) compareObjects(a, b, path, told);
  else if (typeof a === 'string' && typeof b === 'string') {
    const pieces = diffText(a, b, told.volatility);
    told.tell({ path, op: 'changed', volatile: isOnlyVolatile(pieces), a, b, pieces });
  } else if (canonical(a) !== canonical(b)) {
    const areNumbers = typeof a === 'number' && typeof b === 'number';
    const volatile = areNumbers && isOnlyVolatile(diffText(String(a), String(b), told.volatility));
    told.tell({ path, op: 'changed', volatile, a, b });
  }
}

function compareObjects(a: object, b: object, path: Path, told: Told): void {
  const inA = new Map(Object.entries(a));
  const inB = new Map(Object.entries(b));
  for (const [key, value] of inA) {
    if (inB.has(key)) compare(value, inB.get(key), [...path, key], told);
    else told.tell({ path: [...path, key], op: 'removed', volatile: false, a: value });
  }
  for (const [key, value] of inB)
    if (!inA.has(key)) told.tell({ path: [...path, key], op: 'added', volatile: false, b: value });
}

/** Equal items are aligned; of those between, the first of each side are held against each other, then the next. */
function compareArrays(a: readonly unknown[], b: readonly unknown[], path: Path, told: Told): void {
  let i = 0;
  let j = 0;
  hunks(a, b, (item) => canonical(item, path.length + 1), {
    same: () => {
      i++;
      j++;
    },
    other: (gone, come) => {
      gone.forEach((item, n) => {
        if (n < come.length) compare(item, come[n], [...path, i + n], told);
        else told.tell({ path: [...path, i + n], op: 'removed', volatile: false, a: item });
      });
      come.slice(gone.length).forEach((item, n) => {
        told.tell({ path: [...path, j + gone.length + n], op: 'added', volatile: false, b: item });
      });
      i += gone.length;
      j += come.length;
    },
  });
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `$.passengers[0].name`, with names in quotes where they are not plain. */
export function pathText(path: Path): string {
  return path.reduce<string>(
    (text, step) =>
      typeof step === 'number'
        ? `${text}[${step}]`
        : /^[A-Za-z_$][\w$]*$/.test(step)
          ? `${text}.${step}`
          : `${text}[${JSON.stringify(step)}]`,
    '$',
  );
}
