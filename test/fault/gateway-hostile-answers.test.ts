import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { pino } from 'pino';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import {
  answer,
  type Fault,
  type FaultyProvider,
  redirect,
  startFaultyProvider,
} from '../support/faulty-provider.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { chatChunk, chatCompletion, sse } from '../support/scripted-provider.ts';
import { until } from '../support/until.ts';

/**
 * Answers that no honest provider gives. What can be passed on is passed on as it came, what is no HTTP is a refusal that
 * the SDKs understand; either way the gateway goes on, and the next call gets its own answer.
 */

const SOUND = JSON.stringify(chatCompletion('hello'));
/** Of an answer without end a caller takes this much. */
const TAKEN_BYTES = 4 * 1024 * 1024;
const MEGABYTE = 1024 * 1024;

let provider: FaultyProvider;
let gateway: TestGateway;
const logged: string[] = [];

before(async () => {
  provider = await startFaultyProvider(answer({ body: SOUND }));
  gateway = await startTestGateway({
    providerUrl: provider.url,
    loops: [LoopDefinition.parse({ loop: 'hostile', owner: 'us' })],
    config: {
      routing: {
        retries: { max: 0 },
        timeouts: { first_token_s: 1, between_tokens_s: 5 },
        breaker: {
          window_s: 1,
          calls_min: 100_000,
          failure_share: 1,
          consecutive_failures: 100_000,
          cool_down_s: 1,
          probes_max: 1,
        },
        retry_budget: { share: 1, per_s: 100 },
      },
    },
    log: pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) }),
  });
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const raw =
  (...pieces: (string | Buffer)[]): Fault =>
  (socket) => {
    for (const piece of pieces)
      socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
  };
const withHeader = (line: string): Fault =>
  raw(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${SOUND.length}\r\n${line}\r\n\r\n${SOUND}`,
  );
/** A body without end, until nobody takes it. */
const endless =
  (head: string, piece: string): Fault =>
  async (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\n${head}\r\ntransfer-encoding: chunked\r\n\r\n`);
    const chunk = `${piece.length.toString(16)}\r\n${piece}\r\n`;
    while (!socket.destroyed)
      if (!socket.write(chunk)) await new Promise<void>((go) => socket.once('drain', go).once('close', go));
      else await new Promise(setImmediate);
  };
const body = (text: string | Buffer, headers: Record<string, string> = {}): Fault => {
  const lines = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(text)),
    ...headers,
  };
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
  return raw(`HTTP/1.1 200 OK\r\n${head.join('')}\r\n`, Buffer.from(text));
};
const events = (...all: (object | string)[]): Fault =>
  body(sse(...all), { 'content-type': 'text/event-stream' });
const encoded = (encoding: string, bytes: Buffer): Fault => body(bytes, { 'content-encoding': encoding });
const zeros = Buffer.alloc(100 * MEGABYTE);
const bomb = Buffer.from(`{"id":"${'a'.repeat(50 * MEGABYTE)}"}`);

