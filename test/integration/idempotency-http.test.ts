import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { Connections } from '../../src/gateway/connections/connections.ts';
import { Replay } from '../../src/gateway/idempotency/replay.ts';
import { CacheSettings, IdempotencySettings } from '../../src/gateway/idempotency/settings.ts';
import type { ProviderListener } from '../../src/gateway/provider.ts';
import { callProvider } from '../support/call-provider.ts';
import {
  type Answer,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import { until } from '../support/until.ts';

/**
 * Recordings between real callers and a real provider, over sockets, joined as the gateway joins them.
 */
const clock = systemClock();
const protocol = { api: 'openai', keyHeaders: ['authorization'] } as const;
let provider: ScriptedProvider;
let connections: Connections;
const closings: (() => Promise<void>)[] = [];

before(async () => {
  provider = await startScriptedProvider(json({ from: 'fallback' }));
  connections = new Connections();
});
after(async () => {
  for (const close of closings) await close();
  await connections.destroy();
  await provider.close();
});

async function startReplaying(settings: { idempotency?: object; cacheTtlS?: number } = {}) {
  const replay = new Replay(
    { idempotency: IdempotencySettings.parse(settings.idempotency ?? {}), cache: CacheSettings.parse({}) },
    { clock },
  );
  const target = {
    origin: provider.url,
    basePath: '',
    address: '127.0.0.1',
    port: 0,
    apiKey: undefined,
    apiKeyEnv: undefined,
  };
  const handle = async (incoming: IncomingMessage, response: ServerResponse) => {
    const { method = 'GET', url: path = '/', headers } = incoming;
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const outcome = await replay.begin(
      {
        provider: 'openai',
        protocol,
        loop: 'primes',
        method,
        path,
        headers,
        body,
        json: JSON.parse(String(body) || 'null'),
        virtualKey: true,
        cacheTtlS: settings.cacheTtlS,
      },
      { traceId: 't', spanId: 's' },
    );
    assert.ok(outcome);
    if (outcome.kind === 'refused') {
      response.writeHead(outcome.error.status).end(outcome.error.code);
      return;
    }
    const { reader } = outcome;
    const listener: ProviderListener = {
      start: (status, _, raw) => {
        response.writeHead(status, [...raw, ...Object.entries(outcome.headers).flat()]);
        response.flushHeaders();
      },
      data: (chunk) => response.write(chunk),
      end: () => response.end(),
      fail: () => response.destroy(),
    };
    response.on('drain', reader.resume);
    response.on('close', reader.cancel);
    reader.play(listener);
    if (outcome.kind === 'first')
      outcome.recorder.drivenBy(
        callProvider(connections, target, { method, path, headers: [], body }, outcome.recorder),
      );
  };
  const server = createServer((incoming, response) => void handle(incoming, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closings.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const { port } = server.address() as AddressInfo;
  /** Sends a call; resolves with its answer's head. */
  const send = (key: string | undefined, body: object = { model: 'm' }) => {
    const outgoing = request({
      port,
      host: '127.0.0.1',
      agent: false,
      method: 'POST',
      path: '/chat/completions',
      headers: key === undefined ? {} : { 'idempotency-key': key },
    });
    outgoing.end(JSON.stringify(body));
    return new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.on('response', resolve);
      outgoing.on('error', reject);
    });
  };
  return { replay, send };
}

/** A stream that goes on when the test says so. */
function steppedStream() {
  const opened = Promise.withResolvers<ServerResponse>();
  const answer: Answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    opened.resolve(response);
  };
  return { answer, opened: opened.promise };
}

const requestsSince = () => {
  const before = provider.requests.length;
  return () => provider.requests.length - before;
};

test('fifty identical calls at once make one call to the provider, and all get its answer', async () => {
  const { replay, send } = await startReplaying();
  const requests = requestsSince();
  const released = Promise.withResolvers<void>();
  provider.next(async (response, asked) => {
    await released.promise;
    await json({ answer: 'x'.repeat(100_000) })(response, asked);
  });
  const answers = Array.from({ length: 50 }, () => send('fifty'));
  await until('all fifty are there', () => replay.keyed.begun.first + replay.keyed.begun.follow === 50);
  released.resolve();
  const heads = await Promise.all(answers);
  const bodies = await Promise.all(heads.map((head) => text(head)));
  assert.equal(requests(), 1);
  assert.equal(new Set(bodies).size, 1);
  assert.equal(bodies[0]!.length, 100_000 + '{"answer":""}'.length);
  assert.equal(heads.filter((head) => head.headers['x-loopscope-replayed'] === 'true').length, 49);

  const later = await send('fifty');
  assert.equal(await text(later), bodies[0]);
  assert.equal(later.headers['content-type'], heads[0]!.headers['content-type']);
  assert.equal(requests(), 1);
});

