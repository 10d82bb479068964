import {
  type AnswerFacts,
  asArray,
  asCount,
  asNumber,
  asObject,
  asStop,
  asString,
  asWord,
  type Json,
  type Part,
  type RequestContent,
  type RequestFacts,
  toJson,
  type Usage,
} from '../protocol.ts';

/** Anthropic's messages: a conversation out, a message of blocks back. */

export function readRequest(value: unknown): RequestFacts {
  const body = asObject(value) ?? {};
  const toolChoice = asObject(body['tool_choice']);
  return {
    model: asString(body['model']),
    stream: body['stream'] === true,
    maxTokens: asCount(body['max_tokens']),
    temperature: asNumber(body['temperature']),
    topP: asNumber(body['top_p']),
    topK: asNumber(body['top_k']),
    stop: asStop(body['stop_sequences']),
    reasoning: asWord(asObject(body['output_config'])?.['effort']),
    toolChoice: asWord(toolChoice?.['name'] ?? toolChoice?.['type']),
  };
}

export function readContent(value: unknown): RequestContent {
  const body = asObject(value) ?? {};
  const messages = asArray(body['messages']).map((m) => asObject(m) ?? {});
  const systemText = plainText(body['system']);
  const { tools } = body;
  return {
    systemText,
    userText: messages
      .filter((m) => m['role'] === 'user')
      .map((m) => plainText(m['content']))
      .filter((text) => text !== '')
      .join('\n'),
    tools: asArray(tools).length > 0 ? toJson(tools) : undefined,
    messages: () => [
      ...(systemText === '' ? [] : [{ role: 'system', parts: toParts(body['system']) }]),
      ...messages.map((m) => ({ role: asString(m['role']) ?? 'unknown', parts: toParts(m['content']) })),
    ],
  };
}

/** Text of the text blocks: a tool's result is not what the user said. */
function plainText(content: unknown, separator = '\n'): string {
  if (typeof content === 'string') return content;
  return asArray(content)
    .map((block) => asObject(block) ?? {})
    .filter((block) => block['type'] === 'text')
    .map((block) => asString(block['text']) ?? '')
    .filter((text) => text !== '')
    .join(separator);
}

const toParts = (content: unknown): Part[] =>
  typeof content === 'string'
    ? [{ type: 'text', content }]
    : asArray(content).map((block) => toPart(asObject(block) ?? {}));

export function toPart(block: Json): Part {
  switch (block['type']) {
    case 'text':
      return { type: 'text', content: block['text'] };
    case 'thinking':
      return { type: 'reasoning', content: block['thinking'] };
    case 'tool_use':
      return { type: 'tool_call', id: block['id'], name: block['name'], arguments: block['input'] };
    case 'tool_result':
      return { type: 'tool_call_response', id: block['tool_use_id'], response: block['content'] };
    default:
      return { ...block, type: asString(block['type']) ?? 'unknown' };
  }
}

/** Counts as Anthropic gives them: `input_tokens` there are only those no cache was involved in. */
export function readUsage(usage: Json): Usage {
  const fresh = asCount(usage['input_tokens']);
  const cacheReadTokens = asCount(usage['cache_read_input_tokens']);
  const cacheWriteTokens = asCount(usage['cache_creation_input_tokens']);
  const tier = usage['speed'] === 'fast' ? 'fast' : asString(usage['service_tier']);
  return {
    inputTokens: fresh === undefined ? undefined : fresh + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0),
    outputTokens: asCount(usage['output_tokens']),
    cacheReadTokens,
    cacheWriteTokens,
    cacheWrite1hTokens: asCount(asObject(usage['cache_creation'])?.['ephemeral_1h_input_tokens']),
    reasoningTokens: asCount(asObject(usage['output_tokens_details'])?.['thinking_tokens']),
    webSearches: asCount(asObject(usage['server_tool_use'])?.['web_search_requests']) || undefined,
    serviceTier: tier === 'standard' ? undefined : tier,
  };
}

export function readAnswer(value: unknown): AnswerFacts {
  const body = asObject(value) ?? {};
  const stopReason = asString(body['stop_reason']);
  return {
    id: asString(body['id']),
    model: asString(body['model']),
    finishReasons: stopReason ? [stopReason] : [],
    usage: readUsage(asObject(body['usage']) ?? {}),
    text: plainText(body['content'], ''),
    messages: () => [{ role: 'assistant', parts: toParts(body['content']), finish_reason: stopReason }],
    complete: body['type'] === 'message',
  };
}
