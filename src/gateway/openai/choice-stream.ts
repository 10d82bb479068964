import { LIMITS } from '../../span/limits.ts';
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
  type Message,
  type Part,
  parseObject,
  type StreamReader,
  type Usage,
} from '../protocol.ts';
import { Room, TextBuffer } from '../text-buffer.ts';
import { errorBody, readError } from './errors.ts';
import { readUsage } from './usage.ts';

interface ToolCall {
  id?: string;
  name?: string;
  arguments: TextBuffer;
}

interface Choice {
  text: TextBuffer;
  reasoning: TextBuffer;
  refusal: TextBuffer;
  calls: Map<number, ToolCall>;
  finishReason?: string;
}

/** A chunk that only names the role, or none of whose choices says anything. */
export function isChoiceOpening(data: string): boolean {
  const chunk = parseObject(data);
  if (!chunk || chunk['error'] || chunk['usage']) return false;
  return asArray(chunk['choices']).every((value) => {
    const choice = asObject(value) ?? {};
    const said = Object.entries(asObject(choice['delta']) ?? {}).some(
      ([name, part]) => name !== 'role' && part !== null && part !== '' && !isEmptyList(part),
    );
    return !said && !choice['finish_reason'] && !choice['text'];
  });
}

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

/** Chunks of choices to `[DONE]`; usage comes in one of the last. */
export class ChoiceStream implements StreamReader {
  readonly #room: Room;
  readonly #choices = new Map<number, Choice>();
  readonly textKeys = ['content', 'text'];
  #id: string | undefined;
  #model: string | undefined;
  #fingerprint: string | undefined;
  #usage: Usage = {};
  #done = false;
  #errorType: string | undefined;

  constructor(textCharsMax: number) {
    this.#room = new Room(textCharsMax);
  }

  get isOver(): boolean {
    return this.#done;
  }

  get textChars(): number {
    return this.#room.textChars;
  }

  event(data: string): Delta | undefined {
    if (data === '[DONE]') {
      this.#done = true;
      return undefined;
    }
    const chunk = parseObject(data);
    if (!chunk) return undefined;
    this.#id ??= asString(chunk['id']);
    this.#model ??= asString(chunk['model']);
    this.#fingerprint ??= asString(chunk['system_fingerprint']);
    // Groq's first streams had it under a name of their own.
    const usage = asObject(chunk['usage']) ?? asObject(asObject(chunk['x_groq'])?.['usage']);
    if (usage) this.#usage = readUsage(usage, chunk['service_tier']);
    if (chunk['error']) this.#errorType ??= readError(chunk) ?? 'error';
    const choices = asArray(chunk['choices']);
    let delta: Delta | undefined;
    for (const choice of choices) delta = this.#choice(asObject(choice) ?? {});
    return choices.length === 1 && !usage ? delta : undefined;
  }

  #choice(update: Json): Delta | undefined {
    const choice = entry<Choice>(this.#choices, asCount(update['index']) ?? 0, () => ({
      text: new TextBuffer(this.#room),
      reasoning: new TextBuffer(this.#room),
      refusal: new TextBuffer(this.#room),
      calls: new Map(),
    }));
    if (!choice) return undefined;
    const delta = asObject(update['delta']) ?? {};
    const text = asString(delta['content']) ?? asString(update['text']);
    const reasoning = asString(delta['reasoning_content']) ?? asString(delta['reasoning']);
    const refusal = asString(delta['refusal']);
    const calls = asArray(delta['tool_calls']);
    choice.text.add(text ?? '');
    choice.reasoning.add(reasoning ?? '');
    choice.refusal.add(refusal ?? '');
    for (const call of calls) this.#call(choice, asObject(call) ?? {});
    const reason = asString(update['finish_reason']);
    if (reason && reason.length <= LIMITS.nameLengthMax) choice.finishReason = reason;
    if (!text || reasoning || refusal || calls.length > 0) return undefined;
    return { piece: text, more: (more) => choice.text.add(more) };
  }

  #call(choice: Choice, part: Json): void {
    const call = entry<ToolCall>(choice.calls, asCount(part['index']) ?? 0, () => ({
      arguments: new TextBuffer(this.#room),
    }));
    if (!call) return;
    const fn = asObject(part['function']) ?? asObject(part['custom']) ?? {};
    call.id ??= this.#room.hold(asString(part['id']));
    call.name ??= this.#room.hold(asString(fn['name']));
    call.arguments.add(asString(fn['arguments'] ?? fn['input']) ?? '');
  }

  facts(): AnswerFacts {
    const choices = [...this.#choices.entries()].sort(([a], [b]) => a - b).map(([, choice]) => choice);
    const finishReasons = choices.flatMap((c) => c.finishReason ?? []);
    return {
      id: this.#id,
      model: this.#model,
      systemFingerprint: this.#fingerprint,
      finishReasons,
      usage: this.#usage,
      text: choices[0]?.text.toString() ?? '',
      messages: () => choices.map(choiceMessage),
      complete: this.#done || (finishReasons.length > 0 && finishReasons.length === choices.length),
      errorType: this.#errorType,
    };
  }

  errorEvent(error: GatewayError): string {
    return `data: ${JSON.stringify(errorBody(error))}\n\n`;
  }
}

function choiceMessage({ text, reasoning, refusal, calls, finishReason }: Choice): Message {
  const parts: Part[] = [];
  if (reasoning.toString()) parts.push({ type: 'reasoning', content: reasoning.toString() });
  if (text.toString()) parts.push({ type: 'text', content: text.toString() });
  if (refusal.toString()) parts.push({ type: 'refusal', content: refusal.toString() });
  for (const call of calls.values())
    parts.push({ type: 'tool_call', id: call.id, name: call.name, arguments: call.arguments.toString() });
  return { role: 'assistant', parts, finish_reason: finishReason };
}
