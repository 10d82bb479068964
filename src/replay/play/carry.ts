import type { Message, Part } from '../recording.ts';

/**
 * What one agent says gets into what another is asked: a checker reads the maker's answer, a maker gets its sub-agent's. The
 * recorded conversation does not say by which code, but where a recorded answer stands word for word in a later text from
 * outside, the fresh answer takes its place.
 *
 * A short answer (`[No]`) only where it stands once, apart from other words.
 */
export interface Carry {
  /** A recorded answer and the fresh one. */
  add(recorded: string, fresh: string): void;
  text(text: string): string;
  messages(messages: readonly Message[]): Message[];
}

const LONG_CHARS_MIN = 12;
const CARRIED_MAX = 2_000;

export function carry(): Carry {
  const changed: { from: string; to: string }[] = [];
  const text = (given: string): string => {
    let now = given;
    for (const { from, to } of changed) {
      now = replaced(now, from, to);
      // As it stands in a text that is JSON.
      const quoted = inJson(from);
      if (quoted !== from) now = replaced(now, quoted, inJson(to));
    }
    return now;
  };
  return {
    add: (recorded, fresh) => {
      if (recorded === fresh || recorded.trim() === '' || changed.length >= CARRIED_MAX) return;
      changed.push({ from: recorded, to: fresh });
      // A longer one may hold a shorter one.
      changed.sort((a, b) => b.from.length - a.from.length);
    },
    text,
    messages: (messages) =>
      // The same object as long as nothing changes: what is known of a message stays known.
      changed.length === 0
        ? [...messages]
        : messages.map((message) => {
            const parts = message.parts.map((part) => carriedPart(part, text));
            return parts.some((part, i) => part !== message.parts[i]) ? { ...message, parts } : message;
          }),
  };
}

function carriedPart(part: Part, text: (given: string) => string): Part {
  const name = part.type === 'tool_call_response' ? 'response' : 'content';
  const before = part[name];
  if (typeof before !== 'string') return part;
  const now = text(before);
  return now === before ? part : { ...part, [name]: now };
}

const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);

function replaced(text: string, from: string, to: string): string {
  if (from.length >= LONG_CHARS_MIN) return text.replaceAll(from, () => to);
  const at = text.indexOf(from);
  if (at === -1 || text.indexOf(from, at + 1) !== -1) return text;
  const isWordAt = (place: number) => /[\p{L}\p{N}_]/u.test(text[place] ?? '');
  if (isWordAt(at - 1) || isWordAt(at + from.length)) return text;
  return text.slice(0, at) + to + text.slice(at + from.length);
}
