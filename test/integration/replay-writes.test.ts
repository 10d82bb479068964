import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import type { ModelCall, Part } from '../../src/replay/recording.ts';
import { asks, call, recordingOf, text, toolCall } from '../support/replay.ts';
import { serveRecording } from '../support/replay-server.ts';
import {
  json,
  namedSse,
  type ScriptedProvider,
  sse,
  startScriptedProvider,
  stream,
} from '../support/scripted-provider.ts';

/**
 * No tool that writes is called in a replay of the user's own loop without the flag that names it: every way in which an
 * answer could ask for one, from the record and fresh, whole and streamed, in all three APIs. What is withheld has a mark in
 * its arguments: the mark is in nothing that reaches the loop.
 */
const MARK = 'pay-to-mallory';
const SAFE = { tools: [{ name: 'search', safe: true }, { name: 'pay' }] };

interface Api {
  api: NonNullable<ModelCall['api']>;
  path: string;
  ask(isStream: boolean, agent?: string): Record<string, unknown>;
  /** Asks with the SDK and gives all that it found, as JSON. */
  withSdk(url: string, isStream: boolean): Promise<unknown>;
}

const SETTINGS = { apiKey: 'k', maxRetries: 2 };
const APIS: Api[] = [
  {
    api: 'chat_completions',
    path: '/v1/chat/completions',
    ask: (isStream) => ({ model: 'm', stream: isStream, messages: [{ role: 'user', content: 'go' }] }),
    withSdk: (url, isStream) => {
      const { completions } = new OpenAI({ ...SETTINGS, baseURL: `${url}/v1` }).chat;
      const params = { model: 'm', messages: [{ role: 'user' as const, content: 'go' }] };
      return isStream ? completions.stream(params).finalChatCompletion() : completions.create(params);
    },
  },
  {
    api: 'responses',
    path: '/v1/responses',
    ask: (isStream) => ({ model: 'm', stream: isStream, input: 'go' }),
    withSdk: (url, isStream) => {
      const { responses } = new OpenAI({ ...SETTINGS, baseURL: `${url}/v1` });
      const params = { model: 'm', input: 'go' };
      return isStream ? responses.stream(params).finalResponse() : responses.create(params);
    },
  },
  {
    api: 'messages',
    path: '/anthropic/v1/messages',
    ask: (isStream) => ({
      model: 'm',
      max_tokens: 9,
      stream: isStream,
      messages: [{ role: 'user', content: 'go' }],
    }),
    withSdk: (url, isStream) => {
      const { messages } = new Anthropic({ ...SETTINGS, baseURL: `${url}/anthropic` });
      const params = { model: 'm', max_tokens: 9, messages: [{ role: 'user' as const, content: 'go' }] };
      return isStream ? messages.stream(params).finalMessage() : messages.create(params);
    },
  },
];

const post = (url: string, body: object): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(url.endsWith('/messages') && { 'anthropic-version': '2023-06-01' }),
    },
    body: JSON.stringify(body),
  });

const pay = (id: string, name = 'pay'): Part => toolCall(id, name, { to: MARK });
const search = toolCall('call_s', 'search', { q: 'x' });
const say: Part = { type: 'text', content: 'I am on it, give me a second to look at this.' };

const WAYS: Record<string, Part[]> = {
  alone: [pay('call_1')],
  'behind a text': [say, pay('call_1')],
  'behind a safe one': [search, pay('call_1')],
  'before a safe one': [pay('call_1'), search],
  'in other case': [pay('call_1', 'PAY')],
  'in the case of a safe one': [pay('call_1', 'Search')],
  'with a letter that looks the same': [pay('call_1', 'p\u0430y')],
  'like a safe one, with a letter that looks the same': [pay('call_1', 's\u0435arch')],
  'with what nobody sees': [pay('call_1', 'search\u200b')],
  'with a space': [pay('call_1', ' search')],
  'without a name': [pay('call_1', '')],
};

