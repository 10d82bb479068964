import { inputHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes } from '../../src/span/span.ts';
import { cutText } from './cut.ts';

/**
 * Adds what the user said and what the model answered, in plain text, to a model call of someone else's
 * instrumentation, so that it meets its golden item and can be scored. The input is that of all messages of the user, as
 * the gateway has it; the answer is that of the last message.
 *
 * Several messages of the user get the hash they are found by and no text of their own: each is kept as the message it
 * is, and together they would be another text with every call of a conversation.
 */
export function addTexts(attributes: Attributes): void {
  const user = first(INPUTS, attributes, 'user');
  if (user.length > 0) {
    attributes[A.inputHash] ??= inputHash(user.join('\n'));
    if (user.length === 1 && !(A.inputTextHash in attributes))
      attributes[A.inputText] ??= cutText(user[0]!, LIMITS.attributeValueBytesMax);
  }
  const answer = first(OUTPUTS, attributes, 'assistant').join('\n');
  if (answer !== '' && !(A.outputTextHash in attributes))
    attributes[A.outputText] ??= cutText(answer, LIMITS.attributeValueBytesMax);
}

/** Takes the input's text from a span that brings one, where it joins several messages that the span brings as well. */
export function dropJoinedText(attributes: Attributes): void {
  if (A.inputText in attributes && textsOfJson(attributes[A.inputMessages], 'user').length > 1)
    delete attributes[A.inputText];
}

/** The texts of a role's messages, as one place has them; none where there is no such place. */
type Reader = (attributes: Attributes, role: 'user' | 'assistant') => string[];

const INPUTS: readonly Reader[] = [
  (a, role) => textsOfJson(a[A.inputMessages], role),
  (a, role) => ofNumbered(a, 'llm.input_messages.', 'message.', role),
  (a, role) => ofNumbered(a, 'gen_ai.prompt.', '', role),
  (a, role) => textsOfJson(a['ai.prompt.messages'], role),
  (a) => ofPlainValue(a, 'input'),
];

const OUTPUTS: readonly Reader[] = [
  (a, role) => textsOfJson(a[A.outputMessages], role).slice(-1),
  (a, role) => ofNumbered(a, 'llm.output_messages.', 'message.', role),
  (a, role) => ofNumbered(a, 'gen_ai.completion.', '', role),
  (a) => ofValue(a['ai.response.text']),
  (a) => ofValue(a['ai.response.object']),
  (a) => ofPlainValue(a, 'output'),
];

function first(readers: readonly Reader[], attributes: Attributes, role: 'user' | 'assistant'): string[] {
  for (const read of readers) {
    const texts = read(attributes, role);
    if (texts.length > 0) return texts;
  }
  return [];
}

const ofValue = (text: string | undefined): string[] => (text ? [text] : []);

/** Of a JSON list of messages, OpenTelemetry's (`parts`) or the AI SDK's (`content`). */
function textsOfJson(json: string | undefined, role: string): string[] {
  const messages = parse(json);
  if (!Array.isArray(messages)) return [];
  const texts: string[] = [];
  for (const message of messages) {
    if (typeof message !== 'object' || message === null || message.role !== role) continue;
    const text = textOf(message.parts ?? message.content);
    if (text !== '') texts.push(text);
  }
  return texts;
}

/** A text, or the text parts of a list of parts. */
function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  const texts: string[] = [];
  for (const part of content) {
    if (typeof part !== 'object' || part === null || !TEXT_PARTS.has(part.type)) continue;
    const text = part.text ?? part.content;
    if (typeof text === 'string' && text !== '') texts.push(text);
  }
  return texts.join('\n');
}

const TEXT_PARTS: ReadonlySet<unknown> = new Set(['text', 'input_text', 'output_text']);

/** Messages that are a handful of attributes each, `gen_ai.prompt.0.role`: counted up until one is not there. */
function ofNumbered(attributes: Attributes, prefix: string, infix: string, role: string): string[] {
  const texts: string[] = [];
  for (let i = 0; i < LIMITS.attributesPerSpanMax; i++) {
    const message = `${prefix}${i}.${infix}`;
    const spoken = attributes[`${message}role`];
    if (spoken === undefined) break;
    if (spoken !== role) continue;
    const text = contentOf(attributes, message);
    if (text !== '') texts.push(text);
  }
  return texts;
}

function contentOf(attributes: Attributes, message: string): string {
  const content = attributes[`${message}content`];
  // OpenLLMetry writes a message of several parts as JSON into the place of its text.
  if (content?.startsWith('[{')) return textOf(parse(content)) || content;
  if (content !== undefined) return content;
  const texts: string[] = [];
  for (let i = 0; i < LIMITS.attributesPerSpanMax; i++) {
    const part = `${message}contents.${i}.message_content.`;
    if (!(`${part}type` in attributes)) break;
    const text = attributes[`${part}text`];
    if (text) texts.push(text);
  }
  return texts.join('\n');
}

/** OpenInference's `input.value` and `output.value` are often a whole request or answer in JSON: no text of anyone. */
const ofPlainValue = (attributes: Attributes, side: 'input' | 'output'): string[] =>
  attributes[`${side}.mime_type`] === 'text/plain' ? ofValue(attributes[`${side}.value`]) : [];

function parse(json: string | undefined): unknown {
  if (json === undefined || json.length > LIMITS.attributeValueBytesMax) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
