import type { Attributes } from '@opentelemetry/api';

/**
 * Spans as other people's instrumentation sends them. Recorded in November 2026 from the libraries named, asked
 * "Is 17077 a prime number?" of a server on loopback that answers like OpenAI; long values that nothing here reads are
 * left out, everything else is as it came.
 */
export interface ForeignSpan {
  name: string;
  /** The name of the span above it; the root has none. */
  parent?: string;
  attributes: Attributes;
}

const QUESTION = 'Is 17077 a prime number?';

/** `@arizeai/openinference-instrumentation-openai` 4.2.7 with `openai` 6.49.0: `chat.completions.create`. */
export const openInferenceOpenai: ForeignSpan[] = [
  {
    name: 'OpenAI Chat Completions',
    attributes: {
      'openinference.span.kind': 'LLM',
      'llm.model_name': 'gpt-4o-2024-08-06',
      'input.value': `{"model":"gpt-4o","messages":[{"role":"system","content":"Answer [Yes] or [No]."},{"role":"user","content":"${QUESTION}"}]}`,
      'input.mime_type': 'application/json',
      'llm.invocation_parameters': '{"model":"gpt-4o"}',
      'llm.system': 'openai',
      'llm.input_messages.0.message.role': 'system',
      'llm.input_messages.0.message.content': 'Answer [Yes] or [No].',
      'llm.input_messages.1.message.role': 'user',
      'llm.input_messages.1.message.content': QUESTION,
      'output.value':
        '{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"[No]"},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":3,"total_tokens":43,"prompt_tokens_details":{"cached_tokens":8}}}',
      'output.mime_type': 'application/json',
      'llm.output_messages.0.message.role': 'assistant',
      'llm.output_messages.0.message.content': '[No]',
      'llm.finish_reason': 'stop',
      'llm.token_count.completion': 3,
      'llm.token_count.prompt': 40,
      'llm.token_count.total': 43,
      'llm.token_count.prompt_details.cache_read': 8,
    },
  },
];

/** The same library: `responses.create` (the answer is a list of parts), and `embeddings.create`. */
export const openInferenceResponses: ForeignSpan[] = [
  {
    name: 'OpenAI Responses',
    attributes: {
      'openinference.span.kind': 'LLM',
      'llm.model_name': 'gpt-4o-2024-08-06',
      'input.value': `{"model":"gpt-4o","input":"${QUESTION}"}`,
      'input.mime_type': 'application/json',
      'llm.invocation_parameters': '{"model":"gpt-4o"}',
      'llm.system': 'openai',
      'llm.input_messages.0.message.role': 'user',
      'llm.input_messages.0.message.content': QUESTION,
      'output.mime_type': 'application/json',
      'llm.output_messages.0.message.role': 'assistant',
      'llm.output_messages.0.message.contents.0.message_content.type': 'output_text',
      'llm.output_messages.0.message.contents.0.message_content.text': '[No]',
      'llm.token_count.completion': 3,
      'llm.token_count.prompt': 40,
      'llm.token_count.total': 43,
      'llm.token_count.prompt_details.cache_read': 8,
      'llm.token_count.completion_details.reasoning': 0,
    },
  },
  {
    name: 'OpenAI Embeddings',
    attributes: {
      'openinference.span.kind': 'EMBEDDING',
      'embedding.model_name': 'text-embedding-3-small',
      'input.value': 'hello',
      'input.mime_type': 'text/plain',
      'llm.system': 'openai',
      'embedding.embeddings.0.embedding.text': 'hello',
      'embedding.embeddings.0.embedding.vector': [0.1, 0.2],
    },
  },
];