/** What comes, and what the caller may get: a status, or 0 where the connection just breaks. */
const ANSWERS: [string, Fault, ...number[]][] = [
  ['NUL in a value', withHeader('x-a: b\0c'), 502],
  ['a control character in a value', withHeader('x-a: b\x01c'), 200, 502],
  ['DEL in a value', withHeader('x-a: b\x7fc'), 200, 502],
  ['a bare CR in a value', withHeader('x-a: b\rx-evil: 1'), 502],
  ['a bare LF in a value', withHeader('x-a: b\nx-evil: 1'), 200, 502],
  ['bytes past ASCII in a value', withHeader('x-a: \xe9\xff'), 200],
  ['a space in a name', withHeader('x a: b'), 502],
  ['an obsolete fold', withHeader('x-a: b\r\n c'), 200, 502],
  ['a header without a name', withHeader(': b'), 502],
  ['our own headers', withHeader('x-loopscope-trace: evil\r\nx-loop-run: evil'), 200],
  ['a connection that names our headers', withHeader('connection: x-loopscope-trace, content-type'), 200],
  ['names that every object has', withHeader('__proto__: a\r\nconstructor: b'), 200],
  ['a content type of 10 KB', withHeader(`x-type: ${'a'.repeat(10_000)}`), 200],
  ['headers of a megabyte', withHeader(`x-a: ${'b'.repeat(MEGABYTE)}`), 502],
  ['20,000 headers', withHeader(Array.from({ length: 20_000 }, (_, i) => `a${i}: b`).join('\r\n')), 502],
  ['status 99', raw('HTTP/1.1 99 Low\r\ncontent-length: 0\r\n\r\n'), 502],
  ['status 1000', raw('HTTP/1.1 1000 High\r\ncontent-length: 0\r\n\r\n'), 502],
  ['status 999', raw('HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n'), 999],
  ['a status that is none', raw('HTTP/1.1 abc\r\ncontent-length: 0\r\n\r\n'), 502],
  ['a control character in the reason', raw('HTTP/1.1 200 O\x01K\r\ncontent-length: 2\r\n\r\n{}'), 200, 502],
  ['a version that is none', raw('HTTP/7.3 200 OK\r\ncontent-length: 2\r\n\r\n{}'), 502],
  ['HTTP/0.9', raw('{"hello":1}'), 502],
  [
    'a switch of protocols',
    raw('HTTP/1.1 101 Switching\r\nupgrade: evil\r\nconnection: upgrade\r\n\r\nbytes'),
    502,
  ],
  [
    'ten thousand early hints',
    raw(
      'HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n'.repeat(10_000),
      `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}`,
    ),
    200,
  ],
  [
    'early hints without end',
    async (socket) => {
      while (!socket.destroyed) {
        if (!socket.write('HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n'.repeat(100)))
          await new Promise<void>((go) => socket.once('drain', go).once('close', go));
        else await new Promise(setImmediate);
      }
    },
    504,
  ],
  ['two content-lengths', raw(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 20\r\n\r\n{}`), 502],
  [
    'a length and chunks',
    raw(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`),
    502,
  ],
  ['a negative length', raw('HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}'), 502],
  [
    'a chunk past 2^64',
    raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n'),
    0,
    502,
  ],
  [
    'a chunk of 4 GB, begun',
    async (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n{}');
      await new Promise((go) => setTimeout(go, 20));
      socket.end();
    },
    0,
  ],
  [
    'a chunk extension of a megabyte',
    raw(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;${'a'.repeat(MEGABYTE)}\r\n{}\r\n0\r\n\r\n`),
    0,
    200,
    502,
  ],
  [
    'trailers',
    raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-evil: 1\r\n\r\n'),
    200,
  ],
  [
    'trailers of a megabyte',
    raw(
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-t: ${'1'.repeat(MEGABYTE)}\r\n\r\n`,
    ),
    0,
    200,
    502,
  ],
  [
    'a second answer that nobody asked for',
    raw(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`),
    200,
  ],
  ['JSON without end', endless('content-type: application/json', `"${'a'.repeat(65_536)}",`), 200],
  ['a stream of one line without end', endless('content-type: text/event-stream', 'a'.repeat(65_536)), 200],
  [
    'a stream of events without end',
    endless('content-type: text/event-stream', sse(chatChunk({ content: 'a' })).repeat(500)),
    200,
  ],
  [
    'a stream of choices without end',
    endless(
      'content-type: text/event-stream',
      Array.from({ length: 500 }, (_, i) =>
        sse({ choices: [{ index: i * 1e9, delta: { content: 'a' } }] }),
      ).join(''),
    ),
    200,
  ],
  ['bytes of no type without end', endless('x-a: b', '\0'.repeat(65_536)), 200],
  ['a bomb in gzip', encoded('gzip', gzipSync(bomb)), 200],
  ['a bomb in gzip of zeros', encoded('gzip', gzipSync(zeros)), 200],
  ['a bomb in deflate', encoded('deflate', deflateSync(zeros)), 200],
  ['a bomb in brotli', encoded('br', brotliCompressSync(zeros)), 200],
  ['a bomb in zstd', encoded('zstd', zstdCompressSync(zeros)), 200],
  [
    'a bomb as a stream',
    body(gzipSync(zeros), { 'content-encoding': 'gzip', 'content-type': 'text/event-stream' }),
    200,
  ],
  ['an encoding that it does not have', encoded('gzip', Buffer.from(SOUND)), 200],
  ['an encoding that nobody has', encoded('__proto__', Buffer.from(SOUND)), 200],
  ['two encodings', encoded('gzip, gzip', gzipSync(gzipSync(Buffer.from(SOUND)))), 200],
  ['JSON nested deep', body('['.repeat(100_000) + ']'.repeat(100_000)), 200],
  [
    'choices nested deep',
    body(`{"choices":[{"message":{"content":${'['.repeat(100_000)}${']'.repeat(100_000)}}}]}`),
    200,
  ],
  [
    'an error nested deep',
    answer({ status: 500, body: `{"error":${'{"error":'.repeat(50_000)}1${'}'.repeat(50_000)}}` }),
    500,
  ],
  [
    'names that every object has, in the body',
    body(
      '{"__proto__":{"polluted":1},"model":"__proto__","choices":[{"message":{"__proto__":{"polluted":1},"content":"constructor"}}]}',
    ),
    200,
  ],
  ['a model of a megabyte', body(`{"model":"${'m'.repeat(MEGABYTE)}","choices":[]}`), 200],
  [
    '100,000 choices',
    body(`{"choices":[${Array(100_000).fill('{"finish_reason":"stop","message":{"content":"a"}}')}]}`),
    200,
  ],
  [
    'usage that is none',
    body(
      '{"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":1e308,"completion_tokens":-5,"prompt_tokens_details":[],"total_tokens":"7"}}',
    ),
    200,
  ],
  [
    'usage past 2^53',
    body(
      '{"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":9007199254740993,"completion_tokens":18446744073709551616}}',
    ),
    200,
  ],
  ['no body where there is a type', body(''), 200],
  ['bytes that are no UTF-8', body(Buffer.from([0x7b, 0xff, 0xfe, 0xc0, 0x80, 0x7d])), 200],
  [
    'events with indices that are none',
    events(
      { choices: [{ index: -1, delta: { content: 'a' } }] },
      { choices: [{ index: 1e308, delta: { tool_calls: [{ index: '__proto__' }] } }] },
      '[DONE]',
    ),
    200,
  ],
  [
    'an event of 20 megabytes',
    events({ choices: [{ delta: { content: 'a'.repeat(20 * MEGABYTE) } }] }, '[DONE]'),
    200,
  ],
  ['events nested deep', events(`${'['.repeat(100_000)}${']'.repeat(100_000)}`, '[DONE]'), 200],
  ['an event that is null', events('null', 'true', '1', '"x"', '[DONE]'), 200],
  [
    'an event that names everything',
    body('id: 1\nretry: 99999999999\nevent: __proto__\ndata: {}\n\ndata: [DONE]\n\n', {
      'content-type': 'Text/Event-Stream',
    }),
    200,
  ],
];

interface Got {
  status: number;
  headers: Headers | undefined;
  bytes: number;
}

async function call(loop: string, stream = false): Promise<Got> {
  const leave = new AbortController();
  let response: Response;
  try {
    response = await fetch(`${gateway.url}/loops/${loop}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }], stream }),
      headers: { authorization: 'Bearer sk-own', 'accept-encoding': 'identity' },
      redirect: 'manual',
      signal: AbortSignal.any([leave.signal, AbortSignal.timeout(20_000)]),
    });
  } catch (error) {
    if ((error as Error).name === 'TimeoutError') throw error;
    return { status: 0, headers: undefined, bytes: 0 };
  }
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > TAKEN_BYTES) break;
    }
  } catch {
    // What it is told of a broken body depends on the body; only the status is asked for here.
  }
  leave.abort();
  return { status: response.status, headers: response.headers, bytes };
}

