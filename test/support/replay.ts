import type { Message, ModelCall, Part, Recording, Step, ToolCall } from '../../src/replay/recording.ts';

/** Recordings for tests, written down call by call. */

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