/** `@arizeai/openinference-instrumentation-langchain` 4.1.1 with `@langchain/langgraph` 1.7.3: a ReAct agent's last turn. */
export const openInferenceLangGraph: ForeignSpan[] = [
  {
    name: 'prime_agent',
    attributes: {
      'openinference.span.kind': 'CHAIN',
      'input.value': `{"messages":[{"role":"user","content":"${QUESTION}"}]}`,
      'input.mime_type': 'application/json',
      'output.mime_type': 'application/json',
      metadata: '{"ls_integration":"langgraph","session_id":"s-1"}',
      'session.id': 's-1',
    },
  },
  {
    name: 'agent',
    parent: 'prime_agent',
    attributes: { 'openinference.span.kind': 'CHAIN', 'session.id': 's-1' },
  },
  {
    name: 'factor',
    parent: 'prime_agent',
    attributes: {
      'openinference.span.kind': 'TOOL',
      'input.value': '{"n":17077}',
      'input.mime_type': 'application/json',
      'session.id': 's-1',
      'tool.name': 'factor',
    },
  },
  {
    name: 'ChatOpenAI',
    parent: 'agent',
    attributes: {
      'openinference.span.kind': 'LLM',
      'output.value':
        '{"generations":[[{"text":"[No]","message":{"lc":1,"type":"constructor","id":["langchain_core","messages","AIMessage"],"kwargs":{"id":"chatcmpl-1","content":"[No]","additional_kwargs":{},"response_metadata":{"tokenUsage":{"promptTokens":40,"completionTokens":3,"totalTokens":43},"finish_reason":"stop","model_provider":"openai","model_name":"gpt-4o-2024-08-06"},"type":"ai"}},"generationInfo":{"finish_reason":"stop"}}]],"llmOutput":{"tokenUsage":{"promptTokens":40,"completionTokens":3,"totalTokens":43}}}',
      'output.mime_type': 'application/json',
      'llm.invocation_parameters': '{"model":"gpt-4o","stream":false}',
      'llm.model_name': 'gpt-4o',
      'llm.token_count.completion': 3,
      'llm.token_count.prompt': 40,
      'llm.token_count.total': 43,
      'llm.token_count.prompt_details.cache_read': 8,
      'llm.finish_reason': 'stop',
      'session.id': 's-1',
      'llm.input_messages.0.message.role': 'user',
      'llm.input_messages.0.message.content': QUESTION,
      'llm.input_messages.1.message.role': 'assistant',
      'llm.input_messages.1.message.content': '',
      'llm.input_messages.1.message.tool_calls.0.tool_call.function.name': 'factor',
      'llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments': '{"n":17077}',
      'llm.input_messages.2.message.role': 'tool',
      'llm.input_messages.2.message.content': 'prime',
      'llm.output_messages.0.message.role': 'assistant',
      'llm.output_messages.0.message.content': '[No]',
    },
  },
];

/** `@traceloop/node-server-sdk` 0.27.0 with its `instrumentation-openai` 0.27.0: workflow, agent, tool and call. */
export const traceloop: ForeignSpan[] = [
  {
    name: 'prime_workflow.workflow',
    attributes: {
      'traceloop.workflow.name': 'prime_workflow',
      'traceloop.entity.name': 'prime_workflow',
      'traceloop.entity.path': '',
      'traceloop.span.kind': 'workflow',
      'traceloop.entity.input': '{"args":[],"kwargs":{}}',
      'traceloop.entity.output': '"[No]"',
    },
  },
  {
    name: 'prime_agent.agent',
    parent: 'prime_workflow.workflow',
    attributes: {
      'traceloop.workflow.name': 'prime_agent',
      'gen_ai.agent.name': 'prime_agent',
      'traceloop.entity.name': 'prime_agent',
      'traceloop.entity.path': '',
      'traceloop.span.kind': 'agent',
      'traceloop.entity.input': '{"args":[],"kwargs":{}}',
      'traceloop.entity.output': '"[No]"',
    },
  },
  {
    name: 'factor.tool',
    parent: 'prime_agent.agent',
    attributes: {
      'traceloop.workflow.name': 'prime_agent',
      'traceloop.entity.path': '',
      'gen_ai.agent.name': 'prime_agent',
      'traceloop.entity.name': 'factor',
      'traceloop.span.kind': 'tool',
      'traceloop.entity.input': '{"args":[17077],"kwargs":{}}',
      'traceloop.entity.output': '"prime"',
    },
  },
  {
    name: 'chat gpt-4o',
    parent: 'prime_agent.agent',
    attributes: {
      'gen_ai.provider.name': 'openai',
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.input.messages': `[{"role":"system","parts":[{"type":"text","content":"Answer [Yes] or [No]."}]},{"role":"user","parts":[{"type":"text","content":"${QUESTION}"}]}]`,
      'traceloop.workflow.name': 'prime_agent',
      'gen_ai.agent.name': 'prime_agent',
      'gen_ai.response.model': 'gpt-4o-2024-08-06',
      'gen_ai.response.id': 'chatcmpl-1',
      'gen_ai.usage.total_tokens': 43,
      'gen_ai.usage.output_tokens': 3,
      'gen_ai.usage.input_tokens': 40,
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.output.messages':
        '[{"role":"assistant","finish_reason":"stop","parts":[{"type":"text","content":"[No]"}]}]',
    },
  },
];

/** `@traceloop/instrumentation-openai` 0.14.6 with `openai` 4.104.0: before it took OpenTelemetry's names. */
export const traceloopOld: ForeignSpan[] = [
  {
    name: 'openai.chat',
    attributes: {
      'gen_ai.system': 'OpenAI',
      'llm.request.type': 'chat',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.prompt.0.role': 'system',
      'gen_ai.prompt.0.content': 'Answer [Yes] or [No].',
      'gen_ai.prompt.1.role': 'user',
      'gen_ai.prompt.1.content': QUESTION,
      'gen_ai.response.model': 'gpt-4o-2024-08-06',
      'llm.usage.total_tokens': 43,
      'gen_ai.usage.completion_tokens': 3,
      'gen_ai.usage.prompt_tokens': 40,
      'gen_ai.completion.0.finish_reason': 'stop',
      'gen_ai.completion.0.role': 'assistant',
      'gen_ai.completion.0.content': '[No]',
    },
  },
];

