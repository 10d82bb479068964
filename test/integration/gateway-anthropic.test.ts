import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import {
  anthropicEvents,
  anthropicMessage,
  json,
  namedSse,
  type ScriptedProvider,
  startScriptedProvider,
  stream,
} from '../support/scripted-provider.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;

before(async () => {
  provider = await startScriptedProvider(json(anthropicMessage('four')));
  gateway = await startTestGateway({ providerUrl: provider.url, keys: { lsk_good: { loop: 'keyed' } } });
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const client = (loop: string, options: object = {}) =>
  new Anthropic({
    apiKey: 'sk-own',
    baseURL: `${gateway.url}/loops/${loop}/agents/maker/anthropic`,
    maxRetries: 0,
    ...options,
  });

const question = {
  model: 'claude-sonnet-4-0',
  max_tokens: 50,
  system: 'Answer in one word.',
  messages: [
    { role: 'user' as const, content: 'First.' },
    { role: 'assistant' as const, content: [{ type: 'tool_use' as const, id: 't1', name: 'f', input: {} }] },
    {
      role: 'user' as const,
      content: [
        { type: 'tool_result' as const, tool_use_id: 't1', content: 'not the user' },
        { type: 'text' as const, text: 'Second.' },
      ],
    },
  ],
};

test('input tokens include cached ones and cost charges them by their kind', async () => {
  const answer = await client('whole').messages.create(question);
  assert.deepEqual(answer.content, [{ type: 'text', text: 'four' }]);
  const { name, attributes } = await gateway.callOf('whole');
  assert.equal(name, 'chat claude-sonnet-4-0');
  assert.equal(attributes[A.provider], 'anthropic');
  assert.equal(attributes[A.inputTokens], 1000);
  assert.equal(attributes[A.outputTokens], 100);
  assert.equal(attributes[A.cacheReadTokens], 400);
  assert.equal(attributes[A.cacheWriteTokens], 100);
  // 500 fresh at 3 $/M, 400 read at 0.3, 100 written at 3.75, 100 out at 15.
  assert.ok(Math.abs((attributes[A.costUsd] as number) - 0.003495) < 1e-9);
  assert.deepEqual(attributes[A.finishReasons], ['end_turn']);
  assert.equal(attributes[A.responseModel], 'claude-sonnet-4-20250514');
  assert.equal(attributes[A.inputText], 'First.\nSecond.');
  assert.equal(attributes[A.requestMaxTokens], 50);
  assert.equal(attributes[A.agentName], 'maker');
});

test('a stream is read to its cumulative usage, pings and all', async () => {
  provider.next(stream(anthropicEvents(['fo', 'ur'])));
  const message = await client('streamed').messages.stream(question).finalMessage();
  assert.deepEqual(message.content, [{ type: 'text', text: 'four' }]);
  const { failed, attributes } = await gateway.callOf('streamed');
  assert.equal(failed, false);
  assert.equal(attributes[A.inputTokens], 1000);
  assert.equal(attributes[A.outputTokens], 100);
  assert.equal(attributes[A.outputText], 'four');
  assert.equal(attributes[A.responseId], 'msg_2');
  assert.ok((attributes[A.costUsd] as number) > 0);
});

test('tools in a stream are put together', async () => {
  provider.next(
    stream(
      namedSse(
        {
          type: 'message_start',
          message: { ...anthropicMessage(''), content: [], usage: { input_tokens: 5, output_tokens: 1 } },
        },
        {
          type: 'content_block_start',
          index: 0,
          content_block: { type: 'tool_use', id: 't9', name: 'close', input: {} },
        },
        {
          type: 'content_block_delta',
          index: 0,
          delta: { type: 'input_json_delta', partial_json: '{"ticket"' },
        },
        { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: ':7}' } },
        { type: 'content_block_stop', index: 0 },
        { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 9 } },
        { type: 'message_stop' },
      ),
    ),
  );
  const tools = [{ name: 'close', input_schema: { type: 'object' as const } }];
  const message = await client('tools')
    .messages.stream({ ...question, tools })
    .finalMessage();
  assert.equal(message.stop_reason, 'tool_use');
  const { attributes } = await gateway.callOf('tools');
  assert.deepEqual(JSON.parse(attributes[A.outputMessages] as string), [
    {
      role: 'assistant',
      parts: [{ type: 'tool_call', id: 't9', name: 'close', arguments: { ticket: 7 } }],
      finish_reason: 'tool_use',
    },
  ]);
  assert.ok(attributes[A.toolsVersion]);
});

test('an error in the middle of a stream reaches the client and is on the span', async () => {
  provider.next(
    stream(
      namedSse(
        {
          type: 'message_start',
          message: { ...anthropicMessage(''), content: [], usage: { input_tokens: 5, output_tokens: 3 } },
        },
        { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      ),
    ),
  );
  await assert.rejects(client('midway').messages.stream(question).finalMessage(), /overloaded_error/);
  const { failed, attributes } = await gateway.callOf('midway');
  assert.equal(failed, true);
  assert.equal(attributes[A.errorType], 'overloaded_error');
  assert.ok(!(A.outputTokens in attributes), 'the placeholder of message_start is no count');
});

test('a coding agent is understood by the headers it sends anyway', async () => {
  const session = '0b6f6a0e-1111-4222-8333-444455556666';
  const agent = client('coding', {
    defaultHeaders: { 'x-claude-code-session-id': session, 'x-claude-code-agent-id': 'agent-a1' },
  });
  await fetch(`${gateway.url}/loops/coding/agents/maker/anthropic`, { method: 'HEAD' });
  await agent.messages.create(question, { query: { beta: 'true' } });
  assert.equal(provider.requests.at(-2)!.method, 'HEAD');
  assert.equal(provider.requests.at(-1)!.url, '/v1/messages?beta=true');
  const [look] = await gateway.spansOf('coding', 1, 'request');
  assert.equal(look!.name, 'HEAD /');
  assert.ok(!(A.runId in look!.attributes), 'looking whether anyone is there is no run');
  const [call] = await gateway.spansOf('coding', 1, 'call');
  assert.equal(call!.name, 'chat claude-sonnet-4-0');
  const { attributes } = call!;
  assert.equal(attributes[A.runId], session);
  assert.equal(attributes[A.conversationId], session);
  assert.equal(attributes[A.agentName], 'agent-a1');
  assert.equal(attributes[A.parentAgent], 'maker');
  assert.equal(attributes[A.agentRole], 'sub');
});

test('a virtual key in x-api-key is exchanged for the configured key', async () => {
  const anthropic = new Anthropic({ apiKey: 'lsk_good', baseURL: gateway.url, maxRetries: 0 });
  await anthropic.messages.create(question);
  assert.equal(provider.requests.at(-1)!.headers['x-api-key'], 'sk-ant-configured');
  assert.equal((await gateway.callOf('keyed')).attributes[A.loop], 'keyed');
});

test('counting tokens passes through and is no model call', async () => {
  provider.next(json({ input_tokens: 12 }));
  const counted = await client('counts').messages.countTokens({
    model: question.model,
    messages: question.messages,
  });
  assert.equal(counted.input_tokens, 12);
  const [request] = await gateway.spansOf('counts', 1, 'request');
  const { name, attributes } = request!;
  assert.equal(name, 'POST /v1/messages/count_tokens');
  assert.ok(!(A.inputTokens in attributes) && !(A.operation in attributes));
});
