import { recordSpanId, runTraceId } from '../../span/ids.ts';
import type { Message, ModelCall, Part, Recording, Step, ToolCall } from '../recording.ts';
import { Gaps } from './gaps.ts';
import { readMessages, textPart } from './messages.ts';
import { textOf } from './tool-calls.ts';

/** A message as OpenAI's chat completions have it. What is not there is not looked for. */
export interface ChatMessage {
  role: string;
  content?: unknown;
  tool_calls?: readonly ChatToolCall[] | null;
  tool_call_id?: string | null;
  name?: string | null;
}

export interface ChatToolCall {
  id?: string | null;
  function: { name: string; arguments: string };
}

export interface ChatOptions {
  loop: string;
  run: string;
  /** `''` where nobody knows. */
  model?: string;
  /** Milliseconds since the epoch; nothing of a list of messages says when they were. */
  startedAt?: number;
  goldenScore?: number | null;
  itemId?: string | null;
}

/** No conversation says how long anything took: a model is given this long to answer, a tool this long. */
const CALL_MS = 1_000;
const TOOL_MS = 100;
/** 2024-01-01, for conversations that say nothing of when they were. */
const SOME_DAY = 1_704_067_200_000;

/**
 * A conversation as the run of a maker that had it: each message of the assistant is one model call, asked with all that
 * came before it; each tool call is carried out when its result stands in the conversation. Ids and times follow from
 * the names and places alone, so that the same conversation always gives the same recording.
 */
export function chatToRecording(messages: readonly ChatMessage[], options: ChatOptions): Recording {
  const { loop, run, model = '', startedAt = SOME_DAY, goldenScore = null, itemId = null } = options;
  const traceId = runTraceId(loop, run);
  const steps: Step[] = [];
  const history: Message[] = [];
  /** Tools that have no result yet. */
  let open: ToolCall[] = [];
  let atMs = 0;
  const next = (durationMs: number) => {
    const spanId = recordSpanId(traceId, 'step', String(steps.length));
    const step = { ...MAKER, spanId, atMs, durationMs };
    atMs += durationMs;
    return step;
  };
  for (const message of messages) {
    const said = toMessage(message);
    if (message.role === 'assistant') {
      const asked = message.tool_calls ?? [];
      const finish = asked.length > 0 ? 'tool_calls' : 'stop';
      const output = { ...said, finish_reason: finish };
      steps.push({
        ...CALL,
        ...next(CALL_MS),
        model,
        input: [...history],
        output: [output],
        finishReasons: [finish],
      });
      for (const { id, function: fn } of asked) {
        const tool: ToolCall = {
          kind: 'tool',
          ...next(TOOL_MS),
          tool: fn.name,
          callId: id ?? '',
          arguments: fn.arguments,
          result: null,
        };
        steps.push(tool);
        open.push(tool);
      }
    } else if (message.role === 'tool') {
      const answered = open.find(({ callId }) => callId === (message.tool_call_id ?? ''));
      if (answered) answered.result = textOf(message.content) ?? '';
      open = open.filter((tool) => tool !== answered);
    }
    history.push(said);
  }
  const gaps = new Gaps();
  for (const tool of open) gaps.add('tool_result', 'not_recorded', tool);
  return {
    loop,
    run,
    traceId,
    replayOf: null,
    startedAt,
    durationMs: atMs,
    state: 'ended',
    versions: { model: model || null, servedModel: null, prompt: null, tools: null, checker: null },
    verdict: null,
    goldenScore,
    itemId,
    inputTokens: null,
    outputTokens: null,
    costUsd: null,
    steps,
    gaps: gaps.list(steps),
  };
}

const MAKER = { agent: 'maker', role: 'maker', parentAgent: '', error: null } as const;

/** What a conversation does not say of a model call. */
const CALL = {
  kind: 'call',
  provider: '',
  api: 'chat_completions',
  stream: false,
  servedModel: null,
  parameters: {},
  promptVersion: null,
  toolsVersion: null,
  toolDefinitions: null,
  inputTokens: null,
  outputTokens: null,
  costUsd: null,
  firstChunkMs: null,
  pieces: null,
} as const satisfies Partial<ModelCall>;

/** As the gateway reads it. */
function toMessage({ role, content, tool_calls, tool_call_id }: ChatMessage): Message {
  if (role === 'tool')
    return { role, parts: [{ type: 'tool_call_response', id: tool_call_id ?? '', response: content ?? '' }] };
  const parts: Part[] = typeof content === 'string' ? [textPart(content)] : [];
  if (Array.isArray(content)) parts.push(...readMessages(role, JSON.stringify({ role, content }))[0]!.parts);
  for (const { id, function: fn } of tool_calls ?? [])
    parts.push({ type: 'tool_call', id: id ?? '', name: fn.name, arguments: fn.arguments });
  return { role, parts };
}