async function withheld(work: () => Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof OpenAI.APIError || error instanceof Anthropic.APIError, String(error));
    assert.equal(error.status, 403);
    assert.match(error.message, /not marked safe/);
    return true;
  });
}

for (const { api, path, ask, withSdk } of APIS)
  describe(`${api}: an answer from the record`, () => {
    const recorded = (parts: Part[], more: Partial<ModelCall> = {}) =>
      recordingOf([
        call([text('user', 'go')], [asks(...parts)], {
          api,
          model: 'm',
          provider: api === 'messages' ? 'anthropic' : 'openai',
          parameters: api === 'messages' ? { max_tokens: 9 } : {},
          ...more,
        }),
      ]);
    for (const [way, parts] of Object.entries(WAYS))
      test(`that asks for a write ${way} is withheld`, async (t) => {
        for (const isStream of [false, true]) {
          const server = await serveRecording(recorded(parts), SAFE);
          t.after(server.close);
          await withheld(() => withSdk(server.url, isStream));
          assert.equal(server.stops(), 1);
          // Nothing comes any more, be it harmless.
          await withheld(() => withSdk(server.url, isStream));
          const raw = await serveRecording(recorded(parts), SAFE);
          t.after(raw.close);
          const response = await post(`${raw.url}${path}`, ask(isStream));
          assert.ok(!(await response.text()).includes(MARK));
        }
      });

    test('of a sub-agent is withheld as well', async (t) => {
      const server = await serveRecording(
        recorded([pay('call_1')], { agent: 'helper', parentAgent: 'maker', role: 'sub' }),
        SAFE,
      );
      t.after(server.close);
      await withheld(() => withSdk(server.url, true));
    });

    test('goes out where the flag names the tool, and where it is safe', async (t) => {
      for (const isStream of [false, true]) {
        const named = await serveRecording(recorded([say, pay('call_1')]), { ...SAFE, allowWrites: ['pay'] });
        t.after(named.close);
        assert.ok(JSON.stringify(await withSdk(named.url, isStream)).includes(MARK));
        const safe = await serveRecording(recorded([say, search]), SAFE);
        t.after(safe.close);
        assert.ok(JSON.stringify(await withSdk(safe.url, isStream)).includes('call_s'));
        assert.deepEqual([named.stops(), safe.stops()], [0, 0]);
      }
    });
  });

