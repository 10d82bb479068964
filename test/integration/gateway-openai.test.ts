import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import OpenAI from 'openai';
import { contentHash, inputHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import {
  chatChunk,
  chatCompletion,
  json,
  type ScriptedProvider,
  sse,
  startScriptedProvider,
  stream,
} from '../support/scripted-provider.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('four')));
  gateway = await startTestGateway({ providerUrl: provider.url, keys: { lsk_good: { loop: 'keyed' } } });
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const client = (loop: string, apiKey = 'sk-own') =>
  new OpenAI({ apiKey, baseURL: `${gateway.url}/loops/${loop}/v1`, maxRetries: 0 });

const question = (content = 'What is 2+2?') => ({
  model: 'gpt-4o',
  messages: [
    { role: 'system' as const, content: 'Answer in one word.' },
    { role: 'user' as const, content },
  ],
});

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('an answer through the official client is on the span with usage, served model, finish reason and cost', async () => {
  const { data, response } = await client('plain')
    .chat.completions.create({ ...question(), temperature: 0.5, max_tokens: 7, seed: 3, top_p: 0.9 })
    .withResponse();
  assert.equal(data.choices[0]!.message.content, 'four');

  const span = await gateway.callOf('plain');
  assert.equal(span.name, 'chat gpt-4o');
  assert.equal(span.kind, 3);
  assert.equal(span.failed, false);
  assert.equal(response.headers.get('x-loopscope-trace'), span.traceId);
  assert.equal(response.headers.get('x-loopscope-run'), span.attributes[A.runId]);
  const expected = {
    [A.record]: 'call',
    [A.operation]: 'chat',
    [A.provider]: 'openai',
    [A.requestModel]: 'gpt-4o',
    [A.responseModel]: 'gpt-4o-2024-08-06',
    [A.responseId]: 'chatcmpl-1',
    [A.finishReasons]: ['stop'],
    [A.inputTokens]: 1000,
    [A.outputTokens]: 100,
    [A.cacheReadTokens]: 400,
    [A.reasoningTokens]: 30,
    [A.requestTemperature]: 0.5,
    [A.requestMaxTokens]: 7,
    [A.requestSeed]: 3,
    [A.requestTopP]: 0.9,
    [A.requestStream]: false,
    [A.httpStatus]: 200,
    [A.serverAddress]: '127.0.0.1',
    [A.serverPort]: Number(new URL(provider.url).port),
    [A.registered]: false,
    [A.agentName]: 'main',
    [A.agentRole]: 'maker',
    [A.inputHash]: inputHash('What is 2+2?'),
    [A.inputText]: 'What is 2+2?',
    [A.outputText]: 'four',
    [A.promptVersion]: contentHash('Answer in one word.').slice(0, 12),
  };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(span.attributes[name], value, name);
  assert.equal(span.attributes[A.costUsd], 0.003);
  assert.ok((span.attributes[A.timeToFirstChunk] as number) > 0);
  assert.ok(!(A.toolsVersion in span.attributes));
  assert.deepEqual(JSON.parse(span.attributes[A.outputMessages] as string), [
    { role: 'assistant', parts: [{ type: 'text', content: 'four' }], finish_reason: 'stop' },
  ]);
  assert.deepEqual(
    JSON.parse(span.attributes[A.inputMessages] as string).map((m: { role: string }) => m.role),
    ['system', 'user'],
  );
});

test('request and answer bytes are the same on both sides, headers too', async () => {
  const odd = Buffer.from('{ "model":"gpt-4o",\n\t"messages":[ ],  "x":1.0 }');
  const answer = Buffer.from(`{"weird"  :  ${JSON.stringify('ü\u2028')} , "choices":[]}\n\n`);
  provider.next((response) => {
    response.writeHead(200, 'Very Fine', [
      'Content-Type',
      'application/json',
      'X-Request-Id',
      'req_1',
      'Set-Cookie',
      'a=1',
      'Set-Cookie',
      'b=2',
      'x-ratelimit-remaining-requests',
      '9',
    ]);
    response.end(answer);
  });
  const response = await fetch(`${gateway.url}/openai/v1/chat/completions?beta=true&x=%2F`, {
    method: 'POST',
    body: odd,
    headers: {
      'content-type': 'application/json',
      authorization: 'Bearer sk-own',
      'x-loop': 'bytes',
      'x-other': 'kept',
    },
  });
  assert.equal(response.statusText, 'Very Fine');
  assert.equal(response.headers.get('x-request-id'), 'req_1');
  assert.equal(response.headers.get('x-ratelimit-remaining-requests'), '9');
  assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2']);
  assert.equal(sha256(await response.bytes()), sha256(answer));

  const got = provider.requests.at(-1)!;
  assert.equal(sha256(got.body), sha256(odd));
  assert.equal(got.url, '/v1/chat/completions?beta=true&x=%2F');
  assert.equal(got.headers.authorization, 'Bearer sk-own');
  assert.equal(got.headers['x-other'], 'kept');
  assert.equal(got.headers.host, new URL(provider.url).host);
  assert.ok(!Object.keys(got.headers).some((name) => name.startsWith('x-loop')));
});

test('a stream arrives as it comes, and its usage and first chunk are on the span', async () => {
  const gate = Promise.withResolvers<void>();
  const usage = {
    prompt_tokens: 10,
    completion_tokens: 2,
    total_tokens: 12,
    prompt_tokens_details: { cached_tokens: 0 },
  };
  provider.next(
    stream(
      sse(chatChunk({ role: 'assistant', content: 'fo' })),
      () => gate.promise,
      sse(
        chatChunk({ content: 'ur' }),
        chatChunk({}, 'stop'),
        { ...chatChunk({}), choices: [], usage },
        '[DONE]',
      ),
    ),
  );
  const chunks = await client('streamed').chat.completions.create({
    ...question(),
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  for await (const chunk of chunks) {
    text += chunk.choices[0]?.delta.content ?? '';
    // The provider sends no more until the first chunk has arrived here.
    gate.resolve();
  }
  assert.equal(text, 'four');
  const span = await gateway.callOf('streamed');
  assert.equal(span.failed, false);
  assert.equal(span.attributes[A.requestStream], true);
  assert.equal(span.attributes[A.outputText], 'four');
  assert.equal(span.attributes[A.inputTokens], 10);
  assert.equal(span.attributes[A.outputTokens], 2);
  assert.equal(span.attributes[A.cacheReadTokens], 0);
  assert.equal(span.attributes[A.responseModel], 'gpt-4o-2024-08-06');
  assert.deepEqual(span.attributes[A.finishReasons], ['stop']);
  assert.ok((span.attributes[A.costUsd] as number) > 0);
  const seconds = Number(span.endNs - span.startNs) / 1e9;
  assert.ok((span.attributes[A.timeToFirstChunk] as number) <= seconds);
});

test('a stream is asked for in plain bytes, whatever its caller could unpack; another answer as the caller says', async () => {
  for (const [isStream, expected] of [
    [true, 'identity'],
    [false, 'gzip, br'],
  ] as const) {
    const response = await fetch(`${gateway.url}/loops/plain-bytes/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'gpt-4o', stream: isStream, messages: [] }),
      headers: { authorization: 'Bearer sk-own', 'accept-encoding': 'gzip, br' },
    });
    await response.bytes();
    assert.equal(provider.requests.at(-1)!.headers['accept-encoding'], expected);
  }
});

test('a stream without usage leaves it unknown, not 0', async () => {
  provider.next(stream(sse(chatChunk({ content: 'yes' }), chatChunk({}, 'stop'), '[DONE]')));
  const chunks = await client('no-usage').chat.completions.create({ ...question(), stream: true });
  for await (const _ of chunks);
  const span = await gateway.callOf('no-usage');
  assert.equal(span.failed, false);
  for (const name of [A.inputTokens, A.outputTokens, A.cacheReadTokens, A.costUsd])
    assert.ok(!(name in span.attributes), name);
});

test('tools go out and tool calls come back, in streams too', async () => {
  const tools = [
    {
      type: 'function' as const,
      function: { name: 'open_pr', parameters: { type: 'object', properties: {} } },
    },
  ];
  const piece = (args: string, start: object = {}) =>
    chatChunk({ tool_calls: [{ index: 0, ...start, function: { ...start, arguments: args } }] });
  provider.next(
    stream(
      sse(
        chatChunk({ role: 'assistant', content: null }),
        piece('', { id: 'call_1', type: 'function', name: 'open_pr' }),
        piece('{"title":'),
        piece('"x"}'),
        chatChunk({}, 'tool_calls'),
        '[DONE]',
      ),
    ),
  );
  const completion = await client('tools')
    .chat.completions.stream({ ...question(), tools })
    .finalChatCompletion();
  assert.equal(completion.choices[0]!.message.tool_calls?.[0]?.type, 'function');
  const span = await gateway.callOf('tools');
  assert.deepEqual(span.attributes[A.finishReasons], ['tool_calls']);
  assert.equal(span.attributes[A.toolsVersion], contentHash(JSON.stringify(tools)).slice(0, 12));
  assert.deepEqual(JSON.parse(span.attributes[A.outputMessages] as string)[0].parts, [
    { type: 'tool_call', id: 'call_1', name: 'open_pr', arguments: '{"title":"x"}' },
  ]);
});

for (const [encoding, compress] of Object.entries({
  gzip: gzipSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
}))
  test(`an answer in ${encoding} passes as it is and is read`, async () => {
    const bytes = compress(JSON.stringify(chatCompletion('packed')));
    provider.next((response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': encoding });
      response.end(bytes);
    });
    const loop = `packed-${encoding}`;
    const answer = await client(loop).chat.completions.create(question());
    assert.equal(answer.choices[0]!.message.content, 'packed');
    const span = await gateway.callOf(loop);
    assert.equal(span.attributes[A.outputText], 'packed');
    assert.equal(span.attributes[A.outputTokens], 100);
  });

test('other paths below the provider pass through and are recorded without an operation', async () => {
  provider.next(
    json({ object: 'list', data: [{ id: 'gpt-4o', object: 'model', created: 1, owned_by: 'x' }] }),
  );
  const models = await client('lists').models.list();
  assert.equal(models.data[0]!.id, 'gpt-4o');
  const [span] = await gateway.spansOf('lists', 1, 'request');
  assert.equal(span!.name, 'GET /models');
  assert.ok(!(A.operation in span!.attributes));
});

test('a virtual key names the loop and is exchanged for the configured key', async () => {
  const openai = new OpenAI({ apiKey: 'lsk_good', baseURL: `${gateway.url}/v1`, maxRetries: 0 });
  await openai.chat.completions.create(question());
  const got = provider.requests.at(-1)!;
  assert.equal(got.headers.authorization, 'Bearer sk-configured');
  assert.ok(!JSON.stringify(got.rawHeaders).includes('lsk_'));
  const span = await gateway.callOf('keyed');
  assert.ok(!JSON.stringify(span.attributes).match(/lsk_|sk-configured/));
});
