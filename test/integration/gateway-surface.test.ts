import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { json, type ScriptedProvider, startScriptedProvider, stream } from '../support/scripted-provider.ts';
import { typedEvents } from '../support/sdk-stream.ts';

/** OpenAI's other APIs through the official client: what is a call has its model, usage and cost on a span. */

let provider: ScriptedProvider;
let gateway: TestGateway;

before(async () => {
  provider = await startScriptedProvider(json({}));
  gateway = await startTestGateway({ providerUrl: provider.url });
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const client = (loop: string) =>
  new OpenAI({ apiKey: 'sk-own', baseURL: `${gateway.url}/loops/${loop}/v1`, maxRetries: 0 });

const response = (more: object) => ({
  id: 'resp_1',
  object: 'response',
  created_at: 1,
  model: 'gpt-5-2025-08-07',
  status: 'completed',
  error: null,
  output: [
    {
      type: 'message',
      id: 'msg_1',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'four', annotations: [] }],
    },
  ],
  usage: {
    input_tokens: 1000,
    input_tokens_details: { cached_tokens: 400, cache_write_tokens: 0 },
    output_tokens: 100,
    output_tokens_details: { reasoning_tokens: 64 },
    total_tokens: 1100,
  },
  ...more,
});

const asked = { model: 'gpt-5', instructions: 'Answer in one word.', input: 'What is 2+2?' };
const expected = {
  [A.record]: 'call',
  [A.operation]: 'chat',
  [A.requestModel]: 'gpt-5',
  [A.responseModel]: 'gpt-5-2025-08-07',
  [A.responseId]: 'resp_1',
  [A.finishReasons]: ['completed'],
  [A.inputTokens]: 1000,
  [A.outputTokens]: 100,
  [A.cacheReadTokens]: 400,
  [A.reasoningTokens]: 64,
  [A.inputText]: 'What is 2+2?',
  [A.outputText]: 'four',
  [A.costUsd]: 0.0018,
};

test('a response is on the span with usage, text and cost', async () => {
  provider.next(json(response({})));
  const { output_text } = await client('response').responses.create(asked);
  assert.equal(output_text, 'four');
  const span = await gateway.callOf('response');
  assert.equal(span.name, 'chat gpt-5');
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(span.attributes[name], value, name);
});

test('so is a streamed one, whose usage comes with its last event', async () => {
  const delta = { type: 'response.output_text.delta', item_id: 'msg_1', output_index: 0, content_index: 0 };
  const events = [
    { type: 'response.created', response: response({ status: 'in_progress', output: [], usage: null }) },
    { ...delta, delta: 'fo', logprobs: [] },
    { ...delta, delta: 'ur', logprobs: [] },
    { type: 'response.completed', response: response({}) },
  ].map((event, sequence_number) => ({ ...event, sequence_number }));
  provider.next(stream(typedEvents(events)));
  let text = '';
  for await (const event of await client('streamed-response').responses.create({ ...asked, stream: true }))
    if (event.type === 'response.output_text.delta') text += event.delta;
  assert.equal(text, 'four');
  const span = await gateway.callOf('streamed-response');
  assert.equal(span.failed, false);
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(span.attributes[name], value, name);
});

test('a response that fails in its stream is an error on the span', async () => {
  provider.next(
    stream(
      typedEvents([
        {
          type: 'response.failed',
          response: response({ status: 'failed', output: [], error: { code: 'server_error', message: 'x' } }),
        },
      ]),
    ),
  );
  for await (const _ of await client('failed-response').responses.create({ ...asked, stream: true }));
  const span = await gateway.callOf('failed-response');
  assert.equal(span.failed, true);
  assert.equal(span.attributes[A.errorType], 'server_error');
  assert.equal(span.attributes[A.outputTokens], 100);
});

test('embeddings have usage and cost, and no text', async () => {
  provider.next(
    json({
      object: 'list',
      data: [{ object: 'embedding', index: 0, embedding: [0.5] }],
      model: 'text-embedding-3-small',
      usage: { prompt_tokens: 1_000_000, total_tokens: 1_000_000 },
    }),
  );
  await client('embeddings').embeddings.create({
    model: 'text-embedding-3-small',
    input: 'x',
    encoding_format: 'float',
  });
  const span = await gateway.callOf('embeddings');
  assert.equal(span.name, 'embeddings text-embedding-3-small');
  assert.equal(span.failed, false);
  assert.equal(span.attributes[A.inputTokens], 1_000_000);
  assert.equal(span.attributes[A.costUsd], 0.02);
  assert.ok(!(A.outputText in span.attributes));
});

test('text completions are calls of their own kind', async () => {
  provider.next(
    json({
      id: 'cmpl-1',
      object: 'text_completion',
      model: 'gpt-3.5-turbo-instruct',
      choices: [{ index: 0, text: ' four', finish_reason: 'stop' }],
      usage: { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 },
    }),
  );
  await client('completions').completions.create({ model: 'gpt-3.5-turbo-instruct', prompt: '2+2=' });
  const span = await gateway.callOf('completions');
  assert.equal(span.attributes[A.operation], 'text_completion');
  assert.equal(span.attributes[A.outputText], ' four');
  assert.equal(span.attributes[A.outputTokens], 1);
});
