import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { openTap } from '../../src/gateway/tap/open.ts';
import { anthropicClient, readAll, tapOf, typedEvents } from '../support/sdk-stream.ts';
import { until } from '../support/until.ts';

const messages = anthropic.operation('POST', '/v1/messages')!;

test('only messages are calls: counting tokens, batches, files and models pass through', () => {
  for (const [method, path] of [
    ['POST', '/v1/messages/count_tokens'],
    ['POST', '/v1/messages/batches'],
    ['GET', '/v1/messages/batches/b/results'],
    ['GET', '/v1/messages'],
    ['GET', '/v1/models'],
    ['POST', '/v1/files'],
    ['HEAD', ''],
  ] as const)
    assert.equal(anthropic.operation(method, path), undefined, `${method} ${path}`);
  assert.equal(messages.name, 'chat');
});

const start = (usage: object) => ({
  type: 'message_start',
  message: {
    id: 'msg_01',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-4-5-20250929',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage,
  },
});
const block = (index: number, content_block: object) => ({
  type: 'content_block_start',
  index,
  content_block,
});
const delta = (index: number, more: object) => ({ type: 'content_block_delta', index, delta: more });
const stop = (index: number) => ({ type: 'content_block_stop', index });

/** Thinking, a search that the provider runs, a call of the caller's tool, and text, with pings among them. */
const turn = [
  start({
    input_tokens: 25,
    cache_creation_input_tokens: 300,
    cache_read_input_tokens: 400,
    cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
    output_tokens: 1,
    service_tier: 'standard',
  }),
  block(0, { type: 'thinking', thinking: '', signature: '' }),
  { type: 'ping' },
  delta(0, { type: 'thinking_delta', thinking: 'Let me' }),
  delta(0, { type: 'thinking_delta', thinking: ' see.' }),
  delta(0, { type: 'signature_delta', signature: 'EqQB' }),
  stop(0),
  block(1, { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }),
  delta(1, { type: 'input_json_delta', partial_json: '{"query"' }),
  delta(1, { type: 'input_json_delta', partial_json: ':"weather"}' }),
  stop(1),
  block(2, {
    type: 'web_search_tool_result',
    tool_use_id: 'srvtoolu_1',
    content: [{ type: 'web_search_result', url: 'https://a.example', title: 'A', encrypted_content: 'x' }],
  }),
  stop(2),
  block(3, { type: 'text', text: '' }),
  ...['It', ' is', ' "fine"', ',\n', 'schön', ' 🌞'].map((text) => delta(3, { type: 'text_delta', text })),
  delta(3, { type: 'citations_delta', citation: { type: 'web_search_result_location', cited_text: 'x' } }),
  stop(3),
  block(4, { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }),
  ...['', '{"a": ', '1', '1', '1', '}'].map((partial_json) =>
    delta(4, { type: 'input_json_delta', partial_json }),
  ),
  stop(4),
  {
    type: 'message_delta',
    delta: { stop_reason: 'tool_use', stop_sequence: null },
    usage: {
      input_tokens: 125,
      cache_creation_input_tokens: 300,
      cache_read_input_tokens: 400,
      output_tokens: 89,
      output_tokens_details: { thinking_tokens: 20 },
      server_tool_use: { web_search_requests: 1 },
    },
  },
  { type: 'message_stop' },
];

test('a stream reads to what the official client makes of it', async () => {
  const bytes = typedEvents(turn);
  const theirs = anthropicClient(bytes).messages.stream({ model: 'm', max_tokens: 9, messages: [] });
  const final = await theirs.finalMessage();
  const { answer, isComplete } = await readAll(anthropic, '/v1/messages', bytes);
  assert.equal(isComplete, true);
  assert.equal(answer.complete, true);
  assert.equal(answer.text, final.content.map((part) => (part.type === 'text' ? part.text : '')).join(''));
  assert.deepEqual(
    [answer.id, answer.model, answer.finishReasons],
    [final.id, final.model, [final.stop_reason]],
  );
  assert.equal(answer.usage.outputTokens, final.usage.output_tokens);
  assert.equal(
    answer.usage.inputTokens,
    final.usage.input_tokens +
      final.usage.cache_read_input_tokens! +
      final.usage.cache_creation_input_tokens!,
  );
  const tool = final.content.find((part) => part.type === 'tool_use')!;
  assert.deepEqual(answer.messages()[0]!.parts.at(-1), {
    type: 'tool_call',
    id: tool.id,
    name: tool.name,
    arguments: tool.input,
  });
});

