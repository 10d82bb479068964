import { A } from '../../src/span/attributes.ts';

/**
 * Who says what was said under which name: the attributes and events of spans and log records that hold prompts, answers
 * and what tools were given and gave. Everything else is fact about them, and stays where it is.
 *
 * Sources: OpenTelemetry's GenAI conventions, of today and before 1.37; OpenInference `spec/semantic_conventions.md`;
 * OpenLLMetry `ai-semantic-conventions`; the telemetry of the AI SDK (3 to 7), Claude Code
 * (https://code.claude.com/docs/en/monitoring-usage), Google's ADK and Pydantic AI.
 */
export interface Content {
  /** The attribute; of numbered ones, what comes before the number. */
  from: string;
  /**
   * `text` is one message; what tools were given and gave is one, as a replay needs it as it was. `json` is taken apart: a
   * list of messages into these, anything else into the objects that are in its lists and what remains around them.
   * `numbered` is a message a number, each a handful of attributes.
   */
  form: 'text' | 'json' | 'numbered';
  /** Whose it is where it does not say so itself. */
  role: string;
  /** Where its hashes go, for what we have a name of our own for. */
  to?: string;
}

const text = (from: string, role: string, to?: string): Content => ({
  from,
  form: 'text',
  role,
  ...(to && { to }),
});
const json = (from: string, role: string, to?: string): Content => ({
  from,
  form: 'json',
  role,
  ...(to && { to }),
});
const numbered = (from: string, role: string, to?: string): Content => ({
  from,
  form: 'numbered',
  role,
  ...(to && { to }),
});

/** Names that mean this wherever they are. Of several for one place of ours the first that is there has it. */
const ANYWHERE: readonly Content[] = [
  text(A.inputText, 'user', A.inputTextHash),
  text(A.outputText, 'assistant', A.outputTextHash),
  json(A.inputMessages, '', A.inputMessageHashes),
  json(A.outputMessages, '', A.outputMessageHashes),
  json(A.systemInstructions, 'system'),
  text('gen_ai.tool.definitions', ''),
  text('gen_ai.tool.call.arguments', ''),
  text('gen_ai.tool.call.result', 'tool'),
  json('gen_ai.retrieval.documents', ''),
  text('gen_ai.retrieval.query.text', ''),
  // Before 1.37, on spans or on their events.
  json('gen_ai.prompt', '', A.inputMessageHashes),
  json('gen_ai.completion', '', A.outputMessageHashes),
  json('gen_ai.event.content', ''),
  // OpenLLMetry
  numbered('gen_ai.prompt.', '', A.inputMessageHashes),
  numbered('gen_ai.completion.', '', A.outputMessageHashes),
  numbered('llm.request.functions.', ''),
  json('traceloop.entity.input', ''),
  json('traceloop.entity.output', ''),
  json('traceloop.prompt.template', ''),
  json('traceloop.prompt.template_variables', ''),
  // OpenInference
  numbered('llm.input_messages.', '', A.inputMessageHashes),
  numbered('llm.output_messages.', '', A.outputMessageHashes),
  numbered('llm.prompts.', 'user'),
  numbered('llm.choices.', 'assistant'),
  numbered('llm.tools.', ''),
  json('llm.invocation_parameters', ''), // system instructions and tools are among them
  json('llm.prompt_template.template', ''),
  json('llm.prompt_template.variables', ''),
  json('llm.function_call', 'assistant'),
  // The AI SDK
  json('ai.prompt.messages', '', A.inputMessageHashes),
  json('ai.prompt', ''),
  json('ai.prompt.tools', ''),
  text('ai.response.text', 'assistant'),
  json('ai.response.object', 'assistant'),
  json('ai.response.toolCalls', 'assistant'),
  text('ai.response.reasoning', 'assistant'),
  json('ai.response.files', 'assistant'),
  text('ai.result.text', 'assistant'),
  json('ai.result.object', 'assistant'),
  json('ai.result.toolCalls', 'assistant'),
  text('ai.toolCall.args', ''),
  text('ai.toolCall.result', 'tool'),
  json('ai.schema', ''),
  json('ai.value', ''),
  json('ai.values', ''),
  text('ai.embedding', ''),
  text('ai.embeddings', ''),
  json('ai.documents', ''),
  // Google's ADK
  json('gcp.vertex.agent.llm_request', ''),
  json('gcp.vertex.agent.llm_response', ''),
  text('gcp.vertex.agent.tool_call_args', ''),
  text('gcp.vertex.agent.tool_response', 'tool'),
  json('gcp.vertex.agent.data', ''),
  // Pydantic AI
  json('pydantic_ai.all_messages', ''),
];

