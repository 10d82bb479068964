import type { ModelCall } from '../recording.ts';
import type { ModelAnswer } from './ports.ts';
import { chat } from './wire/chat.ts';
import { messages } from './wire/messages.ts';
import { responses } from './wire/responses.ts';
import { type Api, customToolsOf, type Frame, type Wire, type WireAnswer } from './wire/wire.ts';

/** The three APIs that a record is served in. */
export const WIRES: Readonly<Record<Api, Wire>> = { chat_completions: chat, responses, messages };

/** The API that a recorded call is asked again in: its own, else the one that its provider is known for. */
export const apiOf = ({ api, provider }: Pick<ModelCall, 'api' | 'provider'>): Api =>
  api ?? (provider === 'anthropic' ? 'messages' : 'chat_completions');

/** How an answer reaches a loop. */
export interface Rendered {
  isStream: boolean;
  frames: readonly Frame[];
  body: string;
}

/** A recorded answer in the words of the API that it is asked in. */
export function render(
  api: Api,
  answer: ModelAnswer,
  recorded: ModelCall,
  asked: { stream: boolean; streamUsage: boolean; createdS: number },
): Rendered {
  const out: WireAnswer = {
    id: recorded.spanId.padStart(24, '0'),
    createdS: asked.createdS,
    model: answer.servedModel ?? recorded.model,
    output: answer.output,
    // Each API has its own words; those of another say nothing in it.
    finishReasons: api === apiOf(recorded) ? answer.finishReasons : [],
    inputTokens: answer.inputTokens,
    outputTokens: answer.outputTokens,
    customTools: customToolsOf(recorded.toolDefinitions),
    pieces: recorded.pieces?.map(([, chars]) => chars),
    streamUsage: asked.streamUsage,
  };
  const wire = WIRES[api];
  return asked.stream
    ? { isStream: true, frames: wire.frames(out), body: '' }
    : { isStream: false, frames: [], body: JSON.stringify(wire.document(out)) };
}
