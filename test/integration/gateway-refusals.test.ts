import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { pino } from 'pino';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import {
  chatCompletion,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';

const unexpected = () => assert.fail('expected an error, got an answer');

let provider: ScriptedProvider;
let open: TestGateway;
let strict: TestGateway;
const logged: string[] = [];

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('hello')));
  const options = {
    providerUrl: provider.url,
    loops: [LoopDefinition.parse({ loop: 'known', owner: 'us' })],
    keys: {
      lsk_known: { loop: 'known' },
      lsk_maker: { loop: 'known', agent: 'maker' },
      lsk_old: 'revoked' as const,
    },
    log: pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) }),
  };
  open = await startTestGateway({ ...options, env: {} });
  strict = await startTestGateway({ ...options, config: { registry: 'strict' } });
});
after(async () => {
  await open.close();
  await strict.close();
  await provider.close();
});

const openai = (base: string, apiKey: string, headers: Record<string, string> = {}) =>
  new OpenAI({ apiKey, baseURL: `${base}/v1`, defaultHeaders: headers });
const anthropic = (base: string, apiKey: string) => new Anthropic({ apiKey, baseURL: `${base}/anthropic` });
const ask = (client: OpenAI) =>
  client.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] });
const askAnthropic = (client: Anthropic) =>
  client.messages.create({ model: 'm', max_tokens: 1, messages: [{ role: 'user', content: 'hi' }] });

test('an unknown or revoked key is an AuthenticationError in both SDKs, and says what to do', async () => {
  for (const secret of ['lsk_never_made', 'lsk_old']) {
    const refused = await ask(openai(open.url, secret)).then(unexpected, (e: unknown) => e);
    assert.ok(refused instanceof OpenAI.AuthenticationError);
    assert.equal(refused.code, 'invalid_api_key');
    assert.match(refused.message, /loopscope keys create --loop/);

    const refusedToo = await askAnthropic(anthropic(open.url, secret)).then(unexpected, (e: unknown) => e);
    assert.ok(refusedToo instanceof Anthropic.AuthenticationError);
    assert.equal(refusedToo.type, 'authentication_error');
    assert.match(refusedToo.message, /loopscope keys create --loop/);
  }
  assert.equal(provider.requests.length, 0);
});

test('a key speaks for its own loop only, whatever the path or the header says', async () => {
  for (const client of [
    openai(`${open.url}/loops/other`, 'lsk_known'),
    openai(open.url, 'lsk_known', { 'x-loop': 'other' }),
  ])
    await assert.rejects(
      ask(client),
      (e) => e instanceof OpenAI.PermissionDeniedError && e.code === 'key_not_for_loop',
    );
});

test('a key of one agent speaks for it and its sub-agents, not for another agent', async () => {
  const as = (headers: Record<string, string>) => openai(strict.url, 'lsk_maker', headers);
  await ask(as({}));
  await ask(as({ 'x-loop-agent': 'searcher', 'x-loop-parent-agent': 'maker' }));
  await assert.rejects(ask(as({ 'x-loop-agent': 'reviewer' })), OpenAI.PermissionDeniedError);
});

test('under `registry: strict` a loop that nobody registered is refused, by call and by statement', async () => {
  await assert.rejects(
    ask(openai(`${strict.url}/loops/stranger`, 'sk-own')),
    (e) => e instanceof OpenAI.PermissionDeniedError && e.code === 'loop_unregistered',
  );
  await assert.rejects(
    askAnthropic(anthropic(`${strict.url}/loops/stranger`, 'sk-own')),
    (e) => e instanceof Anthropic.PermissionDeniedError && e.type === 'permission_error',
  );
  const said = await fetch(`${strict.url}/loops/stranger/runs/r1/end`, { method: 'POST' });
  assert.equal(said.status, 403);
  await ask(openai(`${strict.url}/loops/known`, 'sk-own'));
});

