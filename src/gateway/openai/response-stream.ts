import {
  type AnswerFacts,
  asArray,
  asCount,
  asObject,
  asString,
  type Delta,
  entry,
  type GatewayError,
  type Json,
  parseObject,
  type StreamReader,
} from '../protocol.ts';
import { Room, TextBuffer } from '../text-buffer.ts';
import { errorBody, publicCode, readError } from './errors.ts';
import { answerMessages, contentText } from './items.ts';

/**
 * A response as a stream of typed events. The last one, `response.completed`, `.incomplete` or `.failed`, brings the
 * whole response with its usage; what the deltas said stands in where it does not come, or comes without output.
 */
export class ResponseStream implements StreamReader {
  readonly #readResponse: (response: Json) => AnswerFacts;
  readonly #textCharsMax: number;
  readonly #room: Room;
  readonly #items = new Map<number, Item>();
  readonly textKeys = ['delta'];
  #sequence = -1;
  #id: string | undefined;
  #model: string | undefined;
  #end: AnswerFacts | undefined;
  /** Whether the last event brought what the deltas said, and there was room for it. */
  #endIsWhole = false;
  #errorType: string | undefined;

  constructor(textCharsMax: number, readResponse: (response: Json) => AnswerFacts) {
    this.#textCharsMax = textCharsMax;
    this.#room = new Room(textCharsMax);
    this.#readResponse = readResponse;
  }

  get isOver(): boolean {
    return this.#end !== undefined || this.#errorType !== undefined;
  }

  get textChars(): number {
    return this.#room.textChars;
  }

  event(data: string): Delta | undefined {
    const event = parseObject(data);
    if (!event) return undefined;
    this.#sequence = asCount(event['sequence_number']) ?? this.#sequence + 1;
    const type = asString(event['type']) ?? '';
    if (type.endsWith('.delta')) return this.#delta(event, type);
    if (type === 'response.output_item.added') this.#item(event);
    else if (type === 'error') this.#errorType ??= asString(event['code']) ?? readError(event) ?? 'error';
    else if (asObject(event['response'])) this.#response(event['response'] as Json, type, data.length);
    return undefined;
  }

  #response(response: Json, type: string, chars: number): void {
    this.#id ??= asString(response['id']);
    this.#model ??= asString(response['model']);
    if (!ENDS.has(type)) return;
    this.#end = this.#readResponse(response);
    this.#endIsWhole = chars <= this.#textCharsMax && asArray(response['output']).length > 0;
    this.#errorType ??= this.#end.errorType ?? (type === 'response.failed' ? 'error' : undefined);
    // What was kept of the deltas is in it again.
    if (this.#endIsWhole) this.#items.clear();
  }

  #item(event: Json): Item | undefined {
    return entry(this.#items, asCount(event['output_index']) ?? 0, () => {
      const item = asObject(event['item']) ?? {};
      return {
        type: this.#room.hold(asString(item['type'])),
        callId: this.#room.hold(asString(item['call_id'])),
        name: this.#room.hold(asString(item['name'])),
        text: new TextBuffer(this.#room),
        refusal: new TextBuffer(this.#room),
      };
    });
  }

  #delta(event: Json, type: string): Delta | undefined {
    const piece = asString(event['delta']);
    // Audio, and what is said in it, belongs to no item.
    if (!piece || asCount(event['output_index']) === undefined) return undefined;
    const item = this.#item(event);
    if (!item) return undefined;
    const text = type === 'response.refusal.delta' ? item.refusal : item.text;
    text.add(piece);
    const more = (next: string, events: number) => {
      this.#sequence += events;
      text.add(next);
    };
    return { piece, more };
  }

  facts(): AnswerFacts {
    const end = this.#end;
    if (end && this.#endIsWhole) return { ...end, errorType: this.#errorType };
    const items = [...this.#items.entries()].sort(([a], [b]) => a - b).map(([, item]) => toJsonItem(item));
    const finishReasons = end?.finishReasons ?? [];
    return {
      id: end?.id ?? this.#id,
      model: end?.model ?? this.#model,
      finishReasons,
      usage: end?.usage ?? {},
      text: items
        .filter((item) => item['type'] === 'message')
        .map((item) => contentText(item['content'], ''))
        .join(''),
      messages: () => answerMessages(items, finishReasons[0]),
      complete: end !== undefined,
      errorType: this.#errorType,
    };
  }

  /** Both as the SDKs for JavaScript (by the event's name) and for Python (by `error`) look for it. */
  errorEvent(error: GatewayError): string {
    const event = {
      type: 'error',
      code: publicCode(error.code),
      message: error.message,
      param: null,
      sequence_number: this.#sequence + 1,
      ...errorBody(error),
    };
    return `event: error\ndata: ${JSON.stringify(event)}\n\n`;
  }
}

interface Item {
  type: string | undefined;
  callId: string | undefined;
  name: string | undefined;
  /** Its text, its reasoning, or the arguments of the tool it calls. */
  text: TextBuffer;
  refusal: TextBuffer;
}

const OPENINGS = new Set(['response.created', 'response.queued', 'response.in_progress']);

/** An event that says that the response was begun, and no more. */
export const isResponseOpening = (data: string): boolean =>
  OPENINGS.has(asString(parseObject(data)?.['type']) ?? '');

const ENDS = new Set(['response.completed', 'response.incomplete', 'response.failed', 'response.cancelled']);

/** An item as the API would have given it whole. */
function toJsonItem({ type = 'message', callId, name, text, refusal }: Item): Json {
  const said = text.toString();
  if (type === 'message')
    return {
      type,
      role: 'assistant',
      content: [
        ...(said === '' ? [] : [{ type: 'output_text', text: said }]),
        ...(refusal.toString() === '' ? [] : [{ type: 'refusal', refusal: refusal.toString() }]),
      ],
    };
  if (type === 'reasoning') return { type, summary: [{ type: 'summary_text', text: said }] };
  return { type, call_id: callId, name, arguments: said };
}
