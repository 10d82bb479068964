import type {
  Message,
  ModelCall,
  Part,
  Recording,
  Statement,
  Step,
  ToolCall,
} from '../../src/replay/recording.ts';

/** Recorded runs made by hand: what a test does not speak of is the same in all of them. */

export const text = (role: string, content: string): Message => ({
  role,
  parts: [{ type: 'text', content }],
});

export const toolUse = (name: string, args: unknown, id = 'call_1'): Part => ({
  type: 'tool_call',
  id,
  name,
  arguments: typeof args === 'string' ? args : JSON.stringify(args),
});

export const toolResult = (response: string, id = 'call_1'): Message => ({
  role: 'tool',
  parts: [{ type: 'tool_call_response', id, response }],
});

const place = {
  spanId: '',
  agent: 'maker',
  role: 'maker',
  parentAgent: '',
  durationMs: 100,
  error: null,
} as const;

export const call = (given: Partial<ModelCall> = {}): ModelCall => ({
  ...place,
  kind: 'call',
  atMs: 0,
  provider: 'openai',
  api: 'chat_completions',
  stream: false,
  model: 'gpt-4o',
  servedModel: 'gpt-4o-2024-08-06',
  parameters: {},
  promptVersion: null,
  toolsVersion: null,
  toolDefinitions: null,
  input: [],
  output: [],
  finishReasons: ['stop'],
  inputTokens: 10,
  outputTokens: 5,
  costUsd: 0.001,
  firstChunkMs: null,
  pieces: null,
  ...given,
});

export const tool = (given: Partial<ToolCall> = {}): ToolCall => ({
  ...place,
  kind: 'tool',
  atMs: 0,
  tool: 'search',
  callId: 'call_1',
  arguments: '{}',
  result: '',
  ...given,
});

export const statement = (given: Partial<Statement> = {}): Statement => ({
  ...place,
  kind: 'verdict',
  atMs: 0,
  name: 'reviewer',
  pass: true,
  ...given,
});

/** A run of these steps, a second apart. */
export const recording = (steps: readonly Step[], given: Partial<Recording> = {}): Recording => ({
  loop: 'nightly',
  run: 'r-1',
  traceId: '0'.repeat(32),
  replayOf: null,
  startedAt: Date.UTC(2026, 4, 15),
  durationMs: steps.length * 1000,
  state: 'ended',
  versions: { model: null, servedModel: null, prompt: null, tools: null, checker: null },
  verdict: null,
  goldenScore: null,
  itemId: null,
  inputTokens: null,
  outputTokens: null,
  costUsd: null,
  steps: steps.map((step, i) => ({ ...step, atMs: i * 1000 })),
  gaps: [],
  ...given,
});

/** What a model answers, and what the tools that it uses are given and give. */
export interface Turn {
  answer: string;
  uses?: { tool: string; arguments: unknown; result: string }[];
}

/**
 * A run of one agent: what it is told, and then in turn what the model answers and which tools that uses. Every call is
 * asked with the whole history before it.
 */
export function conversation(
  opening: readonly Message[],
  turns: readonly {
    answer: string;
    uses?: readonly { tool: string; arguments: unknown; result: string }[];
  }[],
  given: Partial<Recording> = {},
): Recording {
  const history = [...opening];
  const steps: Step[] = [];
  turns.forEach(({ answer, uses = [] }, turn) => {
    const id = (n: number) => `call_${turn}_${n}`;
    const parts: Part[] = [
      { type: 'text', content: answer },
      ...uses.map((use, n) => toolUse(use.tool, use.arguments, id(n))),
    ];
    const output: Message = { role: 'assistant', parts };
    steps.push(
      call({
        input: [...history],
        output: [output],
        finishReasons: [uses.length > 0 ? 'tool_calls' : 'stop'],
      }),
    );
    history.push(output);
    uses.forEach((use, n) => {
      steps.push(
        tool({ tool: use.tool, callId: id(n), arguments: JSON.stringify(use.arguments), result: use.result }),
      );
      history.push(toolResult(use.result, id(n)));
    });
  });
  return recording(steps, given);
}
