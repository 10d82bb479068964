import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, beforeEach, describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { LoopLimitRule } from '../../src/gateway/limits/settings.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway, type TestGateway, type TestSpan } from '../support/gateway.ts';
import type { GatewayChildSettings } from '../support/gateway-child.ts';
import { MortalProcess } from '../support/mortal-process.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import {
  anthropicEvents,
  brokenStream,
  chatChunk,
  chatCompletion,
  json,
  type ScriptedProvider,
  sse,
  startScriptedProvider,
  stream,
} from '../support/scripted-provider.ts';
import { startSpanReceiver } from '../support/span-receiver.ts';
import { until } from '../support/until.ts';

/** The same call again, by its `Idempotency-Key` or out of a loop's cache, as the official clients make it. */
const CALLERS = 50;
const USAGE = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };

let provider: ScriptedProvider;
let gateway: TestGateway;

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('four')));
  gateway = await startTestGateway({
    providerUrl: provider.url,
    loops: [
      LoopDefinition.parse({ loop: 'cached', owner: 'us', cache: { ttl_s: 3_600 } }),
      LoopDefinition.parse({
        loop: 'limited',
        owner: 'us',
        limits: [LoopLimitRule.parse({ window: 'month', max: { calls: 1 } })],
      }),
    ],
  });
});
beforeEach(() => {
  provider.requests.length = 0;
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const client = (loop: string, url = gateway.url) =>
  new OpenAI({ apiKey: 'sk-own', baseURL: `${url}/loops/${loop}/v1`, maxRetries: 0 });
const question = (content = 'What is 2+2?') => ({
  model: 'gpt-4o',
  messages: [{ role: 'user' as const, content }],
});
const keyed = (key: string) => ({ headers: { 'Idempotency-Key': key } });
const ask = (loop: string, key: string, content?: string, url?: string) =>
  client(loop, url).chat.completions.create(question(content), keyed(key)).withResponse();

async function streamed(loop: string, key: string): Promise<string> {
  const chunks = await client(loop).chat.completions.create({ ...question(), stream: true }, keyed(key));
  let said = '';
  for await (const { choices } of chunks) said += choices[0]?.delta.content ?? '';
  return said;
}

/** How many calls began so. */
async function begun(outcome: 'first' | 'follow', url = gateway.url): Promise<number> {
  const name = `loopscope_gateway_replay_calls_total{store="idempotency",outcome="${outcome}"} `;
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(
    metrics
      .split('\n')
      .find((line) => line.startsWith(name))!
      .slice(name.length),
  );
}
const followers = () => begun('follow');

/** One call used something, and all others name it. */
function checkSpans(spans: readonly TestSpan[]): void {
  const used = spans.filter(({ attributes }) => A.outputTokens in attributes);
  assert.equal(used.length, 1);
  const [first] = used;
  assert.ok(Number(first!.attributes[A.costUsd]) > 0);
  assert.ok(!(A.replayedSpanId in first!.attributes));
  for (const { attributes, failed } of spans) {
    assert.equal(failed, false);
    if (attributes === first!.attributes) continue;
    assert.equal(attributes[A.replayedTraceId], first!.traceId);
    assert.equal(attributes[A.replayedSpanId], first!.spanId);
    for (const name of [A.inputTokens, A.outputTokens, A.costUsd]) assert.ok(!(name in attributes), name);
  }
}

test(`${CALLERS} identical calls at once are one call to the provider, and cost what one costs`, async () => {
  const answers = await Promise.all(Array.from({ length: CALLERS }, () => ask('fifty', 'k')));
  assert.equal(provider.requests.length, 1);
  for (const { data } of answers) assert.equal(data.choices[0]!.message.content, 'four');
  const replayed = answers.filter(({ response }) => response.headers.get('x-loopscope-replayed') === 'true');
  assert.equal(replayed.length, CALLERS - 1);
  checkSpans(await gateway.spansOf('fifty', CALLERS, 'call'));

  const { response } = await ask('fifty', 'k');
  assert.equal(response.headers.get('x-loopscope-replayed'), 'true');
  await ask('fifty-more', 'k');
  assert.equal(provider.requests.length, 2, 'a key is its loop’s own');
});

test('streams too, for those who come in the middle of one', async () => {
  const held = Promise.withResolvers<void>();
  provider.next(
    stream(
      sse(chatChunk({ content: 'fo' })),
      () => held.promise,
      sse(
        chatChunk({ content: 'ur' }),
        chatChunk({}, 'stop'),
        chatChunk({}, null, { choices: [], usage: USAGE }),
        '[DONE]',
      ),
    ),
  );
  const before = await followers();
  const first = streamed('streams', 'k');
  await until('the first call', () => provider.requests.length === 1);
  const others = Array.from({ length: CALLERS - 1 }, () => streamed('streams', 'k'));
  await until('all to follow', async () => (await followers()) === before + CALLERS - 1);
  held.resolve();
  const said = await Promise.all([first, ...others]);
  assert.deepEqual([...new Set(said)], ['four']);
  assert.equal(await streamed('streams', 'k'), 'four');
  assert.equal(provider.requests.length, 1);
  checkSpans(await gateway.spansOf('streams', CALLERS + 1, 'call'));
});

test('Anthropic’s streams as well', async () => {
  provider.next(stream(anthropicEvents(['fo', 'ur'])));
  const anthropic = new Anthropic({ apiKey: 'sk-own', baseURL: `${gateway.url}/loops/claude/anthropic` });
  const said = await Promise.all(
    Array.from({ length: 10 }, () =>
      anthropic.messages
        .stream({ ...question(), model: 'claude-sonnet-4-0', max_tokens: 9 }, keyed('k'))
        .finalText(),
    ),
  );
  assert.deepEqual([...new Set(said)], ['four']);
  assert.equal(provider.requests.length, 1);
  checkSpans(await gateway.spansOf('claude', 10, 'call'));
});

test('a key that came with another request is refused as the client understands it', async () => {
  await ask('mismatch', 'k', 'one');
  const refusal = await ask('mismatch', 'k', 'two').then(
    () => assert.fail('expected a refusal'),
    (error: unknown) => error,
  );
  assert.ok(refusal instanceof OpenAI.UnprocessableEntityError);
  assert.equal(refusal.code, 'idempotency_mismatch');
  assert.equal(refusal.headers!.get('x-should-retry'), 'false');
  assert.equal(provider.requests.length, 1);
});

test('what failed is not repeated: the next call with the key is made', async () => {
  const half = sse(chatChunk({ content: 'fo' }));
  const whole = stream(sse(chatChunk({ content: 'four' }, 'stop'), '[DONE]'));
  provider.next(
    json({ error: { message: 'busy', type: 'server_error' } }, 500),
    brokenStream(half),
    stream(half),
    whole,
  );
  await assert.rejects(streamed('failing', 'k'), OpenAI.InternalServerError);
  await assert.rejects(streamed('failing', 'k'), 'a stream that breaks');
  await assert.rejects(streamed('failing', 'k'), 'a stream that ends without its end');
  assert.equal(await streamed('failing', 'k'), 'four');
  assert.equal(await streamed('failing', 'k'), 'four');
  assert.equal(provider.requests.length, 4);
});

test('who follows a failing call fails as it does', async () => {
  const held = Promise.withResolvers<void>();
  provider.next(stream(sse(chatChunk({ content: 'fo' })), () => held.promise));
  const before = await followers();
  const all = [streamed('together', 'k')];
  await until('the call', () => provider.requests.length === 1);
  all.push(streamed('together', 'k'), streamed('together', 'k'));
  await until('all to follow', async () => (await followers()) === before + 2);
  held.resolve(); // and the stream ends without its end
  const outcomes = await Promise.allSettled(all);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
  const spans = await gateway.spansOf('together', 3, 'call');
  assert.ok(spans.every((span) => span.failed && !(A.outputTokens in span.attributes)));
});

test('a repeated answer takes nothing from a budget; a refusal is for all who wait, and frees the key', async () => {
  await Promise.all(Array.from({ length: 10 }, () => ask('limited', 'first')));
  assert.equal(provider.requests.length, 1);
  const refusals = await Promise.allSettled(Array.from({ length: 10 }, () => ask('limited', 'second')));
  for (const refusal of refusals) {
    assert.ok(refusal.status === 'rejected' && refusal.reason instanceof OpenAI.RateLimitError);
    assert.equal(refusal.reason.code, 'budget_exceeded');
  }
  await assert.rejects(ask('limited', 'second', 'another question'), OpenAI.RateLimitError);
  await ask('limited', 'first');
  assert.equal(provider.requests.length, 1);
});

/** A call whose answer the test reads when it wants to. */
function send(loop: string, key: string, body: object = question()): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${gateway.url}/loops/${loop}/v1/chat/completions`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
    });
    outgoing.on('response', resolve);
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(body));
  });
}

test('who follows has its last byte when the call that paid is on record, however slow its caller reads', async () => {
  // More than fits into the buffers on the way to a caller that does not read.
  const long = 'x'.repeat(6 * 1024 * 1024);
  const held = Promise.withResolvers<void>();
  provider.next(async (response, asked) => {
    await held.promise;
    await json(chatCompletion(long))(response, asked);
  });
  const before = await followers();
  const slow = send('slow', 'k');
  await until('the call', () => provider.requests.length === 1);
  const follower = send('slow', 'k');
  await until('one to follow', async () => (await followers()) === before + 1);
  held.resolve();
  assert.ok((await text(await follower)).length > long.length);
  const spans = await gateway.spansOf('slow', 2, 'call');
  checkSpans(spans);
  assert.ok((await text(await slow)).length > long.length, 'and the slow one gets all of it, too');
});

test('everybody hangs up: the call ends, nothing is known of its usage, and the key is free', async () => {
  const never = Promise.withResolvers<void>();
  provider.next(stream(sse(chatChunk({ content: 'fo' })), () => never.promise));
  const before = await followers();
  const first = await send('alone', 'k', { ...question(), stream: true });
  const second = await send('alone', 'k', { ...question(), stream: true });
  assert.equal(await followers(), before + 1);
  first.destroy();
  second.destroy();
  await until('the provider to be hung up on', () => provider.requests[0]!.hungUp);
  never.resolve();
  const spans = await gateway.spansOf('alone', 2, 'call');
  for (const { attributes } of spans) {
    assert.equal(attributes[A.errorType], 'client_disconnected');
    assert.ok(!(A.outputTokens in attributes));
  }
  provider.next(stream(sse(chatChunk({ content: 'four' }, 'stop'), '[DONE]')));
  assert.equal(await streamed('alone', 'k'), 'four');
});

test('a loop’s cache answers equal calls, and says so', async () => {
  const asks = async (loop: string, body: object) => {
    const { response } = await client(loop)
      .chat.completions.create(body as ReturnType<typeof question>)
      .withResponse();
    return response.headers.get('x-loopscope-cache');
  };
  assert.equal(await asks('cached', question()), 'miss');
  assert.equal(await asks('cached', question()), 'hit');
  const { model, messages } = question();
  assert.equal(await asks('cached', { messages, model }), 'hit', 'however its JSON is written');
  assert.equal(await asks('cached', question('another')), 'miss');
  assert.equal(await asks('uncached', question()), null);
  assert.equal(provider.requests.length, 3);
  const spans = await gateway.spansOf('cached', 4, 'call');
  assert.equal(spans.filter(({ attributes }) => A.outputTokens in attributes).length, 2);
  assert.equal(spans.filter(({ attributes }) => A.replayedSpanId in attributes).length, 2);
});

describe('at two gateways that share Redis', { skip: redisMissing }, () => {
  let redis: TestRedis;
  let both: [TestGateway, TestGateway];
  before(async () => {
    redis = await TestRedis.start();
    const sharing = () => startTestGateway({ providerUrl: provider.url, config: { redis_url: redis.url } });
    both = [await sharing(), await sharing()];
  });
  after(async () => {
    await Promise.all(both.map((one) => one.close()));
    await redis.close();
  });

  test(`${CALLERS} identical calls at once are one call to the provider`, async () => {
    const answers = await Promise.all(
      Array.from({ length: CALLERS }, (_, i) => ask('shared', 'k', undefined, both[i % 2]!.url)),
    );
    assert.equal(provider.requests.length, 1);
    for (const { data } of answers) assert.equal(data.choices[0]!.message.content, 'four');
    const spans = await Promise.all(both.map((one) => one.spansOf('shared', CALLERS / 2, 'call')));
    checkSpans(spans.flat());
  });

  test('a caller that leaves while the other gateway has the call leaves the answer to those behind it', async () => {
    const held = Promise.withResolvers<void>();
    provider.next(async (response, asked) => {
      await held.promise;
      await json(chatCompletion('four'))(response, asked);
    });
    const [here, there] = both;
    const first = ask('leaving', 'k', undefined, here.url);
    await until('the call', () => provider.requests.length === 1);
    const leaving = new AbortController();
    const { signal } = leaving;
    const before = [await begun('first', there.url), await begun('follow', there.url)] as const;
    const left = client('leaving', there.url).chat.completions.create(question(), { ...keyed('k'), signal });
    await until('it to ask', async () => (await begun('first', there.url)) === before[0] + 1);
    const behind = ask('leaving', 'k', undefined, there.url);
    await until('one behind it', async () => (await begun('follow', there.url)) === before[1] + 1);
    leaving.abort();
    await assert.rejects(left);
    held.resolve();
    await first;
    assert.equal((await behind).data.choices[0]!.message.content, 'four');
    assert.equal(provider.requests.length, 1);
    const spans = [
      ...(await here.spansOf('leaving', 1, 'call')),
      ...(await there.spansOf('leaving', 2, 'call')),
    ];
    assert.equal(spans.filter(({ attributes }) => A.outputTokens in attributes).length, 1);
    assert.equal(spans.filter(({ attributes }) => A.replayedSpanId in attributes).length, 2);
    assert.equal(
      spans.filter(({ attributes }) => attributes[A.errorType] === 'client_disconnected').length,
      1,
    );
  });
});

/** What was answered is kept in the gateway's memory. Only a shared Redis outlives a gateway that is killed. */
describe('after kill -9 of the gateway', () => {
  let receiver: Awaited<ReturnType<typeof startSpanReceiver>>;
  let folder: string;
  before(async () => {
    receiver = await startSpanReceiver();
    folder = mkdtempSync(join(tmpdir(), 'loopscope-gateway-'));
  });
  after(async () => {
    await receiver.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Whether the answer is there when the gateway is killed after it, and `answered`, and started again. */
  async function isKept(
    config: GatewayChildSettings['config'],
    answered: () => Promise<void> = async () => {},
  ): Promise<boolean> {
    const mortal = new MortalProcess<GatewayChildSettings>('gateway-child.ts', {
      providerUrl: provider.url,
      collectorUrl: receiver.url,
      folder,
      port: 0,
      config,
    });
    const once = async () => {
      const { response } = await client('mortal', mortal.url)
        .chat.completions.create(question(), keyed('k'))
        .withResponse();
      return response.headers.get('x-loopscope-replayed') === 'true';
    };
    try {
      await mortal.start();
      assert.equal(await once(), false);
      assert.equal(await once(), true);
      await answered();
      await mortal.kill();
      await mortal.start();
      return await once();
    } finally {
      await mortal.close();
    }
  }

  test('without Redis the call is made again', async () => {
    assert.equal(await isKept({}), false);
    assert.equal(provider.requests.length, 2);
  });

  test('with Redis its answer is there', { skip: redisMissing }, async () => {
    const redis = await TestRedis.start();
    const other = await startTestGateway({ providerUrl: provider.url, config: { redis_url: redis.url } });
    try {
      // It asks Redis, and waits until the answer is there.
      const stored = async () => {
        const { response } = await ask('mortal', 'k', undefined, other.url);
        assert.equal(response.headers.get('x-loopscope-replayed'), 'true');
      };
      assert.equal(await isKept({ redis_url: redis.url }, stored), true);
      assert.equal(provider.requests.length, 1);
    } finally {
      await other.close();
      await redis.close();
    }
  });
});
