import {
  type AnswerFacts,
  asCount,
  asObject,
  asString,
  type Delta,
  entry,
  type GatewayError,
  type Json,
  type Message,
  type Part,
  parseObject,
  type StreamReader,
} from '../protocol.ts';
import { Room, TextBuffer } from '../text-buffer.ts';
import { errorBody, readError } from './errors.ts';
import { readUsage, toPart } from './messages.ts';

interface Block {
  start: Json;
  text: TextBuffer;
}

/** Counts that a stream tells more than once, each time what they have come to. */
const CUMULATIVE = [
  'input_tokens',
  'output_tokens',
  'cache_read_input_tokens',
  'cache_creation_input_tokens',
] as const;

/** A message as a stream of typed events, from `message_start` to `message_stop`. */
export class MessageStream implements StreamReader {
  readonly #room: Room;
  readonly #blocks = new Map<number, Block>();
  #id: string | undefined;
  #model: string | undefined;
  /** Usage fields as last told; they are cumulative. */
  #usage: Json = {};
  #stopReason: string | undefined;
  #stopped = false;
  #errorType: string | undefined;
  readonly textKeys = ['text', 'thinking', 'partial_json'];

  constructor(textCharsMax: number) {
    this.#room = new Room(textCharsMax);
  }

  get isOver(): boolean {
    return this.#stopped || this.#errorType !== undefined;
  }

  get textChars(): number {
    return this.#room.textChars;
  }

  event(data: string): Delta | undefined {
    const event = parseObject(data);
    switch (event?.['type']) {
      case 'message_start': {
        const message = asObject(event['message']) ?? {};
        this.#id = asString(message['id']);
        this.#model = asString(message['model']);
        // The output count of the start is a placeholder: only the deltas tell what was really produced.
        this.#usage = { ...asObject(message['usage']), output_tokens: undefined };
        return undefined;
      }
      case 'content_block_start':
        this.#block(event, this.#opening(asObject(event['content_block']) ?? {}, data.length));
        return undefined;
      case 'content_block_delta': {
        const delta = asObject(event['delta']) ?? {};
        const text = asString(delta['text'] ?? delta['partial_json'] ?? delta['thinking']);
        const block = this.#block(event, {});
        if (!text || !block) return undefined;
        block.text.add(text);
        return { piece: text, more: (more) => block.text.add(more) };
      }
      case 'message_delta':
        this.#stopReason = asString(asObject(event['delta'])?.['stop_reason']) ?? this.#stopReason;
        this.#count(asObject(event['usage']) ?? {});
        return undefined;
      case 'message_stop':
        this.#stopped = true;
        return undefined;
      case 'error':
        this.#errorType ??= readError(event) ?? 'error';
    }
    return undefined;
  }

  #count(usage: Json): void {
    for (const name of CUMULATIVE) {
      const count = asCount(usage[name]);
      if (count !== undefined) this.#usage[name] = Math.max(asCount(this.#usage[name]) ?? 0, count);
    }
    for (const name of ['cache_creation', 'output_tokens_details', 'server_tool_use'])
      if (asObject(usage[name])) this.#usage[name] = usage[name];
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

  errorEvent(error: GatewayError): string {
    return `event: error\ndata: ${JSON.stringify(errorBody(error))}\n\n`;
  }
}

/** The message's head, a sign of life, or the beginning of a block of text that has none yet. */
export function isMessageOpening(data: string): boolean {
  const event = parseObject(data);
  const type = event?.['type'];
  if (type === 'message_start' || type === 'ping') return true;
  const block = type === 'content_block_start' ? asObject(event?.['content_block']) : undefined;
  return (
    block !== undefined &&
    ((block['type'] === 'text' && !block['text']) || (block['type'] === 'thinking' && !block['thinking']))
  );
}

function blockPart({ start, text }: Block): Part {
  const content = text.toString();
  if (start['type'] === 'text') return toPart({ ...start, text: content });
  if (start['type'] === 'thinking') return toPart({ ...start, thinking: content });
  if (content === '') return toPart(start);
  return toPart({ ...start, input: parseObject(content) ?? content });
}