/** Names that others may use for something else: they mean this on GenAI spans alone. */
const ON_GENAI_SPANS: readonly Content[] = [
  // OpenInference
  json('input.value', ''),
  json('output.value', ''),
  json('tool.parameters', ''),
  json('tool.json_schema', ''),
  json('tool_call.function.arguments', ''),
  json('document.content', ''),
  text('reranker.query', ''),
  text('embedding.text', ''),
  text('embedding.vector', ''),
  numbered('retrieval.documents.', ''),
  numbered('reranker.input_documents.', ''),
  numbered('reranker.output_documents.', ''),
  numbered('embedding.embeddings.', ''),
  // Claude Code
  text('user_prompt', 'user'),
  text('user_system_prompt', 'system'),
  text('system_prompt_preview', 'system'),
  json('system_reminders', ''),
  json('new_context', ''),
  text('response.model_output', 'assistant'),
  text('tool_input', ''),
  text('full_command', ''),
  // Pydantic AI
  json('all_messages_events', ''),
  json('events', ''),
  json('final_result', 'assistant'),
  text('tool_arguments', ''),
  text('tool_response', 'tool'),
  json('model_request_parameters', ''),
];

const byName = (all: readonly Content[], form: 'numbered' | 'single') =>
  new Map(all.filter((c) => (c.form === 'numbered') === (form === 'numbered')).map((c) => [c.from, c]));

const SINGLE = byName(ANYWHERE, 'single');
const NUMBERED = byName(ANYWHERE, 'numbered');
const GENAI_SINGLE = byName(ON_GENAI_SPANS, 'single');
const GENAI_NUMBERED = byName(ON_GENAI_SPANS, 'numbered');

const RANKS = new Map([...ANYWHERE, ...ON_GENAI_SPANS].map((content, rank) => [content, rank]));
/** By the order of the tables; what is in none of them comes last. */
export const byRank = (a: Content, b: Content): number => rankOf(a) - rankOf(b);
const rankOf = (content: Content) => RANKS.get(content) ?? RANKS.size;

const PREFIX = new RegExp(
  `^(?:${[...NUMBERED.keys(), ...GENAI_NUMBERED.keys()].map((p) => p.replaceAll('.', '\\.')).join('|')})`,
);
/** Of a numbered attribute: how an answer ended, and what a filter thought of it, is nothing that was said. */
const FACT = /\.(?:finish_reason|(?:prompt|content)_filter_results?)$/;

/** What an attribute of this name holds; `undefined` where that is no content. `isGenAi` says whether its span is one. */
export function contentOf(name: string, isGenAi: boolean): Content | undefined {
  const single = SINGLE.get(name) ?? (isGenAi ? GENAI_SINGLE.get(name) : undefined);
  if (single) return single;
  const prefix = PREFIX.exec(name)?.[0];
  if (prefix === undefined || FACT.test(name)) return undefined;
  return NUMBERED.get(prefix) ?? (isGenAi ? GENAI_NUMBERED.get(prefix) : undefined);
}

/** Events that are a message, older conventions' each of one role, and whose they are. */
export function eventRole(eventName: string, isGenAi: boolean): string | undefined {
  const known = EVENTS.get(eventName) ?? (isGenAi ? GENAI_EVENTS.get(eventName) : undefined);
  return known ?? MESSAGE_EVENT.exec(eventName)?.[1];
}

const MESSAGE_EVENT = /^gen_ai\.([a-z_]{1,32})\.message$/;
/** The event that tells of a whole call at once. */
export const DETAILS_EVENT = 'gen_ai.client.inference.operation.details';
const EVENTS: ReadonlyMap<string, string> = new Map([
  ['gen_ai.choice', 'assistant'],
  ['gen_ai.content.prompt', 'user'],
  ['gen_ai.content.completion', 'assistant'],
]);
/** Claude Code's, with what a tool was given and gave. */
const GENAI_EVENTS: ReadonlyMap<string, string> = new Map([
  ['tool.input', ''],
  ['tool.output', 'tool'],
]);

/** Whether an attribute, or an event, of this name may hold content: its span must be looked at as a whole. */
export const mayBeContent = (name: string): boolean =>
  contentOf(name, true) !== undefined || eventRole(name, true) !== undefined;

const EVENT_FACT =
  /^(?:index|id|finish_reason|event\.(?:name|domain|timestamp)|error\.type|server\.(?:address|port)|(?:loopscope|gen_ai\.(?:request|response|usage|agent|conversation))\..+|gen_ai\.(?:system|provider\.name|operation\.name|output\.type|tool\.(?:name|type|call\.id)))$/;

/** Whether an attribute of a message's event says something about the message, and is no part of it. */
export const isEventFact = (name: string): boolean => EVENT_FACT.test(name);

/** What senders put in place of content that they keep to themselves. */
export const REDACTED: ReadonlySet<string> = new Set(['<REDACTED>', '[REDACTED]', '__REDACTED__']);
