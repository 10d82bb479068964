import { A } from '../../src/span/attributes.ts';

/**
 * Who else names what we name, and how. Of several names for one thing the first that is there counts.
 *
 * Sources: OpenInference `spec/semantic_conventions.md`; OpenLLMetry `ai-semantic-conventions`, before and after it took
 * the names of OpenTelemetry; the AI SDK's telemetry of its versions 4 to 7; OpenTelemetry's GenAI conventions before
 * 1.37. The names are checked against what the libraries really send in `test/unit/collector-normalize.test.ts`.
 */

/** A span that has none of these is no GenAI span. Names that processors put on every span below are not among them. */
export const MARKERS = [
  A.operation,
  'openinference.span.kind',
  'traceloop.span.kind',
  'ai.operationId',
  'gen_ai.system',
  A.provider,
  'llm.request.type',
] as const;

/** How a value that was sent is told apart from one that says nothing, and written as the conventions have it. */
export type Form = 'name' | 'count' | 'amount' | 'list' | 'provider';

export interface Alias {
  to: string;
  from: readonly string[];
  form: Form;
}

/** On every GenAI span. */
export const ALIASES: readonly Alias[] = [
  {
    to: A.provider,
    form: 'provider',
    from: ['gen_ai.system', 'llm.provider', 'llm.system', 'ai.model.provider'],
  },
  { to: A.agentName, form: 'name', from: ['agent.name', 'ai.telemetry.functionId'] },
  { to: A.toolName, form: 'name', from: ['tool.name', 'ai.toolCall.name'] },
  { to: A.toolCallId, form: 'name', from: ['tool_call.id', 'tool.id', 'ai.toolCall.id'] },
  {
    to: A.conversationId,
    form: 'name',
    from: [
      'session.id',
      'traceloop.association.properties.session_id',
      'ai.telemetry.metadata.sessionId',
      'ai.telemetry.metadata.conversationId',
    ],
  },
];

/**
 * On model calls. Frameworks put a call's usage on the spans around it as well, some summed and some not: taken from
 * there it would be counted twice.
 */
export const CALL_ALIASES: readonly Alias[] = [
  {
    to: A.requestModel,
    form: 'name',
    from: ['llm.request.model_name', 'llm.request.model', 'ai.model.id', 'embedding.model_name'],
  },
  {
    to: A.responseModel,
    form: 'name',
    from: ['llm.response.model_name', 'llm.response.model', 'ai.response.model'],
  },
  { to: A.responseId, form: 'name', from: ['ai.response.id'] },
  {
    to: A.finishReasons,
    form: 'list',
    from: ['llm.finish_reason', 'gen_ai.completion.0.finish_reason', 'ai.response.finishReason'],
  },
  {
    to: A.inputTokens,
    form: 'count',
    from: [
      'gen_ai.usage.prompt_tokens',
      'llm.usage.prompt_tokens',
      'llm.token_count.prompt',
      'ai.usage.inputTokens',
      'ai.usage.promptTokens',
      'ai.usage.tokens', // of embeddings, which have no others
    ],
  },
  {
    to: A.outputTokens,
    form: 'count',
    from: [
      'gen_ai.usage.completion_tokens',
      'llm.usage.completion_tokens',
      'llm.token_count.completion',
      'ai.usage.outputTokens',
      'ai.usage.completionTokens',
      'output_tokens', // of Claude Code's spans, as the two below
    ],
  },
  {
    to: A.cacheReadTokens,
    form: 'count',
    from: [
      'gen_ai.usage.cache_read_input_tokens',
      'llm.token_count.prompt_details.cache_read',
      'ai.usage.inputTokenDetails.cacheReadTokens',
      'ai.usage.cachedInputTokens',
      'cache_read_tokens',
    ],
  },
  {
    to: A.cacheWriteTokens,
    form: 'count',
    from: [
      'gen_ai.usage.cache_creation.input_tokens',
      'gen_ai.usage.cache_creation_input_tokens',
      'llm.token_count.prompt_details.cache_write',
      'ai.usage.inputTokenDetails.cacheWriteTokens',
      'cache_creation_tokens',
    ],
  },
  {
    to: A.reasoningTokens,
    form: 'count',
    from: [
      'gen_ai.usage.reasoning_tokens',
      'llm.token_count.completion_details.reasoning',
      'ai.usage.outputTokenDetails.reasoningTokens',
      'ai.usage.reasoningTokens',
    ],
  },
  { to: A.costUsd, form: 'amount', from: ['llm.cost.total', 'gen_ai.usage.cost'] },
];

/** Counts that the conventions have as one. */
export interface Sum {
  to: string;
  /** Nobody said where this one is missing; the others are 0 then. */
  first: string;
  others: readonly string[];
}

