import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { cacheKey } from '../../src/gateway/idempotency/cache-key.ts';
import { Replay, type ReplayRequest } from '../../src/gateway/idempotency/replay.ts';
import {
  credentials,
  idempotencyKey,
  recordingKey,
  requestFingerprint,
} from '../../src/gateway/idempotency/request-key.ts';
import { CacheSettings, IdempotencySettings } from '../../src/gateway/idempotency/settings.ts';

const protocol = { api: 'openai', keyHeaders: ['authorization'] } as const;
const request = (changes: Partial<ReplayRequest> & { text?: string } = {}): ReplayRequest => {
  const text = changes.text ?? '{"model":"m","messages":[]}';
  return {
    provider: 'openai',
    protocol,
    loop: 'primes',
    method: 'POST',
    path: '/chat/completions',
    headers: { authorization: 'Bearer sk-1' },
    body: Buffer.from(text),
    json: JSON.parse(text),
    virtualKey: false,
    cacheTtlS: undefined,
    ...changes,
  };
};

test('a key is what its header says, and a header that says none is refused', () => {
  assert.equal(idempotencyKey('POST', {}), undefined);
  assert.equal(idempotencyKey('POST', { 'idempotency-key': '8e03978e-40d5' }), '8e03978e-40d5');
  assert.equal(idempotencyKey('POST', { 'idempotency-key': 'x'.repeat(255) })?.length, 255);
  for (const bad of ['', 'x'.repeat(256), 'naïve', 'a\tb'])
    assert.throws(
      () => idempotencyKey('POST', { 'idempotency-key': bad }),
      (error) => error instanceof LoopscopeError && error.code === 'bad_input',
      bad,
    );
});

test('the answer to a question is to be today’s, whatever key it came with', () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS'])
    assert.equal(idempotencyKey(method, { 'idempotency-key': '' }), undefined);
});

test('a key belongs to a loop and to the credentials it came with', () => {
  const of = (changes: Parameters<typeof request>[0]) => recordingKey(request(changes), 'k');
  assert.equal(of({}), of({ text: '{"other":true}' }));
  assert.notEqual(of({}), of({ loop: 'other' }));
  assert.notEqual(of({}), of({ headers: { authorization: 'Bearer sk-2' } }));
  assert.notEqual(of({}), of({ headers: {} }));
  assert.notEqual(recordingKey(request(), 'k'), recordingKey(request(), 'k2'));
  assert.doesNotMatch(credentials(request()), /sk-1/);
});

test('a request is told from another by its method, path and every byte of its body', () => {
  const of = (changes: Parameters<typeof request>[0]) => requestFingerprint(request(changes));
  assert.equal(of({}), of({ headers: { 'x-stainless-retry-count': '1' } }));
  const others = [
    of({}),
    of({ method: 'PUT' }),
    of({ path: '/embeddings' }),
    of({ path: '/chat/completions?a' }),
    of({ provider: 'azure' }),
    of({ text: '{"messages":[],"model":"m"}' }),
    of({ body: undefined }),
  ];
  assert.equal(new Set(others).size, others.length);
});

const cached = (text: string, changes: Partial<ReplayRequest> = {}) =>
  cacheKey(request({ text, ...changes }));

test('calls are the same in the cache however their JSON is written', () => {
  const key = cached('{"model":"m","tools":[{"a":1,"b":[2,{"c":null,"d":"é"}]}]}');
  assert.ok(key);
  assert.equal(key, cached('{ "tools": [ {"b":[2,{"d":"\\u00e9","c":null}], "a":1.0} ], "model":"m" }'));
  assert.notEqual(key, cached('{"model":"m","tools":[{"a":1,"b":[{"c":null,"d":"é"},2]}]}'));
  assert.equal(cached('{"__proto__":{"a":1}}') === cached('{"__proto__":{"a":2}}'), false);
});

test('who the user is makes no other call, the form of the answer does', () => {
  const key = cached('{"model":"m"}');
  assert.equal(key, cached('{"model":"m","user":"u","metadata":{"a":"b"},"prompt_cache_key":"c"}'));
  assert.notEqual(key, cached('{"model":"m","stream":true}'));
  assert.notEqual(key, cached('{"model":"m","nested":{"user":"u"}}'));
  assert.notEqual(key, cached('{"model":"m"}', { headers: { 'accept-encoding': 'gzip' } }));
  const responses = (text: string) => cached(text, { path: '/responses' });
  const plain = responses('{"store":false}');
  assert.ok(plain);
  assert.notEqual(plain, responses('{"store":false,"metadata":{"a":"b"}}'));
});

test('a loop’s agents share its cache; without a virtual key it is for who has the same key at the provider', () => {
  const other = { authorization: 'Bearer sk-2' };
  assert.notEqual(cached('{}'), cached('{}', { headers: other }));
  assert.equal(cached('{}', { virtualKey: true }), cached('{}', { virtualKey: true, headers: other }));
  assert.notEqual(cached('{}', { virtualKey: true }), cached('{}', { virtualKey: true, loop: 'other' }));
});

