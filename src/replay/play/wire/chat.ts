import type { Message, Part } from '../../recording.ts';
import { jsonText } from '../message-parts.ts';
import type { FreshCall } from '../ports.ts';
import { parametersFor } from './parameters.ts';
import { asText, cutter, dataFrame, type Frame, parseList, type Wire, type WireAnswer } from './wire.ts';

/** OpenAI's chat completions. */
export const chat: Wire = {
  path: '/chat/completions',

  request: (call) => ({
    model: call.model,
    messages: call.input.flatMap(chatMessages),
    ...tools(call),
    ...parametersFor('chat_completions', call),
  }),

  document: (answer) => ({
    ...head(answer, 'chat.completion'),
    choices: answer.output.map((message, index) => ({
      index,
      message: { role: 'assistant', refusal: null, ...said(answer, message.parts) },
      logprobs: null,
      finish_reason: finishReason(answer, message, index),
    })),
    ...usage(answer),
  }),

  frames(answer) {
    const base = head(answer, 'chat.completion.chunk');
    const pending = answer.streamUsage ? { usage: null } : {};
    const chunk = (index: number, delta: object, chars = 0, reason: string | null = null) =>
      dataFrame(
        { ...base, choices: [{ index, delta, logprobs: null, finish_reason: reason }], ...pending },
        chars,
      );
    const cut = cutter(answer.pieces);
    const frames = answer.output.flatMap((message, index): Frame[] => {
      const { content, tool_calls = [], reasoning_content, refusal } = said(answer, message.parts);
      return [
        chunk(index, { role: 'assistant', content: content === null ? null : '', refusal: null }),
        ...cut(reasoning_content ?? '').map((piece) =>
          chunk(index, { reasoning_content: piece }, piece.length),
        ),
        ...cut(content ?? '').map((piece) => chunk(index, { content: piece }, piece.length)),
        ...cut(refusal ?? '').map((piece) => chunk(index, { refusal: piece }, piece.length)),
        ...tool_calls.flatMap((call, i) =>
          toolFrames(call, i, cut, (delta, chars) => chunk(index, delta, chars)),
        ),
        chunk(index, {}, 0, finishReason(answer, message, index)),
      ];
    });
    const { usage: used } = usage(answer);
    const last = answer.streamUsage && used ? [dataFrame({ ...base, choices: [], usage: used })] : [];
    return [...frames, ...last, { text: 'data: [DONE]\n\n', chars: 0 }];
  },
};

interface Said {
  content: string | null;
  tool_calls?: ChatToolCall[];
  reasoning_content?: string;
  refusal?: string;
}

type ChatToolCall =
  | { id: unknown; type: 'function'; function: { name: unknown; arguments: string } }
  | { id: unknown; type: 'custom'; custom: { name: unknown; input: string } };

function toolFrames(
  call: ChatToolCall,
  index: number,
  cut: (text: string) => string[],
  chunk: (delta: object, chars: number) => Frame,
): Frame[] {
  const { id, type } = call;
  const delta = (part: object, chars: number) => chunk({ tool_calls: [{ index, ...part }] }, chars);
  if (call.type === 'custom')
    return [
      delta({ id, type, custom: { name: call.custom.name, input: '' } }, 0),
      ...cut(call.custom.input).map((input) => delta({ custom: { input } }, input.length)),
    ];
  return [
    delta({ id, type, function: { name: call.function.name, arguments: '' } }, 0),
    ...cut(call.function.arguments).map((piece) => delta({ function: { arguments: piece } }, piece.length)),
  ];
}

/** What the assistant says, as a message has it. */
function said({ customTools }: Pick<WireAnswer, 'customTools'>, parts: readonly Part[]): Said {
  const textOf = (type: string) =>
    parts.flatMap((part) => (part.type === type ? [asText(part['content'])] : [])).join('');
  const calls = parts
    .filter(({ type }) => type === 'tool_call')
    .map(({ id, name, arguments: given }): ChatToolCall => {
      const text = jsonText(given ?? '');
      return customTools.has(asText(name))
        ? { id, type: 'custom', custom: { name, input: text } }
        : { id, type: 'function', function: { name, arguments: text } };
    });
  const hasText = parts.some(({ type }) => type === 'text');
  const reasoning = textOf('reasoning');
  const refusal = textOf('refusal');
  return {
    content: hasText ? textOf('text') : null,
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(refusal !== '' && { refusal }),
  };
}

/** A message as it is sent; results of tools are a message each. */
function chatMessages({ role, parts }: Message): object[] {
  if (role === 'assistant') {
    const { reasoning_content: _, ...message } = said({ customTools: new Set() }, parts);
    return [{ role, ...message }];
  }
  const results = parts
    .filter(({ type }) => type === 'tool_call_response')
    .map(({ id, response }) => ({ role: 'tool', tool_call_id: id, content: contentOf(response) }));
  const rest = parts.filter(({ type }) => type !== 'tool_call_response');
  if (rest.length === 0) return results;
  const texts = rest.map((part) =>
    part.type === 'text' ? { type: 'text', text: part['content'] } : (part as object),
  );
  const only = rest.length === 1 && rest[0]!.type === 'text';
  return [...results, { role, content: only ? rest[0]!['content'] : texts }];
}

const contentOf = (response: unknown) => (Array.isArray(response) ? response : jsonText(response));

const tools = ({ toolDefinitions }: FreshCall): object => {
  const list = parseList(toolDefinitions);
  if (list.length === 0) return {};
  // Before there were tools there were functions, which have no type.
  return list.every((tool) => tool['type'] === undefined) ? { functions: list } : { tools: list };
};

const finishReason = (answer: WireAnswer, { parts, finish_reason }: Message, index: number): string =>
  finish_reason ??
  answer.finishReasons[index] ??
  (parts.some(({ type }) => type === 'tool_call') ? 'tool_calls' : 'stop');

const head = ({ id, createdS, model }: WireAnswer, object: string) => ({
  id: `chatcmpl-${id}`,
  object,
  created: createdS,
  model,
});

function usage({ inputTokens, outputTokens }: WireAnswer): { usage?: object } {
  if (inputTokens === null || outputTokens === null) return {};
  return {
    usage: {
      prompt_tokens: inputTokens,
      completion_tokens: outputTokens,
      total_tokens: inputTokens + outputTokens,
    },
  };
}