test('a virtual key without a configured provider key is a clear error that is not tried again', async () => {
  const before = provider.requests.length;
  const refused = await ask(openai(open.url, 'lsk_known')).then(unexpected, (e: unknown) => e);
  assert.ok(refused instanceof OpenAI.InternalServerError);
  assert.match(refused.message, /OPENAI_API_KEY/);
  assert.equal(provider.requests.length, before);
  const calls = await open.spansOf('known', 1, 'call');
  assert.equal(calls.length, 1);
  assert.equal(calls[0]!.attributes['error.type'], 'provider_key_missing');
});

test('an unknown path is a 404 in JSON that says what there is', async () => {
  for (const path of [
    '/',
    '/favicon.ico',
    '/loops/x',
    '/mcp/server',
    '/loops/x/runs/r1/verdict',
    '/%zz',
    '/v2/models',
  ]) {
    const response = await fetch(open.url + path);
    assert.ok(response.status === 404 || (path === '/%zz' && response.status === 400), path);
    const body = (await response.json()) as { error: { message: string } };
    assert.ok(body.error.message.length > 20, path);
  }
});

test('hostile names and headers are refused with 400 and break nothing', async () => {
  const cases: [string, Record<string, string>][] = [
    ['/v1/chat/completions', { 'x-loop': 'a b' }],
    ['/v1/chat/completions', { 'x-loop': '../../etc' }],
    ['/v1/chat/completions', { 'x-loop-run': "'; DROP TABLE runs" }],
    ['/v1/chat/completions', { 'x-loop-agent': 'é'.repeat(3) }],
    ['/v1/chat/completions', { 'x-loop-run': 'r'.repeat(201) }],
    ['/v1/chat/completions', { 'x-loop': '__proto__' }],
    ['/loops/a%2Fb/v1/chat/completions', {}],
    ['/loops/%00/v1/chat/completions', {}],
    ['/loops/a/v1/chat/completions', { 'x-loop': 'b' }],
  ];
  const before = provider.requests.length;
  for (const [path, headers] of cases) {
    const response = await fetch(open.url + path, { method: 'POST', body: '{}', headers });
    assert.equal(response.status, 400, `${path} ${JSON.stringify(headers)}`);
    assert.ok(((await response.json()) as { error: { message: string } }).error.message);
  }
  assert.equal(provider.requests.length, before);
  const odd = { 'x-loop': 'odd', traceparent: 'nonsense', tracestate: '=,=', 'anthropic-version': '\t' };
  const response = await fetch(`${open.url}/v1/chat/completions`, {
    method: 'POST',
    body: '{"model":',
    headers: odd,
  });
  assert.equal(response.status, 200, 'a traceparent that is none counts as none');
});

test('a body over the limit is refused in the words of the API', async () => {
  const body = Buffer.alloc(LIMITS.gatewayBodyBytesMax + 1, 32);
  const response = await fetch(`${open.url}/anthropic/v1/messages`, { method: 'POST', body }).catch(
    () => undefined,
  );
  // The connection may be gone before the answer is read; where it is not, the answer is right.
  if (response) {
    assert.equal(response.status, 413);
    assert.equal(((await response.json()) as { error: { type: string } }).error.type, 'request_too_large');
  }
});

test('health, readiness and counters are served', async () => {
  assert.equal(await (await fetch(`${open.url}/healthz`)).text(), 'ok');
  assert.deepEqual(await (await fetch(`${open.url}/readyz`)).json(), { ready: true, reasons: [] });
  const metrics = await (await fetch(`${open.url}/metrics`)).text();
  assert.match(metrics, /loopscope_gateway_refused_total\{code="key_invalid"\} \d+/);
  assert.match(metrics, /loopscope_gateway_requests_total\{provider="openai",status="500"\} 1/);
  assert.match(metrics, /loopscope_gateway_spans_lost_total\{reason="unwritten"\} 0/);
});

test('no key is in any log line or span', () => {
  const text =
    logged.join('\n') + JSON.stringify([open, strict].flatMap((g) => g.spans().map((s) => s.attributes)));
  assert.ok(!/lsk_|sk-own|sk-configured|sk-ant-configured/.test(text));
});
