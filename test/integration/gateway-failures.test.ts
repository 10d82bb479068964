import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import {
  brokenStream,
  chatChunk,
  chatCompletion,
  json,
  type ScriptedProvider,
  sse,
  startScriptedProvider,
  stream,
} from '../support/scripted-provider.ts';
import { until } from '../support/until.ts';

const unexpected = () => assert.fail('expected an error, got an answer');

let provider: ScriptedProvider;
let gateway: TestGateway;

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('hello')));
  gateway = await startTestGateway({ providerUrl: provider.url });
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const url = (loop: string) => `${gateway.url}/loops/${loop}/v1/chat/completions`;
const client = (loop: string) =>
  new OpenAI({ apiKey: 'sk-own', baseURL: `${gateway.url}/loops/${loop}/v1`, maxRetries: 0 });
const body = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'hi' }] };
const post = (loop: string, more: object = {}, signal?: AbortSignal) =>
  fetch(url(loop), { method: 'POST', body: JSON.stringify({ ...body, ...more }), signal });

for (const [status, type, code, errorClass] of [
  [400, 'invalid_request_error', 'context_length_exceeded', OpenAI.BadRequestError],
  [401, 'invalid_request_error', 'invalid_api_key', OpenAI.AuthenticationError],
  [404, 'invalid_request_error', 'model_not_found', OpenAI.NotFoundError],
  [429, 'requests', null, OpenAI.RateLimitError],
  [503, null, null, OpenAI.InternalServerError],
] as const)
  test(`OpenAI's ${status} reaches the caller as it was sent and is recorded`, async () => {
    const sent = { error: { message: 'No.', type, param: null, code } };
    provider.next(json(sent, status, { 'retry-after': '7' }), json(sent, status, { 'retry-after': '7' }));
    const loop = `error-${status}`;
    const failed = await client(loop)
      .chat.completions.create(body)
      .then(unexpected, (e: unknown) => e);
    assert.ok(failed instanceof errorClass);
    assert.equal(failed.headers?.get('retry-after'), '7');
    const span = await gateway.callOf(loop);
    assert.equal(span.failed, true);
    assert.equal(span.attributes[A.httpStatus], status);
    assert.equal(span.attributes[A.errorType], code ?? type ?? String(status));
    const raw = await post(`${loop}-raw`);
    assert.equal(await raw.text(), JSON.stringify(sent));
  });

test("Anthropic's 529 reaches the caller as it was sent and is recorded", async () => {
  provider.next(json({ type: 'error', error: { type: 'overloaded_error', message: 'Busy.' } }, 529));
  const anthropic = new Anthropic({
    apiKey: 'sk-own',
    baseURL: `${gateway.url}/loops/busy/anthropic`,
    maxRetries: 0,
  });
  const asked = anthropic.messages.create({ ...body, max_tokens: 1 });
  await assert.rejects(asked, (e) => e instanceof Anthropic.APIError && e.status === 529);
  assert.equal((await gateway.callOf('busy')).attributes[A.errorType], 'overloaded_error');
});

test('a caller that hangs up ends the provider call and leaves a span that says so', async () => {
  const never = Promise.withResolvers<void>();
  provider.next(stream(sse(chatChunk({ content: 'so far' })), () => never.promise));
  const hangUp = new AbortController();
  const response = await post('hung-up', { stream: true }, hangUp.signal);
  const reader = response.body!.getReader();
  await reader.read();
  hangUp.abort();
  await until('the provider call to be cancelled', () => provider.requests.at(-1)!.hungUp);
  never.resolve();
  const span = await gateway.callOf('hung-up');
  assert.equal(span.attributes[A.errorType], 'client_disconnected');
  assert.equal(span.failed, true);
  assert.equal(span.attributes[A.outputText], 'so far');
  assert.ok(!(A.outputTokens in span.attributes));
});

