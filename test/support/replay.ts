import type { Message, ModelCall, Part, Recording, Step, ToolCall } from '../../src/replay/recording.ts';

/** Recordings for tests: written down call by call, or read from a chat. */

export const text = (role: string, content: string): Message => ({
  role,
  parts: [{ type: 'text', content }],
});

export const toolCall = (id: string, name: string, args: unknown): Part => ({
  type: 'tool_call',
  id,
  name,
  arguments: typeof args === 'string' ? args : JSON.stringify(args),
});

export const asks = (...parts: Part[]): Message => ({ role: 'assistant', parts });

export const toolResult = (id: string, response: unknown): Message => ({
  role: 'tool',
  parts: [{ type: 'tool_call_response', id, response }],
});

export const call = (
  input: Message[] | null,
  output: Message[] | null,
  more: Partial<ModelCall> = {},
): ModelCall => ({
  kind: 'call',
  spanId: '0000000000000001',
  agent: 'maker',
  role: 'maker',
  parentAgent: '',
  atMs: 0,
  durationMs: 1000,
  error: null,
  provider: 'openai',
  api: 'chat_completions',
  stream: false,
  model: 'gpt-4o',
  servedModel: 'gpt-4o-2024-05-13',
  parameters: {},
  promptVersion: 'p1',
  toolsVersion: null,
  toolDefinitions: null,
  input,
  output,
  finishReasons: ['stop'],
  inputTokens: 10,
  outputTokens: 5,
  costUsd: 0.001,
  firstChunkMs: 300,
  pieces: null,
  ...more,
});

export const tool = (
  name: string,
  callId: string,
  args: unknown,
  result: string | null,
  more: Partial<ToolCall> = {},
): ToolCall => ({
  kind: 'tool',
  spanId: '0000000000000002',
  agent: 'maker',
  role: 'maker',
  parentAgent: '',
  atMs: 0,
  durationMs: 100,
  error: null,
  tool: name,
  callId,
  arguments: typeof args === 'string' ? args : JSON.stringify(args),
  result,
  ...more,
});

export const recordingOf = (steps: Step[], more: Partial<Recording> = {}): Recording => ({
  loop: 'desk',
  run: 'r-1',
  traceId: '1'.padStart(32, '0'),
  replayOf: null,
  startedAt: 1_700_000_000_000,
  durationMs: 60_000,
  state: 'ended',
  versions: { model: 'gpt-4o', servedModel: 'gpt-4o-2024-05-13', prompt: 'p1', tools: null, checker: null },
  verdict: null,
  goldenScore: null,
  itemId: null,
  inputTokens: null,
  outputTokens: null,
  costUsd: 0.01,
  steps: steps.map((step, i) => ({ ...step, atMs: i * 1000 })),
  gaps: [],
  ...more,
});

/** A message as OpenAI's chat has it. */
export interface ChatMessage {
  role: string;
  content: string | null;
  tool_calls?: { id: string; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
}

/** A message of a chat as the conventions write it. */
export function fromChat({ role, content, tool_calls = [], tool_call_id = '' }: ChatMessage): Message {
  if (role === 'tool') return toolResult(tool_call_id, content);
  return {
    role,
    parts: [
      ...(content === null ? [] : [{ type: 'text', content }]),
      ...tool_calls.map(({ id, function: f }) => toolCall(id, f.name, f.arguments)),
    ],
  };
}

/** A whole chat as the run that it was: a call for each answer, a step for each tool's result. */
export function fromTrajectory(chat: readonly ChatMessage[], run: string): Recording {
  const steps: Step[] = [];
  const messages = chat.map(fromChat);
  messages.forEach((message, i) => {
    if (message.role === 'assistant') steps.push(call(messages.slice(0, i), [message]));
    if (message.role !== 'tool') return;
    const { tool_call_id: id, content } = chat[i]!;
    // Ids come again: the last use before it is the one.
    const asked = chat
      .slice(0, i)
      .flatMap((m) => m.tool_calls ?? [])
      .findLast((t) => t.id === id)!.function;
    steps.push(tool(asked.name, id!, asked.arguments, content));
  });
  return recordingOf(steps, { run });
}