describe('a fresh answer', () => {
  let provider: ScriptedProvider;
  before(async () => {
    provider = await startScriptedProvider(json({}));
  });
  after(() => provider?.close());

  const fn = { name: 'pay', arguments: `{"to":"${MARK}"}` };
  const chunk = (delta: object) => ({
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [{ index: 0, delta }],
  });
  const item = { type: 'function_call', id: 'fc_1', call_id: 'call_1', ...fn, status: 'completed' };
  const response = (output: object[]) => ({
    id: 'resp_1',
    object: 'response',
    status: 'completed',
    model: 'm',
    output,
  });
  const block = { type: 'tool_use', id: 'toolu_1', name: 'pay', input: { to: MARK } };
  const message = (content: object[]) => ({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content,
    usage: { input_tokens: 1, output_tokens: 1 },
  });
  const twice = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x","tool_calls":[{"id":"1","type":"function","function":{"name":"pay","arguments":"${MARK}"}}],"tool_calls":[]}}]}`;

  /** What providers could send, cut and written in ways that readers may take differently. */
  const CHAT = 0;
  const RESPONSES = 1;
  const MESSAGES = 2;
  const fresh: [string, number, Parameters<ScriptedProvider['next']>[0]][] = [
    [
      'a chat',
      CHAT,
      json({
        choices: [
          {
            index: 0,
            message: { role: 'assistant', tool_calls: [{ id: '1', type: 'function', function: fn }] },
          },
        ],
      }),
    ],
    [
      'a chat that was created',
      CHAT,
      json(
        { choices: [{ index: 0, message: { tool_calls: [{ id: '1', type: 'function', function: fn }] } }] },
        201,
      ),
    ],
    [
      'a chat, second choice',
      CHAT,
      json({
        choices: [
          { index: 0, message: { content: 'x' } },
          { index: 1, message: { tool_calls: [{ id: '1', type: 'function', function: fn }] } },
        ],
      }),
    ],
    [
      'a chat, the old way',
      CHAT,
      json({ choices: [{ index: 0, message: { role: 'assistant', function_call: fn } }] }),
    ],
    [
      'a chat, a custom tool',
      CHAT,
      json({
        choices: [
          {
            index: 0,
            message: { tool_calls: [{ id: '1', type: 'custom', custom: { name: 'pay', input: MARK } }] },
          },
        ],
      }),
    ],
    [
      'a streamed chat, behind text',
      CHAT,
      stream(
        sse(
          chunk({ content: 'Sure' }),
          chunk({ tool_calls: [{ index: 0, id: '1', function: fn }] }),
          '[DONE]',
        ),
      ),
    ],
    [
      'a streamed chat, its name in pieces',
      CHAT,
      stream(
        sse(
          chunk({ tool_calls: [{ index: 0, id: '1', function: { name: 'pa', arguments: MARK } }] }),
          chunk({ tool_calls: [{ index: 0, function: { name: 'y' } }] }),
          '[DONE]',
        ),
      ),
    ],
    [
      'a streamed chat, its bytes in pieces',
      CHAT,
      stream(...Array.from(sse(chunk({ tool_calls: [{ index: 0, id: '1', function: fn }] }), '[DONE]'))),
    ],
    [
      'a streamed chat in lines that end in CR',
      CHAT,
      stream(
        sse(chunk({ tool_calls: [{ index: 0, id: '1', function: fn }] }), '[DONE]').replaceAll('\n', '\r'),
      ),
    ],
    [
      'a streamed chat, data in two lines',
      CHAT,
      stream(
        `data: {"choices":[{"index":0,"delta":{"tool_calls":[\ndata: {"index":0,"id":"1","function":${JSON.stringify(fn)}}]}}]}\n\ndata: [DONE]\n\n`,
      ),
    ],
    [
      'a streamed chat that never ends',
      CHAT,
      stream(sse(chunk({ tool_calls: [{ index: 0, id: '1', function: fn }] }))),
    ],
    ['a response', RESPONSES, json(response([item]))],
    [
      'a response, a shell',
      RESPONSES,
      json(response([{ type: 'local_shell_call', id: '1', call_id: 'c', action: { command: [MARK] } }])),
    ],
    [
      'a streamed response',
      RESPONSES,
      stream(
        namedSse(
          { type: 'response.output_item.added', output_index: 0, item },
          { type: 'response.completed', response: response([]) },
        ),
      ),
    ],
    [
      'a streamed response, at its end only',
      RESPONSES,
      stream(namedSse({ type: 'response.completed', response: response([item]) })),
    ],
    ['a message', MESSAGES, json(message([{ type: 'text', text: 'Sure' }, block]))],
    [
      'a streamed message',
      MESSAGES,
      stream(
        namedSse(
          { type: 'message_start', message: message([]) },
          { type: 'content_block_start', index: 0, content_block: { ...block, input: {} } },
          {
            type: 'content_block_delta',
            index: 0,
            delta: { type: 'input_json_delta', partial_json: `{"to":"${MARK}"}` },
          },
          { type: 'message_stop' },
        ),
      ),
    ],
    [
      'a streamed message, in its head',
      MESSAGES,
      stream(namedSse({ type: 'message_start', message: message([block]) }, { type: 'message_stop' })),
    ],
    ['a message of an unknown kind', MESSAGES, json(message([{ type: 'act_now', payload: MARK }]))],
  ];
  for (const [way, at, answer] of fresh)
    test(`that asks for a write in ${way} is withheld`, async (t) => {
      const { path, ask } = APIS[at]!;
      for (const mode of ['model', 'live'] as const) {
        provider.next(answer);
        const server = await serveRecording(
          recordingOf([call([text('user', 'go')], [asks(say)], { model: 'm' })]),
          { ...SAFE, mode, gatewayUrl: provider.url },
        );
        t.after(server.close);
        const answered = await post(`${server.url}${path}`, ask(true));
        assert.equal(answered.status, 403);
        const said = await answered.text();
        assert.match(said, /not marked safe/);
        assert.ok(!said.includes(MARK), said);
        assert.equal(server.stops(), 1);
      }
    });

  test('goes out written anew: a key that stands twice is once', async (t) => {
    provider.next((out) => {
      out.writeHead(200, { 'content-type': 'application/json' });
      out.end(twice);
    });
    const server = await serveRecording(
      recordingOf([call([text('user', 'go')], [asks(say)], { model: 'm' })]),
      { ...SAFE, mode: 'model', gatewayUrl: provider.url },
    );
    t.after(server.close);
    const answered = await post(`${server.url}/v1/chat/completions`, APIS[CHAT]!.ask(false));
    assert.equal(answered.status, 200);
    assert.ok(!(await answered.text()).includes(MARK));
  });

  test('that cannot be understood goes nowhere', async (t) => {
    for (const answer of [
      stream('data: {"choices":[{"delta":{"tool_calls":[{\n\ndata: [DONE]\n\n'),
      json({ choices: [{ message: { tool_calls: 'pay' } }] }),
    ]) {
      provider.next(answer);
      const server = await serveRecording(
        recordingOf([call([text('user', 'go')], [asks(say)], { model: 'm' })]),
        { ...SAFE, mode: 'model', gatewayUrl: provider.url },
      );
      t.after(server.close);
      const answered = await post(`${server.url}/v1/chat/completions`, APIS[CHAT]!.ask(true));
      assert.equal(answered.status, 403);
    }
  });

  test('is not asked for where the provider itself would carry out a tool that is not safe', async (t) => {
    const before = provider.requests.length;
    const asked: [number, object][] = [
      [RESPONSES, { tools: [{ type: 'mcp', server_label: 'crm', server_url: 'https://crm.example' }] }],
      [RESPONSES, { prompt: { id: 'pmpt_1' } }],
      [MESSAGES, { mcp_servers: [{ type: 'url', name: 'crm', url: 'https://crm.example' }] }],
      [MESSAGES, { tools: [{ type: 'code_execution_20250825', name: 'code_execution' }] }],
      [CHAT, { web_search_options: {} }],
    ];
    for (const [at, more] of asked) {
      const { path, ask } = APIS[at]!;
      const server = await serveRecording(
        recordingOf([call([text('user', 'go')], [asks(say)], { model: 'm' })]),
        { ...SAFE, mode: 'model', gatewayUrl: provider.url },
      );
      t.after(server.close);
      const answered = await post(`${server.url}${path}`, { ...ask(false), ...more });
      assert.equal(answered.status, 403, JSON.stringify(more));
    }
    assert.equal(provider.requests.length, before);
  });
});

test('what a loop would do by other paths is not served, nor is a web page', async (t) => {
  const server = await serveRecording(recordingOf([call([text('user', 'go')], [asks(say)])]), SAFE);
  t.after(server.close);
  for (const [method, path] of [
    ['POST', '/v1/batches'],
    ['POST', '/v1/files'],
    ['GET', '/v1/responses/resp_1'],
    ['POST', '/v1/responses/resp_1/cancel'],
    ['POST', '/anthropic/v1/messages/batches'],
    ['POST', '/mcp/crm'],
  ] as const)
    assert.equal(
      (await fetch(`${server.url}${path}`, { method, ...(method === 'POST' && { body: '{}' }) })).status,
      404,
      path,
    );
  assert.equal(server.session.refused, 6);
  const fromPage = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    body: '{}',
    headers: { origin: 'https://evil.example' },
  });
  assert.equal(fromPage.status, 400);
});