test('a caller that leaves once the stream said that it was over did not hang up', async () => {
  const never = Promise.withResolvers<void>();
  provider.next(
    stream(sse(chatChunk({ content: 'PASS' }), chatChunk({}, 'stop'), '[DONE]'), () => never.promise),
  );
  const leave = new AbortController();
  const response = await post('left-at-done', { stream: true }, leave.signal);
  let seen = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    seen += chunk;
    if (seen.includes('[DONE]')) break;
  }
  leave.abort();
  await until('the provider call to be cancelled', () => provider.requests.at(-1)!.hungUp);
  never.resolve();
  const span = await gateway.callOf('left-at-done');
  assert.equal(span.failed, false);
  assert.ok(!(A.errorType in span.attributes));
  assert.equal(span.attributes[A.outputText], 'PASS');
});

test('a body nested deeper than it can be written again passes, and its call is recorded', async () => {
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  for (const [loop, more] of [
    ['deep-tools', `"tools":[${deep}],"messages":[]`],
    ['deep-content', `"messages":[{"role":"user","content":[{"type":"x","y":${deep}}]}]`],
  ] as const) {
    const sent = `{"model":"gpt-4o",${more}}`;
    const response = await fetch(url(loop), { method: 'POST', body: sent });
    assert.equal(response.status, 200);
    assert.equal(provider.requests.at(-1)!.body.toString(), sent);
    assert.equal((await gateway.callOf(loop)).attributes[A.inputTokens], 1000);
  }
});

test('a content type that is none is for the provider to judge', async () => {
  const response = await fetch(url('odd-type'), {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'json' },
  });
  assert.equal(response.status, 200);
  assert.equal(provider.requests.at(-1)!.headers['content-type'], 'json');
  assert.equal(provider.requests.at(-1)!.body.toString(), JSON.stringify(body));
});

test('a caller that hangs up before there is an answer ends the provider call too', async () => {
  const never = Promise.withResolvers<void>();
  provider.next(() => never.promise);
  const hangUp = new AbortController();
  const before = provider.requests.length;
  const asked = post('impatient', {}, hangUp.signal);
  await until('the provider to be asked', () => provider.requests.length > before);
  hangUp.abort();
  await assert.rejects(asked);
  await until('the provider call to be cancelled', () => provider.requests.at(-1)!.hungUp);
  never.resolve();
  const { attributes } = await gateway.callOf('impatient');
  assert.equal(attributes[A.errorType], 'client_disconnected');
  assert.ok(!(A.httpStatus in attributes));
});

test('a stream that breaks midway breaks for the caller, and is never recorded as whole', async () => {
  provider.next(brokenStream(sse(chatChunk({ content: 'half' }))));
  const response = await post('broken', { stream: true });
  assert.equal(response.status, 200);
  await assert.rejects(response.text());
  const span = await gateway.callOf('broken');
  assert.equal(span.attributes[A.errorType], 'stream_interrupted');
  assert.equal(span.failed, true);
});

test('a stream that ends in good order without saying so breaks for the caller, and is recorded as interrupted', async () => {
  provider.next(stream(sse(chatChunk({ content: 'half' }))));
  await assert.rejects((await post('unfinished', { stream: true })).text());
  assert.equal((await gateway.callOf('unfinished')).attributes[A.errorType], 'stream_interrupted');
});

test('a JSON answer cut short breaks for the caller', async () => {
  provider.next((response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
    response.write('{"id":');
    setImmediate(() => response.destroy());
  });
  await assert.rejects(post('cut').then((response) => response.text()));
  assert.equal((await gateway.callOf('cut')).attributes[A.errorType], 'stream_interrupted');
});

test('a provider that cannot be reached is a 502 the SDK understands, recorded as connection_error', async () => {
  const unused = createServer().listen(0, '127.0.0.1');
  await once(unused, 'listening');
  const { port } = unused.address() as { port: number };
  await new Promise((resolve) => unused.close(resolve));
  const lonely = await startTestGateway({ providerUrl: `http://127.0.0.1:${port}` });
  try {
    const openai = new OpenAI({ apiKey: 'sk-own', baseURL: `${lonely.url}/loops/away/v1`, maxRetries: 0 });
    const failed = await openai.chat.completions.create(body).then(unexpected, (e: unknown) => e);
    assert.ok(failed instanceof OpenAI.InternalServerError && failed.status === 502);
    assert.match(failed.message, /ECONNREFUSED.*base_url/);
    const { attributes } = await lonely.callOf('away');
    assert.equal(attributes[A.errorType], 'connection_error');
    assert.equal(attributes[A.httpStatus], 502);
  } finally {
    await lonely.close();
  }
});

