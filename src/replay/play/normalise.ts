import { LoopscopeError } from '../../errors.ts';
import { contentHash, normalizeText } from '../../records/normalize.ts';
import type { Message, Part } from '../recording.ts';
import { historyHasher } from './history-hash.ts';
import { resultText } from './message-parts.ts';
import type { FreshCall } from './ports.ts';
import { COMPARED } from './wire/parameters.ts';

/**
 * What is the same in two calls although it is written differently: times, ids, the order of keys, white space.
 *
 * - A volatile value is renamed by the order in which it first appears in its call, so that two ids stay two ids: what
 *   referred to the first still refers to the first.
 * - Ids of tool calls are volatile wherever they stand as ids, whatever they look like.
 * - Where the border between two messages of one role lies does not matter (APIs draw it differently), nor does reasoning,
 *   which some loops send back and others do not.
 */
export interface Rule {
  name: string;
  pattern: RegExp;
}

/** In this order; a value that one rule took is not looked at by the next. */
export const RULES: readonly Rule[] = [
  {
    name: 'time',
    pattern:
      /\b(?:19|20)\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?(?![\w:])/g,
  },
  { name: 'uuid', pattern: /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi },
  {
    name: 'call id',
    pattern: /\b(?:call|toolu|chatcmpl|msg|resp|fc|rs|req)[_-](?=[A-Za-z]*\d)[A-Za-z0-9]{12,64}\b/g,
  },
  { name: 'trace id', pattern: /\b[0-9a-f]{32}\b/g },
  { name: 'epoch ms', pattern: /\b1[5-9]\d{11}\b/g },
];

const RULES_MAX = 50;

/** Reads `NAME=REGEX`. Throws `usage`. */
export function readRule(text: string): Rule {
  const at = text.indexOf('=');
  const name = text.slice(0, at).trim();
  const source = text.slice(at + 1);
  const refused = (why: string) =>
    new LoopscopeError(
      'usage',
      `--rule: expected NAME=REGEX, such as ticket=TICKET-\\d+; got ${JSON.stringify(text)}${why}.`,
    );
  if (at < 1 || source === '') throw refused('');
  try {
    const pattern = new RegExp(source, 'g');
    if (pattern.test('')) throw new SyntaxError('it matches the empty text');
    return { name, pattern: new RegExp(source, 'g') };
  } catch (error) {
    throw refused(`: ${(error as Error).message}`);
  }
}

export interface Normaliser {
  readonly rules: readonly Rule[];
  /** A text with its volatile values renamed, and its white space evened out. */
  text(text: string): string;
  /** The same of a JSON value, or of a text that is JSON: keys in order. */
  value(value: unknown): string;
  /** Hash of what a call asks. */
  call(call: FreshCall): string;
  /** The parts of messages, each with who says it. */
  units(messages: readonly Message[]): readonly Unit[];
  unitsOf(message: Message): readonly Unit[];
}

/** A part of a message, in its normal form. */
export interface Unit {
  role: string;
  kind: string;
  /** With a mark where each volatile value stood. */
  template: string;
  hash: string;
  volatile: readonly string[];
}

/** Stands where a volatile value stood. No text holds it: it is taken out of what comes. JSON leaves it as it is. */
const MARK = '\ue000';

/** `more` rules come before the built-in ones. Without any it is one for all, which knows what it has seen. */
export function normaliser(more: readonly Rule[] = []): Normaliser {
  if (more.length > 0) return makeNormaliser(more);
  common ??= makeNormaliser([]);
  return common;
}

let common: Normaliser | undefined;

