import type { Message, ModelCall } from '../../recording.ts';
import type { FreshCall } from '../ports.ts';

/** What an API makes of a call and of an answer: the only things in which the three differ. */
export interface Wire {
  /** Below the provider's base. */
  path: string;
  /** The body that asks for an answer in one piece. */
  request(call: FreshCall): object;
  /** The answer as one document. */
  document(answer: WireAnswer): object;
  /** The answer as a stream of events. */
  frames(answer: WireAnswer): Frame[];
}

export type Api = NonNullable<ModelCall['api']>;

/** An answer as it goes out. */
export interface WireAnswer {
  /** 24 hexadecimal digits. */
  id: string;
  /** Seconds since the epoch. */
  createdS: number;
  model: string;
  output: readonly Message[];
  finishReasons: readonly string[];
  inputTokens: number | null;
  outputTokens: number | null;
  /** Tools that take free text in place of JSON. */
  customTools: ReadonlySet<string>;
  /** The characters of each piece in which its text came; `undefined` where nobody knows. */
  pieces: readonly number[] | undefined;
  /** Whether the caller asked for usage in its stream (OpenAI's chat). */
  streamUsage: boolean;
}

/** One server-sent event; `chars` are those of the answer's text that it brings. */
export interface Frame {
  text: string;
  chars: number;
}

export const dataFrame = (data: object, chars = 0): Frame => ({
  text: `data: ${JSON.stringify(data)}\n\n`,
  chars,
});

export const namedFrame = (type: string, data: object, chars = 0): Frame => ({
  text: `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`,
  chars,
});

export const asText = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Cuts texts as they came. Without knowledge of that, at every third word. */
export function cutter(pieces: readonly number[] | undefined): (text: string) => string[] {
  const rest = [...(pieces ?? [])];
  return (text) => {
    if (!pieces) return text.match(/(?:\s*\S+){1,3}\s*|\s+/g) ?? [];
    const cut: string[] = [];
    let at = 0;
    while (at < text.length) {
      const chars = rest.shift() ?? text.length - at;
      if (chars > 0) cut.push(text.slice(at, at + chars));
      at += chars;
      // A piece may end one text and begin the next.
      if (at > text.length) rest.unshift(at - text.length);
    }
    return cut;
  };
}

/** Names of the tools in a list of definitions that take free text. */
export function customToolsOf(definitions: string | null): ReadonlySet<string> {
  const names = new Set<string>();
  for (const tool of parseList(definitions)) {
    if (tool['type'] !== 'custom') continue;
    names.add(asText(tool['name']) || asText((tool['custom'] as { name?: unknown } | undefined)?.name));
  }
  return names;
}

/** A list of objects in JSON; what is something else gives none. */
export function parseList(text: string | null): Record<string, unknown>[] {
  try {
    const list = JSON.parse(text ?? '[]') as unknown;
    return Array.isArray(list) ? list.filter((item) => typeof item === 'object' && item !== null) : [];
  } catch {
    return [];
  }
}

/** An argument text as the object that it is; `{}` where it is none. */
export function parseArguments(value: unknown): unknown {
  if (typeof value !== 'string') return value ?? {};
  try {
    return JSON.parse(value === '' ? '{}' : value);
  } catch {
    return {};
  }
}
