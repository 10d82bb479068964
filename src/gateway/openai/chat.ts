import {
  type AnswerFacts,
  asArray,
  asCount,
  asNumber,
  asObject,
  asStop,
  asString,
  asWord,
  type Json,
  type Message,
  type Operation,
  type Part,
  type RequestContent,
  type RequestFacts,
  toJson,
} from '../protocol.ts';
import { ChoiceStream, isChoiceOpening } from './choice-stream.ts';
import { readUsage } from './usage.ts';

/** Chat completions, as OpenAI and everyone compatible with it speaks them. */
export const chat: Operation = {
  name: 'chat',
  apiType: 'chat_completions',
  readRequest,
  readContent,
  readAnswer,
  readStream: (textCharsMax) => new ChoiceStream(textCharsMax),
  isOpening: isChoiceOpening,
};

function readRequest(value: unknown): RequestFacts {
  return readSampling(asObject(value) ?? {});
}

function readContent(value: unknown): RequestContent {
  const body = asObject(value) ?? {};
  const messages = asArray(body['messages']).map((m) => asObject(m) ?? {});
  const textOf = (...roles: string[]) =>
    messages
      .filter((m) => roles.includes(m['role'] as string))
      .map((m) => plainText(m['content']))
      .filter((text) => text !== '')
      .join('\n');
  const tools = body['tools'] ?? body['functions'];
  return {
    systemText: textOf('system', 'developer'),
    userText: textOf('user'),
    tools: asArray(tools).length > 0 ? toJson(tools) : undefined,
    messages: () => messages.map(toMessage),
  };
}

/** What chat completions and the older text completions ask for in the same words. */
export const readSampling = (body: Json): RequestFacts => ({
  model: asString(body['model']),
  stream: body['stream'] === true,
  maxTokens: asCount(body['max_completion_tokens']) ?? asCount(body['max_tokens']),
  choices: asCount(body['n']),
  temperature: asNumber(body['temperature']),
  topP: asNumber(body['top_p']),
  // Not OpenAI's own, but that of many who serve open models.
  topK: asNumber(body['top_k']),
  frequencyPenalty: asNumber(body['frequency_penalty']),
  presencePenalty: asNumber(body['presence_penalty']),
  seed: asNumber(body['seed']),
  stop: asStop(body['stop']),
  reasoning: asWord(body['reasoning_effort']),
  responseFormat: asWord(asObject(body['response_format'])?.['type']),
  toolChoice: readToolChoice(body['tool_choice']),
});

/** A word, or an object that names a tool; both of OpenAI's APIs write it so, each in its way. */
export function readToolChoice(choice: unknown): string | undefined {
  const object = asObject(choice);
  return (
    asWord(choice) ?? asWord(asObject(object?.['function'])?.['name'] ?? object?.['name'] ?? object?.['type'])
  );
}

function plainText(content: unknown): string {
  if (typeof content === 'string') return content;
  return asArray(content)
    .map((part) => asString(asObject(part)?.['text']) ?? '')
    .filter((text) => text !== '')
    .join('\n');
}

function toMessage(message: Json): Message {
  const role = asString(message['role']) ?? 'unknown';
  const { content } = message;
  if (role === 'tool')
    return {
      role,
      parts: [{ type: 'tool_call_response', id: message['tool_call_id'], response: content }],
    };
  const parts: Part[] = [];
  // Not OpenAI's own, but that of most who serve open models.
  const reasoning = asString(message['reasoning_content']) ?? asString(message['reasoning']);
  if (reasoning) parts.push({ type: 'reasoning', content: reasoning });
  if (typeof content === 'string') parts.push({ type: 'text', content });
  else
    for (const item of asArray(content)) {
      const part = asObject(item) ?? {};
      if (part['type'] === 'text') parts.push({ type: 'text', content: part['text'] });
      else parts.push({ ...part, type: asString(part['type']) ?? 'unknown' });
    }
  if (typeof message['refusal'] === 'string') parts.push({ type: 'refusal', content: message['refusal'] });
  for (const call of asArray(message['tool_calls'])) {
    const fn = asObject(asObject(call)?.['function']) ?? asObject(asObject(call)?.['custom']) ?? {};
    parts.push({
      type: 'tool_call',
      id: asObject(call)?.['id'],
      name: fn['name'],
      arguments: fn['arguments'] ?? fn['input'],
    });
  }
  return { role, parts };
}

/** Reads chat completions, and text completions, whose choices have a text in place of a message. */
export function readAnswer(value: unknown): AnswerFacts {
  const body = asObject(value) ?? {};
  const choices = asArray(body['choices']).map((c) => asObject(c) ?? {});
  const messageOf = (choice: Json | undefined): Json =>
    asObject(choice?.['message']) ?? { content: choice?.['text'] };
  return {
    id: asString(body['id']),
    model: asString(body['model']),
    systemFingerprint: asString(body['system_fingerprint']),
    finishReasons: choices.flatMap((c) => asString(c['finish_reason']) ?? []),
    usage: readUsage(body['usage'], body['service_tier']),
    text: plainText(messageOf(choices[0])['content']),
    messages: () =>
      choices.map((choice) => ({
        ...toMessage({ role: 'assistant', ...messageOf(choice) }),
        finish_reason: asString(choice['finish_reason']),
      })),
    complete: choices.length > 0,
  };
}
