import { contentHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import type { Message } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes, SpanEvent } from '../../src/span/span.ts';
import {
  byRank,
  type Content,
  contentOf,
  DETAILS_EVENT,
  eventRole,
  isEventFact,
  REDACTED,
} from './content-names.ts';
import { type JsonElement, parseJson, splitJsonArray } from './json-array.ts';
import { splitJsonDocument } from './json-document.ts';
import { NumberedMessages } from './numbered.ts';

/** What is kept of prompts and answers: nothing, hashes, or all. */
export type Capture = 'off' | 'hashed' | 'full';

/** A message by itself. */
type Piece = Pick<Message, 'role' | 'content'>;

/**
 * Takes the content out of the spans or log records of one request and leaves its hashes. Under `full` the content goes
 * to `messages`, each message by itself, so that a history that grows from call to call is stored once.
 */
export class ContentMover {
  readonly messages: Message[] = [];
  /** The trace of the span or log record whose content is taken out next. */
  traceId = '';
  /** How many messages the request may still be taken apart into. */
  private room: number = LIMITS.messagesPerRequestMax;

  /** `isGenAi`: names that others use as well count too. `more` are names that mean content here. */
  fromAttributes(
    attributes: Attributes,
    capture: Capture,
    isGenAi: boolean,
    more?: ReadonlyMap<string, Content>,
    role = '',
  ): void {
    const found = takeOut(attributes, (name) => contentOf(name, isGenAi) ?? more?.get(name));
    if (capture === 'off') return;
    const rest: Attributes = {};
    for (const { content, value } of found) {
      const to = content.to !== undefined && !(content.to in attributes) ? content.to : undefined;
      // With no room left all the others are one message: a name costs its sender less than a message us.
      if (this.room <= 0 && to === undefined && typeof value === 'string') rest[content.from] = value;
      else if (content.form === 'text' && to !== undefined)
        attributes[to] = this.keep([{ role: content.role, content: value as string }], capture)[0]!;
      else
        attributes[to ?? contentHashes(content.from)] = JSON.stringify(
          this.keep(this.piecesOf(value, content, content.role || role), capture),
        );
    }
    if (Object.keys(rest).length > 0)
      attributes[contentHashes('rest')] = JSON.stringify(
        this.keep([{ role: '', content: JSON.stringify(rest) }], capture),
      );
  }

  /** The same of an event; one that is a message goes as a whole, but for what says something about it. */
  fromEvent(
    { name, attributes }: Pick<SpanEvent, 'name' | 'attributes'>,
    capture: Capture,
    isGenAi: boolean,
  ): void {
    const role = eventRole(name, isGenAi);
    this.fromAttributes(
      attributes,
      capture,
      isGenAi || role !== undefined || name === DETAILS_EVENT,
      undefined,
      role,
    );
    if (role === undefined) return;
    const fields: [string, string][] = [];
    for (const key in attributes) {
      if (isEventFact(key)) continue;
      fields.push([key, attributes[key]!]);
      delete attributes[key];
    }
    if (fields.length === 0 || capture === 'off') return;
    const content = fields.length === 1 ? fields[0]![1] : JSON.stringify(Object.fromEntries(fields));
    const spoken = fields.find(([key]) => key === 'role')?.[1];
    attributes[contentHashes(name)] = JSON.stringify(
      this.keep([{ role: shortRole(spoken) || role, content }], capture),
    );
  }

  /** A text that is content by where it was; gives its hash. */
  fromText(content: string, role: string, capture: Capture): string {
    return this.keep([{ role, content }], capture)[0]!;
  }

  /** The hashes of what a JSON text says. */
  fromJson(content: string, capture: Capture): string {
    return JSON.stringify(this.keep(this.piecesOfJson(content, '', false), capture));
  }

  private keep(pieces: readonly Piece[], capture: Capture): string[] {
    this.room -= pieces.length;
    return pieces.map(({ role, content }) => {
      const hash = contentHash(content);
      if (capture === 'full') this.messages.push({ hash, role, content, traceId: this.traceId });
      return hash;
    });
  }

  private piecesOf(value: string | NumberedMessages, { form, to }: Content, role: string): Piece[] {
    if (typeof value !== 'string')
      return value.messages(this.room).map((m) => ({ role: shortRole(m.role) || role, content: m.content }));
    return form === 'text' ? [{ role, content: value }] : this.piecesOfJson(value, role, to !== undefined);
  }

  /** The parts of a JSON text, each as it was sent; what is not JSON, or too large, is one. */
  private piecesOfJson(json: string, role: string, isMessages: boolean): Piece[] {
    const whole: Piece = { role, content: json };
    if (json.length > LIMITS.attributeValueBytesMax) return [whole];
    const piece = ({ text, value }: JsonElement): Piece => ({ role: roleOf(value) || role, content: text });
    const said = parseJson(json);
    if (typeof said !== 'object' || said === null) return [whole];
    const isList =
      Array.isArray(said) && said.every((value) => (isMessages ? !Array.isArray(value) : isMessage(value)));
    if (isList) return said.length <= this.room ? splitJsonArray(json, said).map(piece) : [whole];
    const document = splitJsonDocument(json, this.room - 1);
    if (document) return [{ role: '', content: document.frame }, ...document.elements.map(piece)];
    return [whole];
  }
}

/** A list of numbers or of names is better left whole; a tool's definition may be JSON in a text. */
const isMessage = (value: unknown): boolean =>
  typeof value === 'string'
    ? value.length >= 64
    : typeof value === 'object' && value !== null && !Array.isArray(value);

/** Where the hashes of what stood under a name go, if we have no name of our own for it. */
export const contentHashes = (name: string): string => `${A.contentHashes}.${name}`;

interface Found {
  content: Content;
  value: string | NumberedMessages;
}

/** Removes what is content, in one pass: a span may have a thousand attributes. */
function takeOut(attributes: Attributes, contentOf: (name: string) => Content | undefined): Found[] {
  const found: Found[] = [];
  const numbered = new Map<Content, NumberedMessages>();
  for (const name in attributes) {
    const content = contentOf(name);
    if (content === undefined) continue;
    const value = attributes[name]!;
    if (REDACTED.has(value)) continue;
    delete attributes[name];
    if (content.form !== 'numbered') {
      found.push({ content, value });
      continue;
    }
    let messages = numbered.get(content);
    if (!messages) {
      messages = new NumberedMessages();
      numbered.set(content, messages);
      found.push({ content, value: messages });
    }
    messages.add(name.slice(content.from.length), value);
  }
  return found.sort((a, b) => byRank(a.content, b.content));
}

function roleOf(message: unknown): string {
  if (typeof message !== 'object' || message === null) return '';
  const { role } = message as { role?: unknown };
  return typeof role === 'string' ? shortRole(role) : '';
}

const ROLE_LENGTH_MAX = 64;
const shortRole = (role: string | undefined): string =>
  role !== undefined && role.length <= ROLE_LENGTH_MAX ? role : '';