const aiSdk = (operation: string): Attributes => ({
  'operation.name': `${operation} prime-checker`,
  'resource.name': 'prime-checker',
  'ai.operationId': operation,
  'ai.telemetry.functionId': 'prime-checker',
  'ai.telemetry.metadata.sessionId': 's-1',
});

/** `ai` 5.0.277 with `@ai-sdk/openai` 2.0.131: `generateText` with `experimental_telemetry`, its last step and its tool. */
export const aiSdk5: ForeignSpan[] = [
  {
    name: 'ai.generateText',
    attributes: {
      ...aiSdk('ai.generateText'),
      'ai.model.provider': 'openai.chat',
      'ai.model.id': 'gpt-4o',
      'ai.prompt': `{"system":"Answer [Yes] or [No].","prompt":"${QUESTION}"}`,
      'ai.response.finishReason': 'stop',
      'ai.response.text': '[No]',
      'ai.usage.promptTokens': 40,
      'ai.usage.completionTokens': 3,
    },
  },
  {
    name: 'ai.toolCall',
    parent: 'ai.generateText',
    attributes: {
      ...aiSdk('ai.toolCall'),
      'ai.toolCall.name': 'factor',
      'ai.toolCall.id': 'call_1',
      'ai.toolCall.args': '{"n":17077}',
      'ai.toolCall.result': '"prime"',
    },
  },
  {
    name: 'ai.generateText.doGenerate',
    parent: 'ai.generateText',
    attributes: {
      ...aiSdk('ai.generateText.doGenerate'),
      'ai.model.provider': 'openai.chat',
      'ai.model.id': 'gpt-4o',
      'ai.prompt.messages': `[{"role":"system","content":"Answer [Yes] or [No]."},{"role":"user","content":[{"type":"text","text":"${QUESTION}"}]},{"role":"assistant","content":[{"type":"tool-call","toolCallId":"call_1","toolName":"factor","input":{"n":17077}}]},{"role":"tool","content":[{"type":"tool-result","toolCallId":"call_1","toolName":"factor","output":{"type":"text","value":"prime"}}]}]`,
      'gen_ai.system': 'openai.chat',
      'gen_ai.request.model': 'gpt-4o',
      'ai.response.finishReason': 'stop',
      'ai.response.text': '[No]',
      'ai.response.id': 'chatcmpl-1',
      'ai.response.model': 'gpt-4o-2024-08-06',
      'ai.usage.promptTokens': 40,
      'ai.usage.completionTokens': 3,
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.response.id': 'chatcmpl-1',
      'gen_ai.response.model': 'gpt-4o-2024-08-06',
      'gen_ai.usage.input_tokens': 40,
      'gen_ai.usage.output_tokens': 3,
    },
  },
];

/** `ai` 7.0.173 with `@ai-sdk/otel` 1.0.173 (`OpenTelemetry`): the current names, and an operation of its own. */
export const aiSdk7: ForeignSpan[] = [
  {
    name: 'invoke_agent gpt-4o',
    attributes: {
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.agent.name': 'prime-checker',
      'gen_ai.input.messages': `[{"role":"user","parts":[{"type":"text","content":"${QUESTION}"}]}]`,
      'gen_ai.usage.input_tokens': 80,
      'gen_ai.usage.output_tokens': 6,
    },
  },
  {
    name: 'step 2',
    parent: 'invoke_agent gpt-4o',
    attributes: { 'gen_ai.operation.name': 'agent_step' },
  },
  {
    name: 'chat gpt-4o',
    parent: 'step 2',
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.system_instructions': '[{"type":"text","content":"Answer [Yes] or [No]."}]',
      'gen_ai.input.messages': `[{"role":"user","parts":[{"type":"text","content":"${QUESTION}"}]},{"role":"assistant","parts":[{"type":"tool_call","id":"call_1","name":"factor","arguments":{"n":17077}}]},{"role":"tool","parts":[{"type":"tool_call_response","id":"call_1","response":"prime"}]}]`,
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.response.id': 'chatcmpl-1',
      'gen_ai.response.model': 'gpt-4o-2024-08-06',
      'gen_ai.usage.input_tokens': 40,
      'gen_ai.usage.output_tokens': 3,
      'gen_ai.usage.cache_read.input_tokens': 8,
      'gen_ai.output.messages':
        '[{"role":"assistant","parts":[{"type":"text","content":"[No]"}],"finish_reason":"stop"}]',
    },
  },
];
