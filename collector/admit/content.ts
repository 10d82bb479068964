import { contentHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import type { Message } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes } from '../../src/span/span.ts';
import { splitJsonArray } from './json-array.ts';

/** How many messages the lists of a request may still be taken apart into. */
export interface ListRoom {
  messages: number;
}

/** What is kept of prompts and answers: nothing, hashes, or all. */
export type Capture = 'off' | 'hashed' | 'full';

/**
 * Takes the content out of a span's attributes and leaves its hashes: a text has one, a list of messages one a
 * message. Under `full` the content itself is added to `messages`. Lists are taken apart while `room` lasts.
 */
export function moveContent(
  attributes: Attributes,
  capture: Capture,
  messages: Message[],
  room: ListRoom,
): void {
  for (const [from, to, role] of TEXTS) {
    const text = take(attributes, from);
    if (text === undefined || capture === 'off') continue;
    attributes[to] = keep({ role, content: text });
  }
  for (const [from, to] of LISTS) {
    const list = take(attributes, from);
    if (list === undefined || capture === 'off') continue;
    const hashes = messagesOf(list, room).map(keep);
    attributes[to] = JSON.stringify(hashes);
  }

  function keep({ role, content }: Omit<Message, 'hash'>): string {
    const hash = contentHash(content);
    if (capture === 'full') messages.push({ hash, role, content });
    return hash;
  }
}

const TEXTS = [
  [A.inputText, A.inputTextHash, 'user'],
  [A.outputText, A.outputTextHash, 'assistant'],
] as const;

const LISTS = [
  [A.inputMessages, A.inputMessageHashes],
  [A.outputMessages, A.outputMessageHashes],
] as const;

/** The attributes that `moveContent` takes out. */
export const CONTENT_NAMES: readonly string[] = [...TEXTS, ...LISTS].map(([from]) => from);

function take(attributes: Attributes, name: string): string | undefined {
  const value = attributes[name];
  if (value !== undefined) delete attributes[name];
  return value;
}

/** The elements of a JSON array of messages, each as it was sent; what is no such array, or too large, is one message. */
function messagesOf(list: string, room: ListRoom): Omit<Message, 'hash'>[] {
  const elements =
    list.length <= LIMITS.attributeValueBytesMax ? splitJsonArray(list, room.messages) : undefined;
  if (!elements) return [{ role: '', content: list }];
  room.messages -= elements.length;
  return elements.map(({ text, value }) => ({ role: roleOf(value), content: text }));
}

const ROLE_LENGTH_MAX = 64;

function roleOf(message: unknown): string {
  if (typeof message !== 'object' || message === null) return '';
  const { role } = message as { role?: unknown };
  return typeof role === 'string' && role.length <= ROLE_LENGTH_MAX ? role : '';
}