test('what cannot be repeated, or not be compared exactly, passes the cache by', () => {
  const texts = [
    '{"temperature":0.7}',
    '{"n":3}',
    '{"store":true}',
    '{"background":true}',
    '{"previous_response_id":"r"}',
    '{"seed":9007199254740993}',
    '{"x":1e999}',
    '[]',
    `{"a":${'['.repeat(100)}${']'.repeat(100)}}`,
    `{"a":"${'x'.repeat(1024 * 1024)}"}`,
  ];
  for (const text of texts) assert.equal(cached(text), undefined, text.slice(0, 40));
  assert.equal(cached('{}', { path: '/responses' }), undefined, 'stored unless it says otherwise');
  assert.equal(cached('{}', { path: '/files' }), undefined);
  assert.equal(cached('{}', { path: '/chat/completions?x' }), undefined);
  assert.equal(cached('{}', { method: 'PUT' }), undefined);
  assert.equal(cached('{}', { body: Buffer.from([0x7b, 0xff, 0x7d]) }), undefined);
  assert.ok(cached('{"temperature":0,"n":1,"store":false}'));
});

function open() {
  const settings = { idempotency: IdempotencySettings.parse({}), cache: CacheSettings.parse({}) };
  const replay = new Replay(settings, { clock: systemClock() });
  const begin = (changes: Parameters<typeof request>[0]) => {
    const outcome = replay.begin(request(changes), { traceId: 't', spanId: 's' });
    assert.ok(!(outcome instanceof Promise));
    return outcome;
  };
  const heedless = { start: () => {}, data: () => true, end: () => {}, fail: () => {} };
  return {
    begin,
    /** Makes a call that must be the first, and has it answered. */
    call: (changes: Parameters<typeof request>[0], status: number, headers: string[] = []) => {
      const outcome = begin(changes);
      assert.equal(outcome?.kind, 'first');
      if (outcome?.kind !== 'first') return;
      outcome.reader.play(heedless);
      outcome.recorder.start(status, '', headers);
      outcome.recorder.end();
    },
  };
}
const keyed = (key: string) => ({ headers: { 'idempotency-key': key } });

test('a call without a key, of a loop without a cache, costs nothing', () => {
  assert.equal(open().begin({}), undefined);
});

test('answers that are final for a key are kept, what only says how things stand is not', () => {
  const { begin, call } = open();
  const kept = [200, 201, 204, 400, 404, 413, 422];
  for (const status of kept) call(keyed(`${status}`), status);
  for (const status of kept) assert.equal(begin(keyed(`${status}`))?.kind, 'follow', `${status}`);
  const passing = [301, 401, 402, 403, 408, 409, 425, 429, 500, 502, 503, 529];
  for (const status of passing) call(keyed(`${status}`), status);
  for (const status of passing) assert.equal(begin(keyed(`${status}`))?.kind, 'first', `${status}`);
});

test('a client error that the provider says to try again is not kept', () => {
  const { call } = open();
  call(keyed('k'), 400, ['X-Should-Retry', 'true']);
  call(keyed('k'), 400, ['x-should-retry', 'false', 'x-note', 'x-should-retry']);
});

test('a key with another body is refused in a way that does not help to repeat', () => {
  const { begin, call } = open();
  call(keyed('k'), 200);
  const outcome = begin({ ...keyed('k'), text: '{"model":"other"}' });
  assert.equal(outcome?.kind, 'refused');
  if (outcome?.kind !== 'refused') return;
  const { code, status, retryable } = outcome.error;
  assert.deepEqual(
    { code, status, retryable },
    { code: 'idempotency_mismatch', status: 422, retryable: false },
  );
});

test('the headers say whether an answer was repeated', () => {
  const { begin, call } = open();
  call(keyed('k'), 200);
  const replayed = begin(keyed('k'));
  assert.deepEqual(replayed?.kind === 'follow' && replayed.headers, { 'x-loopscope-replayed': 'true' });
  const cache = { cacheTtlS: 60 };
  const miss = begin(cache);
  assert.deepEqual(miss?.kind === 'first' && miss.headers, { 'x-loopscope-cache': 'miss' });
  const hit = begin(cache);
  assert.deepEqual(hit?.kind === 'follow' && hit.headers, { 'x-loopscope-cache': 'hit' });
});

test('the cache keeps complete answers with status 200 only, and calls with a key do without it', () => {
  const { begin, call } = open();
  const cache = { cacheTtlS: 60 };
  call(cache, 400);
  call(cache, 200);
  assert.equal(begin(cache)?.kind, 'follow');
  assert.equal(begin({ ...cache, ...keyed('k') })?.kind, 'first');
});
