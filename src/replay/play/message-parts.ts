import type { Message, Part } from '../recording.ts';
import type { ToolUse } from './ports.ts';

/** Reading messages as the GenAI conventions write them. */

const asText = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The text of messages, without reasoning. */
export const textOf = (messages: readonly Message[]): string =>
  messages
    .flatMap((message) => message.parts)
    .map((part) => (part.type === 'text' ? asText(part['content']) : ''))
    .filter((text) => text !== '')
    .join('\n');

/** What the system says to an agent. */
export const systemText = (messages: readonly Message[]): string => textOf(messages.filter(isSystem));

export const isSystem = ({ role }: Message): boolean => role === 'system' || role === 'developer';

export const isToolResult = (part: Part): boolean => part.type === 'tool_call_response';

/** The tools that an answer asks for. */
export const toolUses = (agent: string, answer: readonly Message[]): ToolUse[] =>
  answer
    .flatMap((message) => message.parts)
    .filter((part) => part.type === 'tool_call')
    .map((part) => ({
      agent,
      tool: asText(part['name']),
      callId: asText(part['id']),
      arguments: jsonText(part['arguments']),
    }));

/** A value that is text already, or its JSON. */
export const jsonText = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? '');

/** A tool's result as plain text, where it is a list of texts. */
export function resultText(response: unknown): string {
  if (!Array.isArray(response)) return jsonText(response);
  const texts = response.map((block: unknown) =>
    typeof block === 'object' && block !== null && 'text' in block ? asText(block.text) : undefined,
  );
  return texts.every((text) => text !== undefined) ? texts.join('\n') : jsonText(response);
}