test('a reason phrase outside ASCII does not keep the answer from the caller', async () => {
  const sent = 'HTTP/1.1 403 Accès refusé\r\ncontent-length: 2\r\n\r\n{}';
  const french = createServer((socket) => socket.once('data', () => socket.end(sent, 'latin1')));
  await once(french.listen(0, '127.0.0.1'), 'listening');
  const { port } = french.address() as { port: number };
  const abroad = await startTestGateway({ providerUrl: `http://127.0.0.1:${port}` });
  try {
    const response = await fetch(`${abroad.url}/loops/abroad/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(5_000),
    });
    assert.deepEqual([response.status, await response.text()], [403, '{}']);
    assert.equal((await abroad.callOf('abroad')).attributes[A.errorType], '403');
  } finally {
    await abroad.close();
    french.close();
  }
});

test('a redirect is passed on, not followed', async () => {
  provider.next((response) => {
    response.writeHead(307, { location: 'http://127.0.0.1:1/elsewhere' });
    response.end();
  });
  const response = await fetch(url('moved'), { method: 'POST', body: '{}', redirect: 'manual' });
  assert.equal(response.status, 307);
  assert.equal(response.headers.get('location'), 'http://127.0.0.1:1/elsewhere');
});

test('a slow reader holds the provider back instead of filling memory', async () => {
  const total = 64 * 1024 * 1024;
  const chunk = Buffer.alloc(64 * 1024, 120);
  let sent = 0;
  provider.next(async (response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': total });
    while (sent < total) {
      sent += chunk.length;
      if (!response.write(chunk)) await once(response, 'drain');
    }
    response.end();
  });
  const response = await post('slow');
  const reader = response.body!.getReader();
  await reader.read();
  let before = -1;
  await until('the provider to be held back', async () => {
    const still = before === sent;
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 50));
    return still;
  });
  assert.ok(sent < total / 2, `${sent} bytes were taken from the provider`);
  let received = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) received += part.value.length;
  assert.ok(received > total - 1024 * 1024);
});

test('closing the gateway lets a call finish, ends one that does not, and records both', async () => {
  const closing = await startTestGateway({ providerUrl: provider.url });
  const gate = Promise.withResolvers<void>();
  const never = Promise.withResolvers<void>();
  const first = sse(chatChunk({ content: 'a' }));
  const rest = sse(chatChunk({ content: 'b' }, 'stop'), '[DONE]');
  const ask = async (loop: string, step: () => Promise<unknown>) => {
    provider.next(stream(first, step, rest));
    const to = `${closing.url}/loops/${loop}/v1/chat/completions`;
    const response = await fetch(to, { method: 'POST', body: JSON.stringify({ ...body, stream: true }) });
    return response.text();
  };
  const before = provider.requests.length;
  const finishing = ask('finishing', () => gate.promise);
  await until('the first call', () => provider.requests.length === before + 1);
  const endless = ask('endless', () => never.promise);
  endless.catch(() => {}); // looked at below
  await until('the second call', () => provider.requests.length === before + 2);
  const closed = closing.close();
  gate.resolve();
  assert.equal(await finishing, first + rest);
  await assert.rejects(endless);
  await closed;
  never.resolve();
  const call = (loop: string) =>
    closing.spans().find((s) => s.attributes[A.loop] === loop && s.attributes[A.record] === 'call')!;
  assert.equal(call('finishing').failed, false);
  assert.equal(call('endless').attributes[A.errorType], 'client_disconnected');
  assert.equal(closing.spans().filter((s) => s.attributes[A.record] === 'run').length, 2);
});