test('callers that come at every point of a stream get all of it, those that do not read included', async () => {
  const { replay, send } = await startReplaying();
  const requests = requestsSince();
  const stream = steppedStream();
  provider.next(stream.answer);
  const callers = [send('stream')];
  const response = await stream.opened;
  const slow = await send('stream'); // it is read only at the end
  const pieces = Array.from({ length: 20 }, (_, i) => `data: ${i} ${'x'.repeat(50_000)}\n\n`);
  for (const [i, piece] of pieces.entries()) {
    response.write(piece);
    callers.push(send('stream'));
    await until('it came in', () => replay.keyed.begun.follow === i + 2);
  }
  response.end();
  const bodies = await Promise.all(callers.map(async (caller) => text(await caller)));
  const whole = pieces.join('');
  for (const body of bodies) assert.ok(body === whole);
  assert.equal(replay.keyed.complete, 1);
  assert.ok((await text(slow)) === whole);
  assert.equal(requests(), 1);
});

test('a stream reaches those who follow as it comes', async () => {
  const { send } = await startReplaying();
  const stream = steppedStream();
  provider.next(stream.answer);
  const callers = [send('live'), send('live')];
  const response = await stream.opened;
  response.write('data: one\n\n');
  const heads = await Promise.all(callers);
  for (const head of heads) {
    let heard = '';
    head.on('data', (chunk) => {
      heard += chunk;
    });
    await until('the first event', () => heard === 'data: one\n\n');
  }
  response.end();
  await Promise.all(heads.map((head) => new Promise((resolve) => head.on('end', resolve))));
});

test('the first caller hangs up: the others get the whole answer', async () => {
  const { send } = await startReplaying();
  const stream = steppedStream();
  provider.next(stream.answer);
  const first = await send('hang up');
  const follower = await send('hang up');
  const response = await stream.opened;
  response.write('data: one\n\n');
  await until('the first event', () => first.read() !== null);
  first.destroy();
  response.end('data: two\n\n');
  assert.equal(await text(follower), 'data: one\n\ndata: two\n\n');
  assert.equal(provider.requests.at(-1)!.hungUp, false);
});

test('everybody hangs up: the call is cancelled, and the key is free', async () => {
  const { replay, send } = await startReplaying();
  const requests = requestsSince();
  const stream = steppedStream();
  provider.next(stream.answer);
  const callers = await Promise.all([send('all gone'), send('all gone')]);
  for (const caller of callers) caller.destroy();
  await until('the call is cancelled', () => provider.requests.at(-1)!.hungUp);
  await until('the key is free', () => replay.keyed.inFlight === 0);
  assert.equal(await text(await send('all gone')), '{"from":"fallback"}');
  assert.equal(requests(), 2);
});

test('everybody hangs up: where it is configured so, the call is finished for the one who comes back', async () => {
  const { replay, send } = await startReplaying({ idempotency: { when_all_hang_up: 'finish' } });
  const requests = requestsSince();
  const stream = steppedStream();
  provider.next(stream.answer);
  const caller = await send('back');
  caller.destroy();
  (await stream.opened).end('data: all\n\n');
  await until('it is complete', () => replay.keyed.complete === 1);
  assert.equal(await text(await send('back')), 'data: all\n\n');
  assert.equal(requests(), 1);
});

test('an answer that breaks off breaks off for all, and the next call is made again', async () => {
  const { replay, send } = await startReplaying();
  const requests = requestsSince();
  const stream = steppedStream();
  provider.next(stream.answer);
  const callers = await Promise.all([send('cut'), send('cut')]);
  const response = await stream.opened;
  response.write('data: one\n\n');
  await until('one piece is out', () => callers[0]!.readableLength > 0);
  response.destroy();
  for (const caller of callers) await assert.rejects(text(caller));
  assert.equal(replay.keyed.bytes, 0);
  assert.equal(await text(await send('cut')), '{"from":"fallback"}');
  assert.equal(requests(), 2);
});

test('the same key with another body is refused, also while the first is in flight', async () => {
  const { send } = await startReplaying();
  const stream = steppedStream();
  provider.next(stream.answer);
  const first = await send('mismatch');
  const other = await send('mismatch', { model: 'other' });
  assert.equal(other.statusCode, 422);
  assert.equal(await text(other), 'idempotency_mismatch');
  (await stream.opened).end();
  await text(first);
});

test('a larger answer than is kept passes through at its caller’s pace', async () => {
  const { replay, send } = await startReplaying({ idempotency: { answer_bytes_max: 100_000 } });
  const requests = requestsSince();
  const whole = 'x'.repeat(30_000_000);
  const large: Answer = (response) => void response.end(whole);
  provider.next(large, large);
  const head = await send('large');
  await until('it passes', () => replay.keyed.dropped.too_large === 1);
  assert.ok(replay.keyed.bytes < 1_000_000);
  assert.ok((await text(head)) === whole);
  assert.equal(replay.keyed.bytes, 0);
  assert.ok((await text(await send('large'))) === whole);
  assert.equal(requests(), 2);
});

test('a loop’s cache answers an equal call, however its JSON is written', async () => {
  const { send } = await startReplaying({ cacheTtlS: 60 });
  const requests = requestsSince();
  const miss = await send(undefined, { model: 'm', messages: [] });
  const hit = await send(undefined, { messages: [], model: 'm' });
  assert.deepEqual(
    [miss, hit].map((head) => head.headers['x-loopscope-cache']),
    ['miss', 'hit'],
  );
  assert.equal(await text(hit), await text(miss));
  assert.equal(requests(), 1);
});
