import { A } from '../../src/span/attributes.ts';
import type { Attributes } from '../../src/span/span.ts';
import type { Content } from '../admit/content-names.ts';
import { type Alias, CLAUDE_CODE_INPUT, type Sum } from '../admit/conventions.ts';

/**
 * What coding agents call their own events, and what these say in our words. An agent that only sends events is seen
 * through these alone: a call or a tool call each becomes a span.
 *
 * Sources: Claude Code, https://code.claude.com/docs/en/monitoring-usage and what 2.1.197 sends; Codex,
 * `codex-rs/otel/src/events/session_telemetry.rs` of github.com/openai/codex; Gemini CLI, `docs/cli/telemetry.md` of
 * github.com/google-gemini/gemini-cli.
 */
export interface CodingAgent {
  /** What its events' names begin with. */
  prefix: string;
  /** The agent's name where its events name none. */
  name: string;
  /** As the conventions call it; `''` where the agent talks to several and does not say to which. */
  provider: string;
  /** Which attribute says in which session it happened: a session is a run. */
  session: string;
  /** By the rest of the event's name. */
  events: ReadonlyMap<string, AgentEvent>;
  aliases: readonly Alias[];
  /** Counts that the conventions have as one. */
  sums: readonly Sum[];
  /** Prompts and answers, which are messages. */
  texts: readonly (readonly [from: string, to: string])[];
  /** What else quotes what was said or done, by its name. */
  contents: ReadonlyMap<string, Content>;
}

export interface AgentEvent {
  kind: 'call' | 'tool' | 'prompt' | 'answer';
  /** Whether the event says what `kind` says; always where this is not given. */
  when?: (attributes: Attributes) => boolean;
  failed?: (attributes: Attributes) => boolean;
}

const contents = (...names: string[]): ReadonlyMap<string, Content> =>
  new Map(names.map((from) => [from, { from, form: 'json', role: '' }]));

const always = () => true;
const notSuccess = (attributes: Attributes) => attributes['success'] === 'false';

const CLAUDE_CODE: CodingAgent = {
  prefix: 'claude_code.',
  name: 'claude-code',
  provider: 'anthropic', // whose API it speaks, whoever serves it
  session: 'session.id',
  events: new Map<string, AgentEvent>([
    ['user_prompt', { kind: 'prompt' }],
    ['assistant_response', { kind: 'answer' }],
    ['api_request', { kind: 'call' }],
    ['api_error', { kind: 'call', failed: always }], // one a call, when it was given up
    ['tool_result', { kind: 'tool', failed: notSuccess }],
  ]),
  aliases: [
    { to: A.requestModel, form: 'name', from: ['model'] },
    { to: A.toolName, form: 'name', from: ['tool_name'] },
    { to: A.toolCallId, form: 'name', from: ['tool_use_id'] },
    { to: A.outputTokens, form: 'count', from: ['output_tokens'] },
    { to: A.cacheReadTokens, form: 'count', from: ['cache_read_tokens'] },
    { to: A.cacheWriteTokens, form: 'count', from: ['cache_creation_tokens'] },
    { to: A.costUsd, form: 'amount', from: ['cost_usd'] },
    { to: A.httpStatus, form: 'count', from: ['status_code'] },
  ],
  sums: [CLAUDE_CODE_INPUT],
  texts: [
    ['prompt', A.inputText],
    ['response', A.outputText],
  ],
  contents: contents('tool_input', 'tool_parameters', 'body'),
};

const CODEX: CodingAgent = {
  prefix: 'codex.',
  name: 'codex',
  provider: '',
  session: 'conversation.id',
  events: new Map<string, AgentEvent>([
    ['user_prompt', { kind: 'prompt' }],
    // A call is over when its stream is, or when it never came to one: then each attempt says so.
    [
      'sse_event',
      {
        kind: 'call',
        when: (a) => 'input_token_count' in a || 'error.message' in a,
        failed: (a) => 'error.message' in a,
      },
    ],
    ['api_request', { kind: 'call', when: (a) => 'error.message' in a, failed: always }],
    ['tool_result', { kind: 'tool', failed: notSuccess }],
  ]),
  aliases: [
    { to: A.requestModel, form: 'name', from: ['model'] },
    { to: A.conversationId, form: 'name', from: ['conversation.id'] },
    { to: A.toolName, form: 'name', from: ['tool_name'] },
    { to: A.toolCallId, form: 'name', from: ['call_id'] },
    { to: A.inputTokens, form: 'count', from: ['input_token_count'] }, // cached ones are in it
    { to: A.outputTokens, form: 'count', from: ['output_token_count'] }, // so is the reasoning
    { to: A.cacheReadTokens, form: 'count', from: ['cached_token_count'] },
    { to: A.reasoningTokens, form: 'count', from: ['reasoning_token_count'] },
  ],
  sums: [],
  texts: [['prompt', A.inputText]],
  contents: contents('arguments', 'output'),
};

const GEMINI_CLI: CodingAgent = {
  prefix: 'gemini_cli.',
  name: 'gemini-cli',
  provider: 'gcp.gen_ai',
  session: 'session.id',
  events: new Map<string, AgentEvent>([
    ['user_prompt', { kind: 'prompt' }],
    ['api_response', { kind: 'call' }],
    ['api_error', { kind: 'call', failed: always }],
    ['tool_call', { kind: 'tool', failed: notSuccess }],
  ]),
  aliases: [
    { to: A.requestModel, form: 'name', from: ['model'] },
    { to: A.toolName, form: 'name', from: ['function_name'] },
    { to: A.inputTokens, form: 'count', from: ['input_token_count'] }, // cached ones are in it
    { to: A.cacheReadTokens, form: 'count', from: ['cached_content_token_count'] },
    { to: A.reasoningTokens, form: 'count', from: ['thoughts_token_count'] },
    { to: A.httpStatus, form: 'count', from: ['status_code'] },
  ],
  sums: [{ to: A.outputTokens, first: 'output_token_count', others: ['thoughts_token_count'] }],
  texts: [
    ['prompt', A.inputText],
    ['response_text', A.outputText],
  ],
  contents: contents('function_args', 'request_text'),
};

const AGENTS = [CLAUDE_CODE, CODEX, GEMINI_CLI];

/** The coding agent that an event of this name comes from. */
export const agentOf = (eventName: string): CodingAgent | undefined =>
  AGENTS.find(({ prefix }) => eventName.startsWith(prefix));

/** What an event says; `undefined` for one that becomes nothing but its row. */
export function eventOf(
  { prefix, events }: CodingAgent,
  eventName: string,
  attributes: Attributes,
): AgentEvent | undefined {
  const event = events.get(eventName.slice(prefix.length));
  return event?.when && !event.when(attributes) ? undefined : event;
}