for (const [name, fault, ...expected] of ANSWERS)
  test(`a provider that sends ${name}`, async () => {
    provider.next(fault);
    const { status, headers } = await call('hostile', name.includes('stream') || name.includes('event'));
    assert.ok(expected.includes(status), `expected ${expected.join(' or ')}, got ${status}`);
    assert.equal(headers?.get('x-evil') ?? null, null);
    if (status !== 0) assert.match(headers?.get('x-loopscope-trace') ?? '', /^[0-9a-f]{32}$/);
    const next = await fetch(`${gateway.url}/loops/sound/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'gpt-4o', messages: [] }),
    });
    assert.equal(await next.text(), SOUND);
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });

test('every one of them has a span, usage that is none is on none of them, and nothing was a bug', async () => {
  const spans = await gateway.spansOf('hostile', ANSWERS.length, 'call');
  assert.equal(spans.length, ANSWERS.length);
  for (const { attributes } of spans)
    for (const name of [A.inputTokens, A.outputTokens, A.costUsd]) {
      const value = (attributes[name] ?? 0) as number;
      assert.ok(value >= 0 && value < 1e6, `${name}: ${value}`);
    }
  assert.deepEqual(
    logged.filter((line) => /"level":(50|60)/.test(line)),
    [],
  );
});

test('no redirect is followed, wherever it leads and however that is spelt', async () => {
  let connections = 0;
  const trap = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
  const { port } = trap.address() as { port: number };
  const places = [
    `http://127.0.0.1:${port}/`,
    `http://2130706433:${port}/`,
    `http://0177.0.0.1:${port}/`,
    `http://0x7f.1:${port}/`,
    `http://[::ffff:127.0.0.1]:${port}/`,
    `http://localhost:${port}/`,
    `//127.0.0.1:${port}/`,
    'http://169.254.169.254/latest/meta-data/iam/security-credentials/',
    'http://[::ffff:169.254.169.254]/',
    'http://2852039166/',
    'http://0251.0376.0251.0376/',
    'http://metadata.google.internal/',
    'file:///etc/passwd',
    '/elsewhere',
  ];
  try {
    for (const place of places)
      for (const status of [301, 302, 303, 307, 308]) {
        const before = provider.requests.length;
        provider.next(redirect(place, status));
        const got = await call('redirected');
        assert.deepEqual([got.status, got.headers?.get('location')], [status, place]);
        assert.equal(provider.requests.length, before + 1);
      }
    assert.equal(connections, 0);
  } finally {
    await new Promise((resolve) => trap.close(resolve));
  }
});

test('what the bombs took is let go of, and no connection is left in the middle of an answer', async () => {
  await until('connections without an end to be closed', () => provider.openSockets <= 2);
});
