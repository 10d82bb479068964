import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readRoute } from '../../src/gateway/route.ts';

const at = (url: string, version?: string) => {
  const route = readRoute(url, version);
  if (route?.to !== 'provider') return route;
  const { provider, path, query, loop, agent } = route;
  return [provider, path, query, loop, agent];
};

test('paths lead to their provider, behind a loop and agent or not', () => {
  const cases: [string, unknown[]][] = [
    ['/v1/chat/completions', ['openai', '/chat/completions', '', undefined, undefined]],
    ['/openai/v1/chat/completions', ['openai', '/chat/completions', '', undefined, undefined]],
    ['/openai/chat/completions?a=%20b', ['openai', '/chat/completions', '?a=%20b', undefined, undefined]],
    ['/v1/messages?beta=true', ['anthropic', '/v1/messages', '?beta=true', undefined, undefined]],
    ['/v1/messages/count_tokens', ['anthropic', '/v1/messages/count_tokens', '', undefined, undefined]],
    ['/anthropic', ['anthropic', '', '', undefined, undefined]],
    ['/anthropic/v1/messages', ['anthropic', '/v1/messages', '', undefined, undefined]],
    ['/v1/models', ['openai', '/models', '', undefined, undefined]],
    ['/v1/messagesx', ['openai', '/messagesx', '', undefined, undefined]],
    ['/loops/a/v1/models', ['openai', '/models', '', 'a', undefined]],
    ['/loops/a/agents/b/anthropic/v1/messages', ['anthropic', '/v1/messages', '', 'a', 'b']],
    ['/loops/a%2Eb/agents/x%3Ay/v1/messages', ['anthropic', '/v1/messages', '', 'a.b', 'x:y']],
  ];
  for (const [url, expected] of cases) assert.deepEqual(at(url), expected, url);
  assert.deepEqual(at('/v1/models', '2023-06-01'), ['anthropic', '/v1/models', '', undefined, undefined]);
});

test('statements carry loop and run', () => {
  assert.deepEqual(at('/loops/a/runs/r%3A1/verdict'), {
    to: 'statement',
    kind: 'verdict',
    loop: 'a',
    run: 'r:1',
  });
  assert.equal(at('/loops/a/runs/r1/other'), undefined);
});

test('a path that leads nowhere is no route', () => {
  for (const url of [
    '/',
    '/v2/x',
    '/v1x',
    '/openaix/v1',
    '/loops',
    '/loops/a',
    '/loops/a/agents/b',
    '/healthzz',
  ])
    assert.equal(at(url), undefined, url);
});

test('a path cannot climb out of the base URL, however its dots are spelt', () => {
  for (const url of [
    '/anthropic/../x',
    '/v1/%2e%2E/x',
    '/v1/.%2e/x',
    '/v1/a%2f..%2fb',
    '/v1/a\\..\\b',
    '/openai/./v1',
  ])
    assert.throws(() => readRoute(url), { code: 'bad_input' }, url);
  assert.ok(readRoute('/v1/files/a..b'));
});

test("any other provider is a name in the path; its base URL has the version already where its API is OpenAI's", () => {
  const others = new Map([
    ['groq', 'openai'],
    ['zai', 'anthropic'],
  ] as const);
  const cases: [string, unknown[] | undefined][] = [
    ['/groq/v1/chat/completions', ['groq', 'openai', '/chat/completions', undefined]],
    ['/groq/chat/completions?a=b', ['groq', 'openai', '/chat/completions', undefined]],
    [
      '/groq/openai/deployments/gpt-4o/chat/completions',
      ['groq', 'openai', '/openai/deployments/gpt-4o/chat/completions', undefined],
    ],
    ['/groq', ['groq', 'openai', '', undefined]],
    ['/loops/a/agents/b/groq/v1/models', ['groq', 'openai', '/models', 'a']],
    ['/zai/v1/messages', ['zai', 'anthropic', '/v1/messages', undefined]],
    ['/groqx/v1/models', undefined],
    ['/mistral/v1/models', undefined],
    ['/constructor/v1/models', undefined],
  ];
  for (const [url, expected] of cases) {
    const route = readRoute(url, undefined, others);
    const read = route?.to === 'provider' && [route.provider, route.protocol.api, route.path, route.loop];
    assert.deepEqual(read || undefined, expected, url);
  }
});
