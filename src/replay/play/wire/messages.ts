import type { Message, Part } from '../../recording.ts';
import { isSystem } from '../message-parts.ts';
import { parametersFor } from './parameters.ts';
import {
  asText,
  cutter,
  type Frame,
  namedFrame,
  parseArguments,
  parseList,
  type Wire,
  type WireAnswer,
} from './wire.ts';

/** Anthropic's messages. */
export const messages: Wire = {
  path: '/v1/messages',

  request: (call) => {
    const system = call.input.filter(isSystem).flatMap(({ parts }) => parts.map(block));
    const tools = parseList(call.toolDefinitions);
    return {
      model: call.model,
      ...(system.length > 0 && { system }),
      messages: call.input
        .filter((message) => !isSystem(message))
        .map(({ role, parts }) => ({
          role: role === 'tool' ? 'user' : role,
          // Thinking is signed, and not kept with its signature.
          content: parts.filter(({ type }) => type !== 'reasoning').map(block),
        })),
      ...(tools.length > 0 && { tools }),
      ...parametersFor('messages', call),
    };
  },

  document: (answer) => ({
    ...head(answer),
    content: blocks(answer.output),
    stop_reason: stopReason(answer),
    stop_sequence: null,
    usage: { input_tokens: answer.inputTokens ?? 0, output_tokens: answer.outputTokens ?? 0 },
  }),

  frames(answer) {
    const cut = cutter(answer.pieces);
    const usage = {
      input_tokens: answer.inputTokens ?? 0,
      output_tokens: Math.min(1, answer.outputTokens ?? 0),
    };
    const message = { ...head(answer), content: [], stop_reason: null, stop_sequence: null, usage };
    return [
      namedFrame('message_start', { message }),
      ...blocks(answer.output).flatMap((content, index) => blockFrames(content, index, cut)),
      namedFrame('message_delta', {
        delta: { stop_reason: stopReason(answer), stop_sequence: null },
        usage: { output_tokens: answer.outputTokens ?? 0 },
      }),
      namedFrame('message_stop', {}),
    ];
  },
};

type Block = Record<string, unknown>;

const blocks = (output: readonly Message[]): Block[] => output.flatMap(({ parts }) => parts.map(block));

function block(part: Part): Block {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: asText(part['content']) };
    case 'reasoning':
      return { type: 'thinking', thinking: asText(part['content']), signature: '' };
    case 'tool_call':
      return {
        type: 'tool_use',
        id: part['id'],
        name: part['name'],
        input: parseArguments(part['arguments']),
      };
    case 'tool_call_response':
      return { type: 'tool_result', tool_use_id: part['id'], content: part['response'] };
    default:
      return part;
  }
}

function blockFrames(content: Block, index: number, cut: (text: string) => string[]): Frame[] {
  const frame = (opening: Block, deltas: Frame[]): Frame[] => [
    namedFrame('content_block_start', { index, content_block: opening }),
    ...deltas,
    namedFrame('content_block_stop', { index }),
  ];
  const deltas = (type: string, field: string, text: string) =>
    cut(text).map((piece) =>
      namedFrame('content_block_delta', { index, delta: { type, [field]: piece } }, piece.length),
    );
  switch (content['type']) {
    case 'text':
      return frame({ type: 'text', text: '' }, deltas('text_delta', 'text', asText(content['text'])));
    case 'thinking':
      return frame(
        { type: 'thinking', thinking: '', signature: '' },
        deltas('thinking_delta', 'thinking', asText(content['thinking'])),
      );
    case 'tool_use':
      return frame(
        { ...content, input: {} },
        deltas('input_json_delta', 'partial_json', JSON.stringify(content['input'])),
      );
    default:
      return frame(content, []);
  }
}

const head = ({ id, model }: WireAnswer) => ({ id: `msg_${id}`, type: 'message', role: 'assistant', model });

const stopReason = ({ finishReasons, output }: WireAnswer): string =>
  finishReasons[0] ??
  (output.some(({ parts }) => parts.some(({ type }) => type === 'tool_call')) ? 'tool_use' : 'end_turn');
