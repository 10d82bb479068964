import { LIMITS } from '../span/limits.ts';
import {
  type AnswerFacts,
  asArray,
  asCount,
  asNumber,
  asObject,
  asString,
  entry,
  type GatewayError,
  type Json,
  type Message,
  type Part,
  type Protocol,
  parseObject,
  type RequestFacts,
  type StreamReader,
  toJson,
  type Usage,
} from './protocol.ts';
import type { SseEvent } from './sse.ts';
import { Room, TextBuffer } from './text-buffer.ts';

/** OpenAI's chat completions, as OpenAI and everyone compatible with it speaks them. */
export const openai: Protocol = {
  provider: 'openai',
  operation: (method, path) => (method === 'POST' && path === '/chat/completions' ? 'chat' : undefined),
  keyHeaders: ['authorization'],
  keyHeaderValue: (key) => `Bearer ${key}`,
  readRequest,
  readAnswer,
  readStream: (textCharsMax) => new ChatStream(textCharsMax),
  readError: (body) => {
    const error = asObject(asObject(body)?.['error']);
    return asString(error?.['code']) ?? asString(error?.['type']);
  },
  errorBody: ({ status, code, message }) => ({
    error: { message, type: errorType(status), param: null, code: publicCode(code) },
  }),
};

const errorType = (status: number) =>
  status === 401 ? 'authentication_error' : status < 500 ? 'invalid_request_error' : 'server_error';

/** OpenAI's own word where it has one: programs look for it. */
const publicCode = (code: GatewayError['code']) => (code === 'key_invalid' ? 'invalid_api_key' : code);

function readRequest(value: unknown): RequestFacts {
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
    model: asString(body['model']),
    stream: body['stream'] === true,
    maxTokens: asCount(body['max_completion_tokens']) ?? asCount(body['max_tokens']),
    temperature: asNumber(body['temperature']),
    topP: asNumber(body['top_p']),
    seed: asNumber(body['seed']),
    systemText: textOf('system', 'developer'),
    userText: textOf('user'),
    tools: asArray(tools).length > 0 ? toJson(tools) : undefined,
    messages: () => messages.map(toMessage),
  };
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

function readUsage(value: unknown): Usage {
  const usage = asObject(value) ?? {};
  return {
    inputTokens: asCount(usage['prompt_tokens']),
    outputTokens: asCount(usage['completion_tokens']),
    cacheReadTokens: asCount(asObject(usage['prompt_tokens_details'])?.['cached_tokens']),
    reasoningTokens: asCount(asObject(usage['completion_tokens_details'])?.['reasoning_tokens']),
  };
}

function readAnswer(value: unknown): AnswerFacts {
  const body = asObject(value) ?? {};
  const choices = asArray(body['choices']).map((c) => asObject(c) ?? {});
  return {
    id: asString(body['id']),
    model: asString(body['model']),
    finishReasons: choices.flatMap((c) => asString(c['finish_reason']) ?? []),
    usage: readUsage(body['usage']),
    text: plainText(asObject(choices[0]?.['message'])?.['content']),
    messages: () =>
      choices.map((choice) => ({
        ...toMessage({ role: 'assistant', ...asObject(choice['message']) }),
        finish_reason: asString(choice['finish_reason']),
      })),
    complete: choices.length > 0,
  };
}

interface ToolCall {
  id?: string;
  name?: string;
  arguments: TextBuffer;
}

interface Choice {
  text: TextBuffer;
  refusal: TextBuffer;
  calls: Map<number, ToolCall>;
  finishReason?: string;
}

class ChatStream implements StreamReader {
  readonly #room: Room;
  readonly #choices = new Map<number, Choice>();
  #id: string | undefined;
  #model: string | undefined;
  #usage: Usage = {};
  #done = false;
  #errorType: string | undefined;

  constructor(textCharsMax: number) {
    this.#room = new Room(textCharsMax);
  }

  event({ data }: SseEvent): void {
    if (data === '[DONE]') {
      this.#done = true;
      return;
    }
    const chunk = parseObject(data);
    if (!chunk) return;
    this.#id ??= asString(chunk['id']);
    this.#model ??= asString(chunk['model']);
    if (asObject(chunk['usage'])) this.#usage = readUsage(chunk['usage']);
    if (chunk['error']) this.#errorType ??= openai.readError(chunk) ?? 'error';
    for (const choice of asArray(chunk['choices'])) this.#choice(asObject(choice) ?? {});
  }

  #choice(update: Json): void {
    const choice = entry<Choice>(this.#choices, asCount(update['index']) ?? 0, () => ({
      text: new TextBuffer(this.#room),
      refusal: new TextBuffer(this.#room),
      calls: new Map(),
    }));
    if (!choice) return;
    const delta = asObject(update['delta']) ?? {};
    choice.text.add(asString(delta['content']) ?? '');
    choice.refusal.add(asString(delta['refusal']) ?? '');
    for (const item of asArray(delta['tool_calls'])) {
      const part = asObject(item) ?? {};
      const call = entry<ToolCall>(choice.calls, asCount(part['index']) ?? 0, () => ({
        arguments: new TextBuffer(this.#room),
      }));
      const fn = asObject(part['function']) ?? asObject(part['custom']) ?? {};
      if (!call) continue;
      call.id ??= this.#room.hold(asString(part['id']));
      call.name ??= this.#room.hold(asString(fn['name']));
      call.arguments.add(asString(fn['arguments'] ?? fn['input']) ?? '');
    }
    const reason = asString(update['finish_reason']);
    if (reason && reason.length <= LIMITS.nameLengthMax) choice.finishReason = reason;
  }

  facts(): AnswerFacts {
    const choices = [...this.#choices.entries()].sort(([a], [b]) => a - b).map(([, choice]) => choice);
    const finishReasons = choices.flatMap((c) => c.finishReason ?? []);
    return {
      id: this.#id,
      model: this.#model,
      finishReasons,
      usage: this.#usage,
      text: choices[0]?.text.toString() ?? '',
      messages: () => choices.map(choiceMessage),
      complete: this.#done || (finishReasons.length > 0 && finishReasons.length === choices.length),
      errorType: this.#errorType,
    };
  }
}

function choiceMessage({ text, refusal, calls, finishReason }: Choice): Message {
  const parts: Part[] = [];
  if (text.toString()) parts.push({ type: 'text', content: text.toString() });
  if (refusal.toString()) parts.push({ type: 'refusal', content: refusal.toString() });
  for (const call of calls.values())
    parts.push({ type: 'tool_call', id: call.id, name: call.name, arguments: call.arguments.toString() });
  return { role: 'assistant', parts, finish_reason: finishReason };
}
