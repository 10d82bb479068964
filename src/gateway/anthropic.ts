import {
  type AnswerFacts,
  asArray,
  asCount,
  asNumber,
  asObject,
  asString,
  entry,
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

/** Anthropic's messages. */
export const anthropic: Protocol = {
  provider: 'anthropic',
  operation: (method, path) => (method === 'POST' && path === '/v1/messages' ? 'chat' : undefined),
  keyHeaders: ['x-api-key', 'authorization'],
  keyHeaderValue: (key) => key,
  readRequest,
  readAnswer,
  readStream: (textCharsMax) => new MessageStream(textCharsMax),
  readError: (body) => asString(asObject(asObject(body)?.['error'])?.['type']),
  errorBody: ({ status, message }) => ({
    type: 'error',
    error: { type: ERROR_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error'), message },
  }),
};

const ERROR_TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
};

function readRequest(value: unknown): RequestFacts {
  const body = asObject(value) ?? {};
  const messages = asArray(body['messages']).map((m) => asObject(m) ?? {});
  const systemText = plainText(body['system']);
  const { tools } = body;
  return {
    model: asString(body['model']),
    stream: body['stream'] === true,
    maxTokens: asCount(body['max_tokens']),
    temperature: asNumber(body['temperature']),
    topP: asNumber(body['top_p']),
    systemText,
    userText: messages
      .filter((m) => m['role'] === 'user')
      .map((m) => plainText(m['content']))
      .filter((text) => text !== '')
      .join('\n'),
    tools: asArray(tools).length > 0 ? toJson(tools) : undefined,
    messages: () => [
      ...(systemText === '' ? [] : [{ role: 'system', parts: toParts(body['system']) }]),
      ...messages.map((m) => ({ role: asString(m['role']) ?? 'unknown', parts: toParts(m['content']) })),
    ],
  };
}

/** Text of the text blocks: a tool's result is not what the user said. */
function plainText(content: unknown, separator = '\n'): string {
  if (typeof content === 'string') return content;
  return asArray(content)
    .map((block) => asObject(block) ?? {})
    .filter((block) => block['type'] === 'text')
    .map((block) => asString(block['text']) ?? '')
    .filter((text) => text !== '')
    .join(separator);
}

const toParts = (content: unknown): Part[] =>
  typeof content === 'string'
    ? [{ type: 'text', content }]
    : asArray(content).map((block) => toPart(asObject(block) ?? {}));

function toPart(block: Json): Part {
  switch (block['type']) {
    case 'text':
      return { type: 'text', content: block['text'] };
    case 'thinking':
      return { type: 'reasoning', content: block['thinking'] };
    case 'tool_use':
      return { type: 'tool_call', id: block['id'], name: block['name'], arguments: block['input'] };
    case 'tool_result':
      return { type: 'tool_call_response', id: block['tool_use_id'], response: block['content'] };
    default:
      return { ...block, type: asString(block['type']) ?? 'unknown' };
  }
}

/** Counts as Anthropic gives them: `input_tokens` there are only those no cache was involved in. */
function readUsage(usage: Json): Usage {
  const fresh = asCount(usage['input_tokens']);
  const cacheReadTokens = asCount(usage['cache_read_input_tokens']);
  const cacheWriteTokens = asCount(usage['cache_creation_input_tokens']);
  return {
    inputTokens: fresh === undefined ? undefined : fresh + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0),
    outputTokens: asCount(usage['output_tokens']),
    cacheReadTokens,
    cacheWriteTokens,
    cacheWrite1hTokens: asCount(asObject(usage['cache_creation'])?.['ephemeral_1h_input_tokens']),
  };
}

function readAnswer(value: unknown): AnswerFacts {
  const body = asObject(value) ?? {};
  const stopReason = asString(body['stop_reason']);
  return {
    id: asString(body['id']),
    model: asString(body['model']),
    finishReasons: stopReason ? [stopReason] : [],
    usage: readUsage(asObject(body['usage']) ?? {}),
    text: plainText(body['content'], ''),
    messages: () => [{ role: 'assistant', parts: toParts(body['content']), finish_reason: stopReason }],
    complete: body['type'] === 'message',
  };
}

interface Block {
  start: Json;
  text: TextBuffer;
}

class MessageStream implements StreamReader {
  readonly #room: Room;
  readonly #blocks = new Map<number, Block>();
  #id: string | undefined;
  #model: string | undefined;
  /** Usage fields as last told; they are cumulative. */
  #usage: Json = {};
  #stopReason: string | undefined;
  #stopped = false;
  #errorType: string | undefined;

  constructor(textCharsMax: number) {
    this.#room = new Room(textCharsMax);
  }

  event({ data }: SseEvent): void {
    const event = parseObject(data);
    switch (event?.['type']) {
      case 'message_start': {
        const message = asObject(event['message']) ?? {};
        this.#id = asString(message['id']);
        this.#model = asString(message['model']);
        // The output count of the start is a placeholder: only the deltas tell what was really produced.
        this.#usage = { ...asObject(message['usage']), output_tokens: undefined };
        return;
      }
      case 'content_block_start':
        this.#block(event, this.#opening(asObject(event['content_block']) ?? {}, data.length));
        return;
      case 'content_block_delta': {
        const delta = asObject(event['delta']) ?? {};
        const piece = delta['text'] ?? delta['partial_json'] ?? delta['thinking'];
        this.#block(event, {})?.text.add(asString(piece) ?? '');
        return;
      }
      case 'message_delta':
        this.#stopReason = asString(asObject(event['delta'])?.['stop_reason']) ?? this.#stopReason;
        for (const [name, count] of Object.entries(asObject(event['usage']) ?? {})) {
          const before = asCount(this.#usage[name]) ?? 0;
          if (asCount(count) !== undefined) this.#usage[name] = Math.max(before, count as number);
        }
        return;
      case 'message_stop':
        this.#stopped = true;
        return;
      case 'error':
        this.#errorType ??= anthropic.readError(event) ?? 'error';
        return;
    }
  }

  #block(event: Json, start: Json): Block | undefined {
    return entry(this.#blocks, asCount(event['index']) ?? 0, () => {
      const text = new TextBuffer(this.#room);
      text.add(asString(start['text']) ?? asString(start['thinking']) ?? '');
      return { start, text };
    });
  }

  /** A block may begin with all it has, such as a search's results; without room for it only its kind is kept. */
  #opening(block: Json, chars: number): Json {
    return this.#room.take(chars) === chars ? block : { type: block['type'] };
  }

  facts(): AnswerFacts {
    const blocks = [...this.#blocks.entries()].sort(([a], [b]) => a - b).map(([, block]) => block);
    return {
      id: this.#id,
      model: this.#model,
      finishReasons: this.#stopReason ? [this.#stopReason] : [],
      usage: readUsage(this.#usage),
      text: blocks.map(({ start, text }) => (start['type'] === 'text' ? text.toString() : '')).join(''),
      messages: (): Message[] => [
        { role: 'assistant', parts: blocks.map(blockPart), finish_reason: this.#stopReason },
      ],
      complete: this.#stopped,
      errorType: this.#errorType,
    };
  }
}

function blockPart({ start, text }: Block): Part {
  const content = text.toString();
  if (start['type'] === 'text') return toPart({ ...start, text: content });
  if (start['type'] === 'thinking') return toPart({ ...start, thinking: content });
  if (content === '') return toPart(start);
  return toPart({ ...start, input: parseObject(content) ?? content });
}