/** Claude Code counts the tokens that a cache was asked for or filled with apart from the rest of the input. */
export const CLAUDE_CODE_INPUT: Sum = {
  to: A.inputTokens,
  first: 'input_tokens',
  others: ['cache_read_tokens', 'cache_creation_tokens'],
};

/** What a span stands for. A `chain` is a run where nothing is above it, a `call` asks a model for an answer. */
export type Kind = 'call' | 'request' | 'agent' | 'chain' | 'tool' | 'other';

export interface Meaning {
  kind: Kind;
  operation?: string;
}

const CHAT: Meaning = { kind: 'call', operation: 'chat' };
const COMPLETION: Meaning = { kind: 'call', operation: 'text_completion' };
const EMBEDDINGS: Meaning = { kind: 'request', operation: 'embeddings' };
const RETRIEVAL: Meaning = { kind: 'other', operation: 'retrieval' };
const AGENT: Meaning = { kind: 'agent', operation: 'invoke_agent' };
const WORKFLOW: Meaning = { kind: 'chain', operation: 'invoke_workflow' };
const CHAIN: Meaning = { kind: 'chain' };
const TOOL: Meaning = { kind: 'tool', operation: 'execute_tool' };
/** Of a GenAI span of which we know no more. */
export const OTHER: Meaning = { kind: 'other' };

/** Where a convention says what a span stands for; the first attribute with a value known here counts. */
export const MEANINGS: readonly (readonly [attribute: string, values: ReadonlyMap<string, Meaning>])[] = [
  [
    A.operation,
    new Map([
      ['chat', CHAT],
      ['generate_content', { kind: 'call' }],
      ['text_completion', COMPLETION],
      ['embeddings', EMBEDDINGS],
      ['invoke_agent', AGENT],
      ['invoke_workflow', WORKFLOW],
      ['execute_tool', TOOL],
    ]),
  ],
  [
    'openinference.span.kind',
    new Map([
      ['LLM', CHAT],
      ['EMBEDDING', EMBEDDINGS],
      ['AGENT', AGENT],
      ['CHAIN', CHAIN],
      ['TOOL', TOOL],
      ['RETRIEVER', RETRIEVAL],
    ]),
  ],
  [
    'traceloop.span.kind',
    new Map([
      ['workflow', WORKFLOW],
      ['agent', AGENT],
      ['tool', TOOL],
    ]),
  ],
  [
    'ai.operationId',
    new Map([
      // The functions that users call; version 7 says itself that they are agents.
      ['ai.generateText', AGENT],
      ['ai.streamText', AGENT],
      ['ai.generateObject', AGENT],
      ['ai.streamObject', AGENT],
      ['ai.embed', CHAIN],
      ['ai.embedMany', CHAIN],
      // And the calls that these make.
      ['ai.generateText.doGenerate', CHAT],
      ['ai.streamText.doStream', CHAT],
      ['ai.generateObject.doGenerate', CHAT],
      ['ai.streamObject.doStream', CHAT],
      ['ai.embed.doEmbed', EMBEDDINGS],
      ['ai.embedMany.doEmbed', EMBEDDINGS],
      ['ai.toolCall', TOOL],
    ]),
  ],
  [
    'llm.request.type',
    new Map([
      ['chat', CHAT],
      ['completion', COMPLETION],
      ['embedding', EMBEDDINGS],
    ]),
  ],
];

/** Where agents and tools have no attribute of their own for their name. OpenInference's is then the span's. */
export const ENTITY_NAME = 'traceloop.entity.name';
export const OPENINFERENCE_KIND = 'openinference.span.kind';

/** Other words, in lower case, for providers that the conventions have a word for. */
export const PROVIDERS: ReadonlyMap<string, string> = new Map([
  ['amazon', 'aws.bedrock'],
  ['amazon-bedrock', 'aws.bedrock'],
  ['aws', 'aws.bedrock'],
  ['bedrock', 'aws.bedrock'],
  ['az.ai.inference', 'azure.ai.inference'],
  ['az.ai.openai', 'azure.ai.openai'],
  ['azure', 'azure.ai.openai'],
  ['azure-openai', 'azure.ai.openai'],
  ['gemini', 'gcp.gemini'],
  ['google', 'gcp.gen_ai'],
  ['google.generative-ai', 'gcp.gemini'],
  ['google.vertex', 'gcp.vertex_ai'],
  ['vertex_ai', 'gcp.vertex_ai'],
  ['vertexai', 'gcp.vertex_ai'],
  ['mistral', 'mistral_ai'],
  ['mistralai', 'mistral_ai'],
  ['watsonx', 'ibm.watsonx.ai'],
  ['xai', 'x_ai'],
]);

/** What the AI SDK puts behind a provider to say which of its interfaces it used: `openai.chat`. */
export const PROVIDER_INTERFACE = /\.(chat|responses|completion|messages|embedding|image)$/;
