import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import {
  callerTimeouts,
  isRetryableStatus,
  mayRepeat,
  retryAdvice,
  retryWaitMs,
} from '../../src/gateway/routing/retry.ts';

const NOW = Date.parse('2026-11-26T12:00:00Z');
const policy = { initialWaitMs: 500, waitMsMax: 8_000, retryAfterMsMax: 60_000 };

test('statuses that another attempt may better are retried, unless the provider says otherwise', () => {
  for (const status of [408, 429, 500, 502, 503, 504, 529]) {
    assert.equal(isRetryableStatus(status, undefined), true, `${status}`);
    assert.equal(isRetryableStatus(status, false), false, `${status}`);
  }
  for (const status of [400, 401, 403, 404, 409, 413, 422, 501, 505]) {
    assert.equal(isRetryableStatus(status, undefined), false, `${status}`);
    assert.equal(isRetryableStatus(status, true), true, `${status}`);
  }
});

test('what may have been done already is done again only where that is harmless', () => {
  for (const reason of ['connection_lost', 'first_token_timeout', 'http_500', 'http_504'] as const) {
    assert.equal(mayRepeat(reason, true), true);
    assert.equal(mayRepeat(reason, false), false);
    assert.equal(mayRepeat(reason, false, true), true);
  }
  for (const reason of ['connect_failed', 'connect_timeout', 'http_429', 'http_503', 'http_529'] as const)
    assert.equal(mayRepeat(reason, false), true);
  assert.equal(mayRepeat('unsendable', true, true), false);
});

test('the wait that a provider asks for is read in each of its forms', () => {
  const cases: [string[], number | undefined][] = [
    [['Retry-After', '2'], 2_000],
    [['retry-after', '0.5'], 500],
    [['retry-after', 'Thu, 26 Nov 2026 12:00:07 GMT'], 7_000],
    [['retry-after', 'Thu, 26 Nov 2026 11:00:00 GMT'], 0],
    [['retry-after', '9', 'Retry-After-Ms', '120'], 120],
    [['retry-after-ms', 'soon', 'retry-after', '3'], 3_000],
    [['retry-after', '-1'], undefined],
    [['retry-after', ''], undefined],
    [['retry-after', '1e9'], undefined],
    [['retry-after', 'Infinity'], undefined],
    [['date', 'Thu, 26 Nov 2026 11:00:00 GMT'], undefined],
  ];
  for (const [headers, afterMs] of cases)
    assert.equal(retryAdvice(headers, NOW).afterMs, afterMs, headers.join(': '));
  assert.equal(retryAdvice(['X-Should-Retry', 'true'], NOW).should, true);
  assert.equal(retryAdvice(['x-should-retry', 'false'], NOW).should, false);
  assert.equal(retryAdvice(['x-should-retry', 'maybe'], NOW).should, undefined);
});

test('waits are spread evenly up to a bound that doubles', () => {
  assert.equal(retryWaitMs(1, undefined, policy, 0), 0);
  assert.equal(retryWaitMs(1, undefined, policy, 0.5), 250);
  assert.equal(retryWaitMs(3, undefined, policy, 0.5), 1_000);
  assert.equal(retryWaitMs(10, undefined, policy, 0.5), 4_000);
  assert.equal(retryWaitMs(1, 0, policy, 0.5), 250);
});

test('a wait that is asked for is kept, a little lengthened and never shortened', () => {
  assert.equal(retryWaitMs(1, 2_000, policy, 0), 2_000);
  assert.equal(retryWaitMs(1, 2_000, policy, 0.5), 2_100);
  assert.equal(retryWaitMs(1, 60_000, policy, 0.5), 60_250);
  assert.equal(retryWaitMs(1, 60_001, policy, 0.5), undefined);
});

test("a caller's patience is read from its SDK's headers", () => {
  const forever = Number.POSITIVE_INFINITY;
  assert.deepEqual(callerTimeouts({}), { answerMs: forever, totalMs: forever });
  assert.deepEqual(callerTimeouts({ 'x-stainless-timeout': '600' }), { answerMs: 600_000, totalMs: forever });
  assert.deepEqual(callerTimeouts({ 'x-stainless-timeout': '0' }), { answerMs: 1_000, totalMs: forever });
  assert.deepEqual(callerTimeouts({ 'x-stainless-read-timeout': '2.5' }), {
    answerMs: 2_500,
    totalMs: forever,
  });
  assert.deepEqual(callerTimeouts({ 'x-stainless-timeout': 'NaN' }), { answerMs: forever, totalMs: forever });
  const both = callerTimeouts({ 'x-stainless-timeout': '60', 'x-request-timeout-ms': '2000' });
  assert.deepEqual(both, { answerMs: 2_000, totalMs: 2_000 });
});

test('the official SDKs are understood', async () => {
  const sent: Record<string, string>[] = [];
  const fetch = async (_: unknown, init?: RequestInit) => {
    sent.push(Object.fromEntries(new Headers(init?.headers)));
    return Response.json({});
  };
  const options = { apiKey: 'k', baseURL: 'http://provider.test', maxRetries: 0, timeout: 7_500, fetch };
  const messages = [{ role: 'user' as const, content: 'hi' }];
  await new OpenAI(options).chat.completions.create({ model: 'm', messages }, { timeout: 9_000 });
  await new Anthropic(options).messages.create({ model: 'm', max_tokens: 1, messages });
  assert.deepEqual(
    sent.map((headers) => callerTimeouts(headers).answerMs),
    [9_000, 7_000],
  );
});