function makeNormaliser(more: readonly Rule[]): Normaliser {
  if (more.length > RULES_MAX) throw new LoopscopeError('usage', `--rule: at most ${RULES_MAX} rules.`);
  const rules = [...more, ...RULES];
  // A history is sent again with every call: the same message is looked at once.
  const known = new WeakMap<Message, readonly Unit[]>();
  const take = (text: string, volatile: string[]): string => {
    const found: { at: number; length: number }[] = [];
    let rest = text.includes(MARK) ? text.replaceAll(MARK, ' ') : text;
    // Whatever the built-in rules look for has a digit in it.
    for (const { pattern } of /\d/.test(text) ? rules : more)
      rest = rest.replace(pattern, (value, ...args) => {
        const at = args.findLast((arg) => typeof arg === 'number') as number;
        // As long as what it stands for, so that places stay places in the text.
        found.push({ at, length: value.length });
        return MARK.repeat(value.length);
      });
    if (found.length === 0) return normalizeText(rest);
    let template = '';
    let end = 0;
    for (const { at, length } of found.sort((a, b) => a.at - b.at || b.length - a.length)) {
      if (at < end) continue; // within what another rule took
      template += text.slice(end, at).replaceAll(MARK, ' ') + MARK;
      volatile.push(text.slice(at, at + length));
      end = at + length;
    }
    return normalizeText(template + text.slice(end).replaceAll(MARK, ' '));
  };
  const canonical = (value: unknown, volatile: string[], depth = 0): string => {
    if (typeof value === 'string') return JSON.stringify(take(value, volatile));
    if (typeof value === 'number') return take(String(value), volatile);
    if (typeof value !== 'object' || value === null || depth > DEPTH_MAX)
      return JSON.stringify(value) ?? 'null';
    if (Array.isArray(value)) return `[${value.map((v) => canonical(v, volatile, depth + 1)).join(',')}]`;
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonical(v, volatile, depth + 1)}`).join(',')}}`;
  };
  const jsonOr = (text: string, volatile: string[]): string => {
    const value = parseStructure(text);
    return value === undefined ? take(text, volatile) : canonical(value, volatile);
  };
  const unit = (role: string, part: Part): Unit | undefined => {
    const volatile: string[] = [];
    const template = templateOf(part, volatile);
    if (template === undefined) return undefined;
    const who = part.type === 'tool_call_response' ? 'tool' : role;
    return { role: who, kind: part.type, template, hash: contentHash(`${who}\n${template}`), volatile };
  };
  const templateOf = (part: Part, volatile: string[]): string | undefined => {
    const { type, content, id, response } = part;
    switch (type) {
      case 'reasoning':
        return undefined;
      case 'text':
        if (typeof content !== 'string') return canonical(part, volatile);
        return content === '' ? undefined : `text ${take(content, volatile)}`;
      case 'tool_call':
        volatile.push(String(id));
        return `tool_call ${String(part['name'])} ${argumentsOf(part['arguments'], volatile)}`;
      case 'tool_call_response':
        volatile.push(String(id));
        return `tool_call_response ${jsonOr(resultText(response), volatile)}`;
      default:
        return canonical(part, volatile);
    }
  };
  const argumentsOf = (value: unknown, volatile: string[]): string =>
    typeof value === 'string' ? jsonOr(value, volatile) : canonical(value, volatile);
  const unitsOf = (message: Message): readonly Unit[] => {
    let units = known.get(message);
    if (!units) {
      units = message.parts.flatMap((part) => unit(message.role, part) ?? []);
      known.set(message, units);
    }
    return units;
  };
  const units = (messages: readonly Message[]) => messages.flatMap(unitsOf);
  const historyHash = historyHasher(unitsOf);
  const named = (template: string, volatile: readonly string[]): string => {
    const names = new Map<string, number>();
    let at = 0;
    return template.replaceAll(MARK, () => `<${nameOf(names, volatile[at++]!)}>`);
  };
  const definitions = new Map<string, string>();
  const definitionsOf = (text: string | null): string => {
    if (text === null) return '';
    let hash = definitions.get(text);
    if (hash === undefined) {
      hash = contentHash(jsonOr(text, []));
      if (definitions.size < DEFINITIONS_MAX) definitions.set(text, hash);
    }
    return hash;
  };
  return {
    rules,
    units,
    unitsOf,
    text: (text) => {
      const volatile: string[] = [];
      return named(take(text, volatile), volatile);
    },
    value: (value) => {
      const volatile: string[] = [];
      return named(argumentsOf(value, volatile), volatile);
    },
    call: ({ model, parameters, toolDefinitions, input }) => {
      const compared = Object.entries(parameters).filter(([name]) => COMPARED.has(name));
      const head = [model, canonical(Object.fromEntries(compared), []), definitionsOf(toolDefinitions)];
      return contentHash([...head, historyHash(input)].join('\n'));
    },
  };
}

/** Objects in objects that are put in order; what lies deeper stays as it is. */
const DEPTH_MAX = 64;
/** Lists of tools whose normal form is remembered. */
const DEFINITIONS_MAX = 1_000;

const nameOf = (names: Map<string, number>, value: string): number => {
  const known = names.get(value) ?? names.size;
  names.set(value, known);
  return known;
};

/** The object or list that a text is; a lone number or word is text. */
function parseStructure(text: string): object | undefined {
  const first = text.trimStart()[0];
  if (first !== '{' && first !== '[') return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
}
