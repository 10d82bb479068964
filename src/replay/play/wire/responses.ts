import type { Message, Part } from '../../recording.ts';
import { jsonText } from '../message-parts.ts';
import { parametersFor } from './parameters.ts';
import { asText, cutter, type Frame, parseList, type Wire, type WireAnswer } from './wire.ts';

/** OpenAI's Responses API. */
export const responses: Wire = {
  path: '/responses',

  request: (call) => {
    const tools = parseList(call.toolDefinitions);
    return {
      model: call.model,
      input: call.input.flatMap(items),
      ...(tools.length > 0 && { tools }),
      ...parametersFor('responses', call),
      // A replay leaves nothing behind.
      store: false,
    };
  },

  document: (answer) => response(answer, 'completed', output(answer), true),

  frames(answer) {
    let sequence = 0;
    const frames: Frame[] = [];
    const event = (type: string, data: object, chars = 0) =>
      frames.push({
        text: `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...data })}\n\n`,
        chars,
      });
    const cut = cutter(answer.pieces);
    event('response.created', { response: response(answer, 'in_progress', [], false) });
    event('response.in_progress', { response: response(answer, 'in_progress', [], false) });
    const whole = output(answer);
    whole.forEach((item, output_index) => {
      const at = { item_id: item['id'], output_index };
      event('response.output_item.added', { output_index, item: opening(item) });
      if (item['type'] === 'message')
        (item['content'] as Content[]).forEach((part, content_index) => {
          const place = { ...at, content_index };
          const isText = part.type === 'output_text';
          const name = isText ? 'response.output_text' : 'response.refusal';
          const said = isText ? part.text : part.refusal;
          const logprobs = isText ? { logprobs: [] } : {};
          event('response.content_part.added', {
            ...place,
            part: isText ? { ...part, text: '' } : { ...part, refusal: '' },
          });
          for (const delta of cut(said))
            event(`${name}.delta`, { ...place, delta, ...logprobs }, delta.length);
          event(`${name}.done`, { ...place, [isText ? 'text' : 'refusal']: said, ...logprobs });
          event('response.content_part.done', { ...place, part });
        });
      if (item['type'] === 'function_call' || item['type'] === 'custom_tool_call') {
        const isFunction = item['type'] === 'function_call';
        const name = isFunction ? 'response.function_call_arguments' : 'response.custom_tool_call_input';
        const field = isFunction ? 'arguments' : 'input';
        for (const delta of cut(asText(item[field]))) event(`${name}.delta`, { ...at, delta }, delta.length);
        event(`${name}.done`, { ...at, ...(isFunction && { name: item['name'] }), [field]: item[field] });
      }
      event('response.output_item.done', { output_index, item });
    });
    const status = statusOf(answer);
    event(`response.${status}`, { response: response(answer, status, whole, true) });
    return frames;
  },
};

type Item = Record<string, unknown>;
type Content =
  | { type: 'output_text'; text: string; annotations: unknown[] }
  | { type: 'refusal'; refusal: string };

/** An item before anything of it was said. */
function opening(item: Item): Item {
  switch (item['type']) {
    case 'message':
      return { ...item, status: 'in_progress', content: [] };
    case 'function_call':
      return { ...item, status: 'in_progress', arguments: '' };
    case 'custom_tool_call':
      return { ...item, input: '' };
    default:
      return item;
  }
}

/** The answer as items; texts that follow each other are one message. */
function output(answer: WireAnswer): Item[] {
  const found: Item[] = [];
  const { id, customTools } = answer;
  answer.output
    .flatMap((message) => message.parts)
    .forEach((part, i) => {
      const content = contentOf(part);
      const last = found.at(-1);
      if (content && last?.['type'] === 'message') (last['content'] as Content[]).push(content);
      else if (content)
        found.push({
          id: `msg_${id}${i}`,
          type: 'message',
          status: 'completed',
          role: 'assistant',
          content: [content],
        });
      else found.push(otherItem(part, `${id}${i}`, customTools));
    });
  return found;
}

function contentOf(part: Part): Content | undefined {
  if (part.type === 'text') return { type: 'output_text', text: asText(part['content']), annotations: [] };
  if (part.type === 'refusal') return { type: 'refusal', refusal: asText(part['content']) };
  return undefined;
}

function otherItem(part: Part, id: string, customTools: ReadonlySet<string>): Item {
  if (part.type === 'reasoning')
    return {
      id: `rs_${id}`,
      type: 'reasoning',
      summary: part['content'] ? [{ type: 'summary_text', text: part['content'] }] : [],
    };
  return part.type === 'tool_call' ? toolItem(part, `fc_${id}`, customTools) : { id: `it_${id}`, ...part };
}

function toolItem(
  { id: call_id, name, arguments: given }: Part,
  id: string,
  customTools: ReadonlySet<string>,
): Item {
  const status = 'completed';
  return customTools.has(asText(name))
    ? { id, type: 'custom_tool_call', call_id, name, input: jsonText(given ?? ''), status }
    : { id, type: 'function_call', call_id, name, arguments: jsonText(given ?? ''), status };
}

/** A message as it is sent again. Reasoning is the provider's own and stays away. */
function items({ role, parts }: Message): Item[] {
  const found: Item[] = [];
  for (const part of parts) {
    if (part.type === 'tool_call') {
      const { id: call_id, name, arguments: given } = part;
      found.push({ type: 'function_call', call_id, name, arguments: jsonText(given ?? '') });
    } else if (part.type === 'tool_call_response') {
      const { id: call_id, response: given } = part;
      found.push({
        type: 'function_call_output',
        call_id,
        output: Array.isArray(given) ? given : jsonText(given),
      });
    } else if (part.type !== 'reasoning') {
      const type = role === 'assistant' ? 'output_text' : 'input_text';
      const content = part.type === 'text' ? { type, text: part['content'] } : part;
      const last = found.at(-1);
      if (last?.['role'] === role) (last['content'] as unknown[]).push(content);
      else found.push({ type: 'message', role, content: [content] });
    }
  }
  return found;
}

/** How a response ended: an answer that was cut says by what. */
const statusOf = ({ finishReasons: [reason] }: WireAnswer): 'completed' | 'incomplete' =>
  reason === undefined || reason === 'completed' ? 'completed' : 'incomplete';

function response(answer: WireAnswer, status: string, output: Item[], isOver: boolean): object {
  const { id, createdS, model, inputTokens, outputTokens, finishReasons } = answer;
  const ended = isOver ? statusOf(answer) : status;
  const hasUsage = isOver && inputTokens !== null && outputTokens !== null;
  return {
    id: `resp_${id}`,
    object: 'response',
    created_at: createdS,
    status: ended,
    error: null,
    incomplete_details: ended === 'incomplete' ? { reason: finishReasons[0] } : null,
    instructions: null,
    metadata: {},
    model,
    output,
    parallel_tool_calls: true,
    temperature: null,
    tool_choice: 'auto',
    tools: [],
    top_p: null,
    usage: hasUsage
      ? {
          input_tokens: inputTokens,
          input_tokens_details: { cached_tokens: 0 },
          output_tokens: outputTokens,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: inputTokens + outputTokens,
        }
      : null,
  };
}