test('usage in a stream is cumulative, and keeps the parts that only one of its events tells', async () => {
  const { answer } = await readAll(anthropic, '/v1/messages', typedEvents(turn));
  assert.deepEqual(answer.usage, {
    inputTokens: 825,
    outputTokens: 89,
    cacheReadTokens: 400,
    cacheWriteTokens: 300,
    cacheWrite1hTokens: 200,
    reasoningTokens: 20,
    webSearches: 1,
    serviceTier: undefined,
  });
});

test('blocks of every kind are parts of the message', async () => {
  const { answer } = await readAll(anthropic, '/v1/messages', typedEvents(turn));
  const [message] = answer.messages();
  assert.deepEqual(
    message!.parts.map(({ type }) => type),
    ['reasoning', 'server_tool_use', 'web_search_tool_result', 'text', 'tool_call'],
  );
  assert.equal(message!.parts[0]!['content'], 'Let me see.');
  assert.deepEqual(message!.parts[1]!['input'], { query: 'weather' });
});

test('a stream that breaks off before its usage has an output nobody knows', async () => {
  const { answer, isComplete } = await readAll(anthropic, '/v1/messages', typedEvents(turn.slice(0, -2)));
  assert.deepEqual([isComplete, answer.complete, answer.usage.outputTokens], [false, false, undefined]);
  assert.equal(answer.usage.inputTokens, 725);
});

test('an error in the middle ends the stream', async () => {
  const error = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
  const { answer, isComplete, errorType } = await readAll(
    anthropic,
    '/v1/messages',
    typedEvents([...turn.slice(0, 16), error]),
  );
  assert.deepEqual([isComplete, answer.complete, errorType], [true, false, 'overloaded_error']);
});

test('fast and priority service have prices of their own', () => {
  const tierOf = (usage: object) => messages.readAnswer({ type: 'message', usage }).usage.serviceTier;
  assert.equal(tierOf({ service_tier: 'standard', speed: 'standard' }), undefined);
  assert.equal(tierOf({ service_tier: 'priority' }), 'priority');
  assert.equal(tierOf({ service_tier: 'standard', speed: 'fast' }), 'fast');
  assert.equal(tierOf({ service_tier: null }), undefined);
});

test('a compressed stream is known to be over too, and takes no event of ours', async () => {
  const tap = openTap({
    protocol: anthropic,
    operation: messages,
    content: true,
    status: 200,
    contentType: 'text/event-stream',
    contentEncoding: 'gzip',
  });
  tap.write(gzipSync(typedEvents(turn)));
  await until('the stream is over', () => tap.isComplete);
  assert.equal(tap.errorEvent({ status: 502, code: 'provider_unreachable', message: 'm' }), undefined);
  assert.equal((await tap.end()).answer!.usage.outputTokens, 89);
});

test('a chunk that ends inside of an event is told apart', () => {
  const bytes = typedEvents(turn);
  const ends = new Set<number>();
  for (let end = bytes.indexOf('\n\n'); end !== -1; end = bytes.indexOf('\n\n', end + 2)) ends.add(end + 2);
  const tap = tapOf(anthropic, messages);
  for (let at = 0; at < bytes.length; at++) {
    tap.write(bytes.subarray(at, at + 1));
    assert.equal(tap.isBetweenEvents, ends.has(at + 1), String(at));
  }
});
