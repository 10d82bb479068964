import {
  type AnswerFacts,
  asArray,
  asCount,
  asNumber,
  asObject,
  asString,
  asWord,
  type Json,
  type Operation,
  type RequestContent,
  type RequestFacts,
  toJson,
  type Usage,
} from '../protocol.ts';
import { readToolChoice } from './chat.ts';
import { answerMessages, contentText, isMessage, itemMessage } from './items.ts';
import { isResponseOpening, ResponseStream } from './response-stream.ts';
import { readTier } from './usage.ts';

/** OpenAI's Responses API. The conventions have no word of its own for it: it is a chat. */
export const responses: Operation = {
  name: 'chat',
  apiType: 'responses',
  readRequest,
  readContent,
  readAnswer: readResponse,
  readStream: (textCharsMax) => new ResponseStream(textCharsMax, readResponse),
  isOpening: isResponseOpening,
};

function readRequest(value: unknown): RequestFacts {
  const body = asObject(value) ?? {};
  const { conversation } = body;
  return {
    model: asString(body['model']),
    stream: body['stream'] === true,
    maxTokens: asCount(body['max_output_tokens']),
    temperature: asNumber(body['temperature']),
    topP: asNumber(body['top_p']),
    reasoning: asWord(asObject(body['reasoning'])?.['effort']),
    responseFormat: asWord(asObject(asObject(body['text'])?.['format'])?.['type']),
    toolChoice: readToolChoice(body['tool_choice']),
    conversationId: asString(conversation) ?? asString(asObject(conversation)?.['id']),
    previousResponseId: asString(body['previous_response_id']),
  };
}

function readContent(value: unknown): RequestContent {
  const body = asObject(value) ?? {};
  const { input, tools } = body;
  const instructions = asString(body['instructions']);
  const items: Json[] =
    typeof input === 'string'
      ? [{ role: 'user', content: input }]
      : asArray(input).map((item) => asObject(item) ?? {});
  const textOf = (...roles: string[]) =>
    items
      .filter((item) => isMessage(item) && roles.includes(item['role'] as string))
      .map((item) => contentText(item['content'], '\n'))
      .filter((text) => text !== '');
  return {
    systemText: [instructions ?? [], textOf('system', 'developer')].flat().join('\n'),
    userText: textOf('user').join('\n'),
    tools: asArray(tools).length > 0 ? toJson(tools) : undefined,
    messages: () => [
      ...(instructions === undefined
        ? []
        : [{ role: 'system', parts: [{ type: 'text', content: instructions }] }]),
      ...items.map(itemMessage),
    ],
  };
}

/** A response, as it is answered and as the last event of a stream brings it. */
function readResponse(value: unknown): AnswerFacts {
  const body = asObject(value) ?? {};
  const output = asArray(body['output']).map((item) => asObject(item) ?? {});
  const status = asString(body['status']);
  const finishReason = asString(asObject(body['incomplete_details'])?.['reason']) ?? status;
  const error = asObject(body['error']);
  return {
    id: asString(body['id']),
    model: asString(body['model']),
    finishReasons: finishReason ? [finishReason] : [],
    usage: readUsage(body, output),
    text: output
      .filter(isMessage)
      .map((item) => contentText(item['content'], ''))
      .join(''),
    messages: () => answerMessages(output, finishReason),
    complete: body['object'] === 'response',
    errorType: status === 'failed' || error ? (asString(error?.['code']) ?? 'error') : undefined,
  };
}

function readUsage(body: Json, output: readonly Json[]): Usage {
  const usage = asObject(body['usage']);
  const input = asObject(usage?.['input_tokens_details']);
  const searches = (type: string) => output.filter((item) => item['type'] === type && isBilled(item)).length;
  return {
    inputTokens: asCount(usage?.['input_tokens']),
    outputTokens: asCount(usage?.['output_tokens']),
    cacheReadTokens: asCount(input?.['cached_tokens']),
    cacheWriteTokens: asCount(input?.['cache_write_tokens']),
    reasoningTokens: asCount(asObject(usage?.['output_tokens_details'])?.['reasoning_tokens']),
    webSearches: searches('web_search_call') || undefined,
    fileSearches: searches('file_search_call') || undefined,
    serviceTier: readTier(body['service_tier']),
  };
}

/** A web search's call may also just open a page that was found before. */
function isBilled(item: Json): boolean {
  const action = asString(asObject(item['action'])?.['type']);
  return action === undefined || action === 'search';
}
