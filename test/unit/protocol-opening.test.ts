import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { openai } from '../../src/gateway/openai.ts';
import type { Protocol } from '../../src/gateway/protocol.ts';
import { anthropicEvents, chatChunk } from '../support/scripted-provider.ts';

/** Which events of a stream say nothing yet, so that what breaks in them can be asked for again unseen. */

const opens = (protocol: Protocol, path: string) => protocol.operation('POST', path)!.isOpening!;

test('a chat opens with its role, and with chunks that say nothing', () => {
  const isOpening = opens(openai, '/chat/completions');
  for (const chunk of [
    chatChunk({ role: 'assistant', content: '' }),
    chatChunk({ role: 'assistant', content: null, refusal: null, tool_calls: [] }),
    chatChunk({}),
    chatChunk({}, null, { choices: [], prompt_filter_results: [{}] }),
  ])
    assert.equal(isOpening(JSON.stringify(chunk)), true, JSON.stringify(chunk));
  for (const chunk of [
    chatChunk({ content: 'a' }),
    chatChunk({ role: 'assistant', content: ' ' }),
    chatChunk({ reasoning_content: 'hm' }),
    chatChunk({ tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '' } }] }),
    chatChunk({ audio: { id: 'a' } }),
    chatChunk({}, 'stop'),
    chatChunk({}, null, { choices: [], usage: { prompt_tokens: 1 } }),
    { choices: [{ index: 0, text: 'a' }] },
    { error: { message: 'No.' } },
  ])
    assert.equal(isOpening(JSON.stringify(chunk)), false, JSON.stringify(chunk));
  for (const data of ['[DONE]', '', '{"half":', 'null', '[]'])
    assert.equal(isOpening(data), false, JSON.stringify(data));
  assert.equal(opens(openai, '/openai/deployments/gpt/chat/completions'), isOpening);
});

test('a response opens with what says that it was begun', () => {
  const isOpening = opens(openai, '/responses');
  for (const type of ['response.created', 'response.queued', 'response.in_progress'])
    assert.equal(isOpening(JSON.stringify({ type, response: {} })), true, type);
  for (const type of [
    'response.output_item.added',
    'response.output_text.delta',
    'response.failed',
    'error',
    '__proto__',
  ])
    assert.equal(isOpening(JSON.stringify({ type })), false, type);
});

test('a message opens with its head, pings, and blocks that have no text yet', () => {
  const isOpening = opens(anthropic, '/v1/messages');
  const data = anthropicEvents(['a', 'b'])
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length));
  assert.deepEqual(
    data.map((event) => isOpening(event)),
    [true, true, true, ...Array(data.length - 3).fill(false)],
  );
  for (const content_block of [
    { type: 'text', text: 'a' },
    { type: 'tool_use', id: 't', name: 'f', input: {} },
    { type: 'web_search_tool_result', content: [] },
  ])
    assert.equal(isOpening(JSON.stringify({ type: 'content_block_start', index: 0, content_block })), false);
  const error = { type: 'error', error: { type: 'overloaded_error', message: 'No.' } };
  assert.equal(isOpening(JSON.stringify(error)), false);
});

test('what does not stream has no opening', () => {
  assert.equal(openai.operation('POST', '/embeddings')!.isOpening, undefined);
});
