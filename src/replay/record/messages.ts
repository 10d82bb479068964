import type { Message, Part } from '../recording.ts';

/**
 * Messages as the GenAI conventions write them, out of what was stored of a call's content. The gateway stores them so;
 * other people's instrumentation has them in forms of its own, with parts under other names, or with a handful of
 * attributes for each message, which the collector keeps as one flat object.
 *
 * Nothing that a stranger sent makes it throw: what is no message is a text.
 */
export function readMessages(role: string, content: string): Message[] {
  const value = parse(content);
  // A list that the collector did not take apart.
  if (Array.isArray(value))
    return value.map((message) => readMessage(message, role, JSON.stringify(message)));
  return [readMessage(value, role, content)];
}

type Json = Record<string, unknown>;

function readMessage(value: unknown, storedRole: string, text: string): Message {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { role: storedRole || 'unknown', parts: [textPart(typeof value === 'string' ? value : text)] };
  const message = value as Json;
  const role = asText(message['role']) ?? (storedRole || 'unknown');
  const finish = asText(message['finish_reason']);
  return {
    role,
    parts: Array.isArray(message['parts']) ? message['parts'].map(readPart) : foreignParts(message, role),
    ...(finish !== undefined && { finish_reason: finish }),
  };
}

/** A part as it is; what has no type is unknown. */
const readPart = (value: unknown): Part =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? typeof (value as Json)['type'] === 'string'
      ? (value as Part)
      : { ...value, type: 'unknown' }
    : textPart(typeof value === 'string' ? value : JSON.stringify(value));

/** Of a message in OpenAI's form, the AI SDK's, or one that was a handful of attributes. */
function foreignParts(message: Json, role: string): Part[] {
  const { content } = message;
  const callId = asText(message['tool_call_id']);
  if (role === 'tool' && callId !== undefined)
    return [{ type: 'tool_call_response', id: callId, response: content ?? '' }];
  const parts: Part[] = [];
  if (typeof content === 'string' && content !== '') parts.push(textPart(content));
  else if (Array.isArray(content)) parts.push(...content.map(contentPart));
  parts.push(...numberedTexts(message));
  const calls = Array.isArray(message['tool_calls'])
    ? message['tool_calls'].map(objectOf)
    : numberedCalls(message);
  for (const call of calls) {
    const fn = objectOf(call['function'] ?? call);
    parts.push(toolCall(call['id'], fn['name'], fn['arguments']));
  }
  return parts;
}

/** A part of a list of `content`, as OpenAI and the AI SDK have them. */
function contentPart(value: unknown): Part {
  const part = objectOf(value);
  switch (part['type']) {
    case 'text':
    case 'input_text':
    case 'output_text':
      return textPart(part['text'] ?? part['content']);
    case 'reasoning':
      return { type: 'reasoning', content: part['text'] ?? part['content'] };
    case 'tool-call':
      return toolCall(part['toolCallId'], part['toolName'], part['input'] ?? part['args']);
    case 'tool-result':
      return {
        type: 'tool_call_response',
        id: part['toolCallId'],
        response: resultText(part['output'] ?? part['result']),
      };
    default:
      return readPart(value);
  }
}

/** The AI SDK says of a result what kind it is. */
function resultText(value: unknown): unknown {
  const result = objectOf(value);
  return result['type'] === 'text' || result['type'] === 'json' ? result['value'] : value;
}

/** Tool calls that an instrumentation lists apart from messages. */
export function readToolCalls(contents: readonly string[]): Part[] {
  return contents
    .map(parse)
    .flatMap((value) => (Array.isArray(value) ? value : [value]))
    .map((value) => {
      const call = objectOf(value);
      return toolCall(
        call['toolCallId'] ?? call['id'],
        call['toolName'] ?? call['name'],
        call['input'] ?? call['args'],
      );
    });
}

export const textPart = (content: unknown): Part => ({ type: 'text', content: content ?? '' });
const toolCall = (id: unknown, name: unknown, args: unknown): Part => ({
  type: 'tool_call',
  id,
  name,
  arguments: args,
});

const NUMBERED_CALL = /^tool_calls\.(\d{1,4})\.(?:tool_call\.)?(?:function\.)?(id|name|arguments)$/;
const NUMBERED_TEXT = /^contents\.(\d{1,4})\.message_content\.text$/;

/** `tool_calls.0.tool_call.function.name` and the like. */
function numberedCalls(message: Json): Json[] {
  const calls = new Map<number, Json>();
  for (const [name, value] of Object.entries(message)) {
    const [, number, field] = NUMBERED_CALL.exec(name) ?? [];
    if (field === undefined) continue;
    const call = calls.get(Number(number)) ?? {};
    call[field] = value;
    calls.set(Number(number), call);
  }
  return inOrder(calls);
}

function numberedTexts(message: Json): Part[] {
  const texts = new Map<number, Part>();
  for (const [name, value] of Object.entries(message)) {
    const number = NUMBERED_TEXT.exec(name)?.[1];
    if (number !== undefined) texts.set(Number(number), textPart(value));
  }
  return inOrder(texts);
}

const inOrder = <T>(byNumber: ReadonlyMap<number, T>): T[] =>
  [...byNumber].sort(([a], [b]) => a - b).map(([, value]) => value);

const objectOf = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
const asText = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
