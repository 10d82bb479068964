import { asArray, asObject, asString, type Json, type Message, type Part } from '../protocol.ts';

/** The items that a response is made from and of: messages, calls of tools, their results, reasoning. */

/** Plain text of a message's content, without refusals. */
export function contentText(content: unknown, separator: string): string {
  if (typeof content === 'string') return content;
  return asArray(content)
    .map((part) => asString(asObject(part)?.['text']) ?? '')
    .filter((text) => text !== '')
    .join(separator);
}

export const isMessage = (item: Json): boolean =>
  item['type'] === 'message' || (item['type'] === undefined && item['role'] !== undefined);

export function itemMessage(item: Json): Message {
  if (isMessage(item))
    return { role: asString(item['role']) ?? 'unknown', parts: contentParts(item['content']) };
  const type = asString(item['type']) ?? 'unknown';
  switch (type) {
    case 'function_call':
    case 'custom_tool_call':
      return {
        role: 'assistant',
        parts: [
          {
            type: 'tool_call',
            id: item['call_id'],
            name: item['name'],
            arguments: item['arguments'] ?? item['input'],
          },
        ],
      };
    case 'reasoning': {
      const content = contentText(item['content'], '\n') || contentText(item['summary'], '\n');
      return { role: 'assistant', parts: [{ type: 'reasoning', content }] };
    }
  }
  if (type.endsWith('_output'))
    return {
      role: 'tool',
      parts: [{ type: 'tool_call_response', id: item['call_id'], response: item['output'] }],
    };
  // Calls that the provider answers itself, such as a search.
  return { role: 'assistant', parts: [{ ...item, type }] };
}

function contentParts(content: unknown): Part[] {
  if (typeof content === 'string') return [{ type: 'text', content }];
  return asArray(content).map((value) => {
    const part = asObject(value) ?? {};
    const type = asString(part['type']) ?? 'unknown';
    if (type === 'refusal') return { type, content: part['refusal'] };
    if (type.endsWith('_text')) return { type: 'text', content: part['text'] };
    return { ...part, type };
  });
}

/** Items of one answer as one message of the assistant, as the conventions want it. */
export function answerMessages(items: readonly Json[], finishReason: string | undefined): Message[] {
  const parts = items.flatMap((item) => itemMessage(item).parts);
  return parts.length === 0 ? [] : [{ role: 'assistant', parts, finish_reason: finishReason }];
}
