import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { contentHash } from '../../src/records/normalize.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import {
  anthropicMessage,
  chatChunk,
  chatCompletion,
  json,
  type ScriptedProvider,
  sse,
  startScriptedProvider,
  stream,
} from '../support/scripted-provider.ts';

/** What the gateway records so that a run can be played again. */
let provider: ScriptedProvider;
let gateway: TestGateway;

const loop = (name: string, capture: 'off' | 'hashed') =>
  LoopDefinition.parse({ loop: name, owner: 'o', agents: [{ name: 'maker', role: 'maker' }], capture });

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('four')));
  gateway = await startTestGateway({
    providerUrl: provider.url,
    loops: [loop('hashing', 'hashed'), loop('silent', 'off')],
  });
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const openai = (name: string, run = 'r-1') =>
  new OpenAI({
    apiKey: 'sk-own',
    baseURL: `${gateway.url}/loops/${name}/v1`,
    maxRetries: 0,
    defaultHeaders: { 'x-loop-run': run },
  });
const TOOLS = [
  { type: 'function' as const, function: { name: 'add', parameters: { type: 'object', properties: {} } } },
];
const QUESTION = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'What is 2+2?' }] };
const HASHES = `${A.contentHashes}.${A.toolDefinitions}`;

test('tools are on the first span of a run in full, and on the others by their hash', async () => {
  for (const run of ['r-1', 'r-1', 'r-2'])
    await openai('tools', run).chat.completions.create({ ...QUESTION, tools: TOOLS });
  const spans = await gateway.spansOf('tools', 3, 'call');
  const text = JSON.stringify(TOOLS);
  const told = (s: (typeof spans)[number]) => [s.attributes[A.toolDefinitions], s.attributes[HASHES]];
  assert.deepEqual(spans.map(told), [
    [text, undefined],
    [undefined, JSON.stringify([contentHash(text)])],
    [text, undefined],
  ]);
});

test('which API was asked, and all that says how it is to answer, are on the span', async () => {
  await openai('parameters').chat.completions.create({
    ...QUESTION,
    tools: TOOLS,
    tool_choice: { type: 'function', function: { name: 'add' } },
    stop: ['END', 'STOP'],
    frequency_penalty: 0.5,
    presence_penalty: -0.5,
    n: 1,
    reasoning_effort: 'low',
    response_format: { type: 'json_object' },
  });
  const { attributes } = await gateway.callOf('parameters');
  for (const [name, value] of Object.entries({
    [A.api]: 'chat_completions',
    [A.requestToolChoice]: 'add',
    [A.requestStopSequences]: ['END', 'STOP'],
    [A.requestFrequencyPenalty]: 0.5,
    [A.requestPresencePenalty]: -0.5,
    [A.requestChoices]: 1,
    [A.requestReasoning]: 'low',
    [A.requestResponseFormat]: 'json_object',
    [A.missing]: undefined,
  }))
    assert.deepEqual(attributes[name], value, name);
  provider.next(json(anthropicMessage('four')));
  await new Anthropic({
    apiKey: 'sk-ant',
    baseURL: `${gateway.url}/loops/messages/anthropic`,
    maxRetries: 0,
  }).messages.create({
    model: 'claude-x',
    max_tokens: 10,
    ...({ top_k: 5 } as object),
    stop_sequences: ['END'],
    messages: [{ role: 'user', content: 'What is 2+2?' }],
  });
  const anthropic = (await gateway.callOf('messages')).attributes;
  assert.deepEqual(
    [anthropic[A.api], anthropic[A.requestTopK], anthropic[A.requestStopSequences]],
    ['messages', 5, ['END']],
  );
});

test('the pieces of a stream are on the span with when they came', async () => {
  provider.next(
    stream(
      sse(chatChunk({ role: 'assistant', content: '' })),
      sse(chatChunk({ content: 'four ' })),
      sse(chatChunk({ content: 'teen' }), chatChunk({}, 'stop'), '[DONE]'),
    ),
  );
  for await (const _ of await openai('pieces').chat.completions.create({ ...QUESTION, stream: true }));
  const span = await gateway.callOf('pieces');
  const pieces = JSON.parse(String(span.attributes[A.streamPieces])) as [number, number][];
  assert.equal(
    pieces.reduce((sum, [, chars]) => sum + chars, 0),
    'four teen'.length,
  );
  assert.deepEqual(
    pieces.map(([ms]) => ms),
    pieces.map(([ms]) => ms).sort((a, b) => a - b),
  );
});

test('what is not kept says so: by capture, or because its provider keeps it', async () => {
  for (const name of ['hashing', 'silent'])
    await openai(name).chat.completions.create({ ...QUESTION, tools: TOOLS });
  for (const name of ['hashing', 'silent']) {
    const { attributes } = await gateway.callOf(name);
    assert.deepEqual(JSON.parse(String(attributes[A.missing])), {
      input: 'not_captured',
      output: 'not_captured',
      tool_definitions: 'not_captured',
    });
    assert.equal(attributes[A.toolDefinitions], undefined);
    assert.equal(attributes[HASHES], undefined);
  }
  provider.next(json({ object: 'response', id: 'resp_1', model: 'gpt-4o', status: 'completed', output: [] }));
  await openai('kept').responses.create({
    model: 'gpt-4o',
    input: 'and now?',
    previous_response_id: 'resp_0',
  });
  const { attributes } = await gateway.callOf('kept');
  assert.equal(attributes[A.api], 'responses');
  assert.deepEqual(JSON.parse(String(attributes[A.missing])), { input: 'kept_by_provider' });
});
