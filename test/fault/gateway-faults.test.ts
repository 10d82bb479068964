import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { type Config, loadConfig } from '../../src/config.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import {
  answer,
  cut,
  type FaultyProvider,
  failure,
  hang,
  hangInError,
  hangInStream,
  malformedSse,
  noHttp,
  overloaded,
  startFaultyProvider,
  stream,
  tooMany,
  wrongLength,
} from '../support/faulty-provider.ts';
import { startTestGateway, type TestGateway, type TestSpan } from '../support/gateway.ts';
import {
  anthropicEvents,
  anthropicMessage,
  chatChunk,
  chatCompletion,
  sse,
} from '../support/scripted-provider.ts';
import { until } from '../support/until.ts';

/**
 * What a provider can do wrong, and what becomes of it: what the caller's own SDK throws, and what the spans say. An answer
 * that is not whole never looks as if it were.
 */

let first: FaultyProvider;
let second: FaultyProvider;
/** No retries; silence is given up soon. */
let plain: TestGateway;
/** Retries, quickly, and a virtual model `both` with a target at each provider. */
let retrying: TestGateway;
/** As `retrying`, patient. */
let patient: TestGateway;

const SOON = { first_token_s: 0.3, between_tokens_s: 0.3 };

before(async () => {
  first = await startFaultyProvider();
  second = await startFaultyProvider();
  const both = (name: string, more = '') => ({
    targets: [
      { provider: name, model: `model-a${more}` },
      { provider: `other-${name}`, model: 'model-b' },
    ],
    pick: 'priority' as const,
  });
  const open = (routing: Partial<Config['routing']>) =>
    startTestGateway({
      providerUrl: first.url,
      keys: KEYS,
      loops: RESTARTING,
      config: {
        models: {
          both: both('openai'),
          claude: both('anthropic'),
          // Of their own, as a rate limit is remembered.
          'limited OpenAI chat': both('openai', '-1'),
          'limited OpenAI responses': both('openai', '-2'),
          'limited Anthropic messages': both('anthropic', '-3'),
        },
        providers: {
          openai: provider(`${first.url}/v1`, 'sk-first'),
          anthropic: provider(first.url, 'sk-ant-first'),
          'other-openai': provider(`${second.url}/v1`, 'sk-second'),
          'other-anthropic': { ...provider(second.url, 'sk-ant-second'), api: 'anthropic' },
        },
        // A target that fails here fails on purpose: no breaker is to get in the way of the next test.
        routing: { ...NO_BREAKER, retries: { max: 0 }, timeouts: SOON, ...routing },
      },
    });
  plain = await open({});
  retrying = await open({ retries: { max: 2, initial_ms: 1, max_ms: 5, retry_after_s_max: 5 } });
  patient = await open({ retries: { max: 2, initial_ms: 1, max_ms: 5 }, timeouts: { between_tokens_s: 30 } });
});
after(async () => {
  await Promise.all([plain.close(), retrying.close(), patient.close()]);
  await Promise.all([first.close(), second.close()]);
});
afterEach(async () => {
  await until('no connection to a provider in the middle of an answer', () => first.openSockets <= 4);
});

const LOOPS_MAX = 1_000;
const KEYS = Object.fromEntries(
  ['fault', 'restart'].flatMap((kind) =>
    Array.from({ length: LOOPS_MAX }, (_, n) => [`lsk_${kind}-${n}`, { loop: `${kind}-${n}` }]),
  ),
);
const RESTARTING = Array.from({ length: LOOPS_MAX }, (_, n) =>
  LoopDefinition.parse({ loop: `restart-${n}`, owner: 'us', on_broken_stream: 'restart' }),
);
const NO_BREAKER = {
  breaker: {
    window_s: 1,
    calls_min: 100_000,
    failure_share: 1,
    consecutive_failures: 100_000,
    cool_down_s: 1,
    probes_max: 1,
  },
  retry_budget: { share: 1, per_s: 1_000 },
};
const provider = (base_url: string, api_key: string) => ({ base_url, api_key, api_key_env: 'KEY' });

const openai = (gateway: TestGateway, loop: string) =>
  new OpenAI({
    apiKey: `lsk_${loop}`,
    baseURL: `${gateway.url}/loops/${loop}/v1`,
    maxRetries: 0,
    logLevel: 'off',
  });
const claude = (gateway: TestGateway, loop: string) =>
  new Anthropic({
    apiKey: `lsk_${loop}`,
    baseURL: `${gateway.url}/loops/${loop}/anthropic`,
    maxRetries: 0,
    logLevel: 'off',
  });

const messages = [{ role: 'user' as const, content: 'hi' }];

interface Api {
  name: string;
  /** A whole answer through the SDK, as its text. */
  ask(gateway: TestGateway, loop: string, model?: string): Promise<string>;
  /** A streamed one: its text as it comes, so that what came before an error is known. */
  listen(gateway: TestGateway, loop: string, heard: string[], model?: string): Promise<void>;
  whole: string;
  /** The events of a whole stream that says "half" and "way", and how many of them come before the second word. */
  events: string[];
  half: number;
  /** An error in the middle of a stream, as the provider words it. */
  failed: string;
  APIError: new (...args: never[]) => Error;
  InternalServerError: new (...args: never[]) => Error;
  RateLimitError: new (...args: never[]) => Error;
  APIConnectionError: new (...args: never[]) => Error;
}

const split = (events: string) => events.split(/(?<=\n\n)/);
const typed = (events: ({ type: string } & Record<string, unknown>)[]) =>
  events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);

const response = (text: string, status = 'completed') => ({
  id: 'resp_1',
  object: 'response',
  model: 'gpt-5',
  status,
  output: [
    {
      type: 'message',
      id: 'm',
      role: 'assistant',
      content: [{ type: 'output_text', text, annotations: [] }],
    },
  ],
  usage: { input_tokens: 7, output_tokens: 3, total_tokens: 10 },
});
const wordOfResponse = (delta: string, sequence_number: number) => ({
  type: 'response.output_text.delta',
  item_id: 'm',
  output_index: 0,
  content_index: 0,
  sequence_number,
  delta,
});

const OPENAI = {
  APIError: OpenAI.APIError,
  InternalServerError: OpenAI.InternalServerError,
  RateLimitError: OpenAI.RateLimitError,
  APIConnectionError: OpenAI.APIConnectionError,
};

const apis: Api[] = [
  {
    ...OPENAI,
    name: 'OpenAI chat',
    ask: async (gateway, loop, model = 'gpt-4o') =>
      (await openai(gateway, loop).chat.completions.create({ model, messages })).choices[0]!.message.content!,
    listen: async (gateway, loop, heard, model = 'gpt-4o') => {
      const chunks = await openai(gateway, loop).chat.completions.create({ model, messages, stream: true });
      for await (const { choices } of chunks) heard.push(choices[0]?.delta.content ?? '');
    },
    whole: JSON.stringify(chatCompletion('halfway')),
    events: split(
      sse(
        chatChunk({ role: 'assistant' }),
        chatChunk({ content: 'half' }),
        chatChunk({ content: 'way' }),
        chatChunk({}, 'stop'),
        '[DONE]',
      ),
    ),
    half: 2,
    failed: sse({ error: { message: 'No.', type: 'server_error', param: null, code: null } }),
  },
  {
    ...OPENAI,
    name: 'OpenAI responses',
    ask: async (gateway, loop, model = 'gpt-5') =>
      (await openai(gateway, loop).responses.create({ model, input: 'hi' })).output_text,
    listen: async (gateway, loop, heard, model = 'gpt-5') => {
      const events = await openai(gateway, loop).responses.create({ model, input: 'hi', stream: true });
      for await (const event of events)
        heard.push(event.type === 'response.output_text.delta' ? event.delta : '');
    },
    whole: JSON.stringify(response('halfway')),
    events: typed([
      { type: 'response.created', sequence_number: 0, response: response('', 'in_progress') },
      wordOfResponse('half', 1),
      wordOfResponse('way', 2),
      { type: 'response.completed', sequence_number: 3, response: response('halfway') },
    ]),
    half: 2,
    failed: typed([
      { type: 'error', code: 'server_error', message: 'No.', param: null, sequence_number: 1 },
    ]).join(''),
  },
  {
    name: 'Anthropic messages',
    APIError: Anthropic.APIError,
    InternalServerError: Anthropic.InternalServerError,
    RateLimitError: Anthropic.RateLimitError,
    APIConnectionError: Anthropic.APIConnectionError,
    ask: async (gateway, loop, model = 'claude-sonnet-4-0') => {
      const { content } = await claude(gateway, loop).messages.create({ model, max_tokens: 9, messages });
      return content.map((block) => (block.type === 'text' ? block.text : '')).join('');
    },
    listen: async (gateway, loop, heard, model = 'claude-sonnet-4-0') => {
      const events = await claude(gateway, loop).messages.create({
        model,
        max_tokens: 9,
        messages,
        stream: true,
      });
      for await (const event of events)
        heard.push(
          event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : '',
        );
    },
    whole: JSON.stringify(anthropicMessage('halfway')),
    events: split(anthropicEvents(['half', 'way'])),
    half: 4,
    failed: typed([{ type: 'error', error: { type: 'overloaded_error', message: 'No.' } }]).join(''),
  },
];

const thrownBy = (
  asked: Promise<unknown>,
): Promise<Error & { status?: number; code?: unknown; headers?: Headers }> =>
  asked.then(
    (got) => assert.fail(`expected an error, got ${JSON.stringify(got)}`),
    (error) => error,
  );

/** Whether an error was told in the stream: not found out from a connection that ended. */
const isTold = (api: Api, error: unknown): boolean =>
  error instanceof api.APIError && !(error instanceof api.APIConnectionError);

let loops = 0;
const newLoop = (kind = 'fault') => `${kind}-${++loops}`;
/** How many events a client hears of a whole stream: as many where an earlier target had begun one. */
const heardWhole = new Map<string, number>();

const attemptsOf = async (gateway: TestGateway, loop: string, n: number) => {
  const spans = n === 0 ? [] : await gateway.spansOf(loop, n, 'attempt');
  return spans
    .sort((a, b) => Number(a.attributes[A.attemptNumber]) - Number(b.attributes[A.attemptNumber]))
    .map(({ attributes: a }) => `${a[A.attemptTarget]} ${a[A.attemptOutcome]} ${a[A.errorType] ?? '-'}`);
};

const assertNoUsage = ({ attributes }: TestSpan) => {
  for (const name of [A.inputTokens, A.outputTokens, A.costUsd]) assert.ok(!(name in attributes), name);
};

for (const api of apis) {
  const target = api.name.startsWith('OpenAI') ? 'openai' : 'anthropic';
  const [model, a, b] =
    target === 'openai'
      ? ['both', 'openai/model-a', 'other-openai/model-b']
      : ['claude', 'anthropic/model-a', 'other-anthropic/model-b'];
  const half = api.events.slice(0, api.half);
  const opening = half.slice(0, -1);

  for (const [what, fault, status, type, reason, says] of [
    [
      'hangs before its headers',
      hang(),
      504,
      'timeout',
      'first_token_timeout',
      /silent for too long.*first_token_timeout/,
    ],
    [
      'resets the connection before its headers',
      cut({ how: 'rst' }),
      502,
      'connection_error',
      'connection_lost',
      /did not answer/,
    ],
    [
      'closes the connection before its headers',
      cut({ how: 'fin' }),
      502,
      'connection_error',
      'connection_lost',
      /did not answer/,
    ],
    ['speaks no HTTP', noHttp(), 502, 'connection_error', 'malformed', /did not answer/],
  ] as const)
    test(`${api.name}: a provider that ${what} is a ${status} that the SDK understands`, async () => {
      for (const how of ['whole', 'stream'] as const) {
        const loop = newLoop();
        first.next(fault);
        const error = await thrownBy(how === 'whole' ? api.ask(plain, loop) : api.listen(plain, loop, []));
        assert.ok(error instanceof api.InternalServerError, String(error));
        assert.equal(error.status, status);
        assert.match(error.message, says);
        assert.equal(error.headers?.get('x-should-retry'), 'true');
        const span = await plain.callOf(loop);
        assert.equal(span.failed, true);
        assert.equal(span.attributes[A.errorType], type);
        assert.equal(span.attributes[A.httpStatus], status);
        assertNoUsage(span);
        assert.deepEqual(await attemptsOf(plain, loop, 1), [`${target} failed ${reason}`]);
      }
    });

  test(`${api.name}: a provider that refuses connections is a 502 that says where to look`, async () => {
    await first.refuse();
    try {
      const loop = newLoop();
      const error = await thrownBy(api.ask(plain, loop));
      assert.ok(error instanceof api.InternalServerError && error.status === 502);
      assert.match(error.message, /ECONNREFUSED.*base_url/);
      const span = await plain.callOf(loop);
      assert.equal(span.attributes[A.errorType], 'connection_error');
      assert.deepEqual(await attemptsOf(plain, loop, 1), [`${target} failed connect_failed`]);
    } finally {
      await first.accept();
    }
  });

  for (const [what, more, how, reason] of [
    ['is reset', '', 'rst', 'cut'],
    ['is closed', '', 'fin', 'cut'],
    ['falls silent', '', 'hang', 'between_tokens_timeout'],
    ['is reset in the middle of an event', 'cut', 'rst', 'cut'],
    ['falls silent in the middle of an event', 'cut', 'hang', 'between_tokens_timeout'],
  ] as const)
    test(`${api.name}: a stream that ${what} half-way throws the SDK's APIError after what came`, async () => {
      const loop = newLoop();
      const pieces = more === 'cut' ? [...half, api.events[api.half]!.slice(0, -9)] : half;
      first.next(how === 'hang' ? hangInStream(pieces) : cut({ how, pieces }));
      const heard: string[] = [];
      // There are retries and another target: they are for before the first byte.
      const error = await thrownBy(api.listen(retrying, loop, heard, model));
      assert.ok(isTold(api, error), String(error));
      assert.match(error.message, reason === 'cut' ? /broke off in the middle/ : /silent for too long/);
      if (target === 'openai')
        assert.equal(error.code, reason === 'cut' ? 'provider_unreachable' : 'provider_timeout');
      assert.equal(heard.join(''), 'half');
      const span = await retrying.callOf(loop);
      assert.equal(span.failed, true);
      assert.equal(span.attributes[A.errorType], 'stream_interrupted');
      assert.equal(span.attributes[A.httpStatus], 200);
      assert.equal(span.attributes[A.outputText], 'half');
      assert.ok(!(A.attempts in span.attributes));
      assert.deepEqual(await attemptsOf(retrying, loop, 1), [`${a} broken ${reason}`]);
    });

  test(`${api.name}: a stream that breaks is not closed in good order`, async () => {
    const loop = newLoop();
    first.next(cut({ how: 'fin', pieces: half }));
    const seen = await raw(plain, api, loop);
    assert.ok(seen.text.startsWith(half.join('')), seen.text);
    assert.match(seen.text.slice(half.join('').length), /^(event: error\n)?data: \{.*broke off.*\}\n\n$/);
    assert.equal(seen.end, 'cut');
  });

  test(`${api.name}: a stream that ends in good order but not at its end is told to be broken`, async () => {
    const loop = newLoop();
    first.next(stream(half));
    const heard: string[] = [];
    const error = await thrownBy(api.listen(plain, loop, heard));
    assert.ok(isTold(api, error), String(error));
    assert.equal(heard.join(''), 'half');
    assert.equal((await plain.callOf(loop)).attributes[A.errorType], 'stream_interrupted');
    first.next(stream(half));
    assert.equal((await raw(plain, api, newLoop())).end, 'cut');
  });

  test(`${api.name}: malformed events throw, and are no whole answer`, async () => {
    const loop = newLoop();
    first.next(malformedSse());
    const error = await thrownBy(api.listen(plain, loop, []));
    assert.ok(error instanceof Error);
    const span = await plain.callOf(loop);
    // The SDK may leave at the first of them.
    assert.match(String(span.attributes[A.errorType]), /^(stream_interrupted|client_disconnected)$/);
    assertNoUsage(span);
  });

  test(`${api.name}: a connection that breaks after the last event took nothing away`, async () => {
    for (const fault of [cut({ how: 'rst', pieces: api.events }), cut({ how: 'fin', pieces: api.events })]) {
      const loop = newLoop();
      first.next(fault);
      const seen = await raw(plain, api, loop);
      assert.deepEqual(seen, { text: api.events.join(''), end: 'whole' });
      const span = await plain.callOf(loop);
      assert.equal(span.failed, false);
      assert.ok(!(A.errorType in span.attributes));
    }
  });

  test(`${api.name}: a stream that trickles is whole as long as something comes`, async () => {
    const loop = newLoop();
    const heard: string[] = [];
    first.next(stream(api.events, 30));
    await api.listen(plain, loop, heard);
    assert.equal(heard.join(''), 'halfway');
    assert.equal((await plain.callOf(loop)).failed, false);
  });

  test(`${api.name}: events that come a byte or a bit at a time are whole`, async () => {
    const bytes = Buffer.from(api.events.join(''));
    for (const size of [1, 7, 61]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.toString('utf8', i * size, (i + 1) * size),
      );
      first.next(stream(pieces));
      const loop = newLoop();
      assert.deepEqual(await raw(plain, api, loop), { text: bytes.toString(), end: 'whole' });
      assert.equal((await plain.callOf(loop)).attributes[A.outputText], 'halfway');
    }
  });

  test(`${api.name}: an answer shorter than it said is an error, one longer ends where it said`, async () => {
    const loop = newLoop();
    first.next(wrongLength(api.whole.length + 50, api.whole));
    const error = await thrownBy(api.ask(plain, loop));
    assert.ok(error instanceof Error && !('choices' in error), String(error));
    const span = await plain.callOf(loop);
    assert.equal(span.failed, true);
    assert.equal(span.attributes[A.errorType], 'stream_interrupted');
    assert.deepEqual(await attemptsOf(plain, loop, 1), [`${target} broken cut`]);

    const longer = newLoop();
    first.next(wrongLength(api.whole.length, `${api.whole}{"more":1}`));
    assert.equal(await api.ask(plain, longer), 'halfway');
    assert.equal((await plain.callOf(longer)).failed, false);
  });

  test(`${api.name}: an answer without usage has none on its span, and no cost`, async () => {
    const { usage: _, ...rest } = JSON.parse(api.whole);
    const loop = newLoop();
    first.next(answer({ body: JSON.stringify(rest) }));
    assert.equal(await api.ask(plain, loop), 'halfway');
    const span = await plain.callOf(loop);
    assert.equal(span.failed, false);
    assertNoUsage(span);
  });

  test(`${api.name}: a rate limit reaches the caller with its Retry-After, when nothing else is left`, async () => {
    const loop = newLoop();
    first.next(tooMany('7'));
    const error = await thrownBy(api.ask(plain, loop));
    assert.ok(error instanceof api.RateLimitError, String(error));
    assert.equal(error.headers?.get('retry-after'), '7');
    const span = await plain.callOf(loop);
    assert.equal(span.attributes[A.httpStatus], 429);
    assert.equal(span.failed, true);
  });

  test(`${api.name}: a short Retry-After is waited for, and the caller sees the answer only`, async () => {
    const loop = newLoop();
    first.next(tooMany('1'), answer({ body: api.whole }));
    assert.equal(await api.ask(patient, loop), 'halfway');
    const span = await patient.callOf(loop);
    assert.equal(span.failed, false);
    assert.equal(span.attributes[A.attempts], 2);
    assert.deepEqual(await attemptsOf(patient, loop, 2), [
      `${target} rate_limited http_429`,
      `${target} answered -`,
    ]);
    const [limited, answered] = (await patient.spansOf(loop, 2, 'attempt')).sort((x, y) =>
      Number(x.startNs - y.startNs),
    );
    assert.ok(answered!.startNs - limited!.endNs >= 1_000_000_000n);
  });

  test(`${api.name}: an overloaded provider is tried again, and is told of when it stays so`, async () => {
    const loop = newLoop();
    first.next(overloaded(), answer({ body: api.whole }));
    assert.equal(await api.ask(patient, loop), 'halfway');
    assert.deepEqual(await attemptsOf(patient, loop, 2), [
      `${target} failed http_529`,
      `${target} answered -`,
    ]);
    const busy = newLoop();
    first.next(overloaded(), overloaded(), overloaded());
    const error = await thrownBy(api.ask(patient, busy));
    assert.ok(error instanceof api.InternalServerError && error.status === 529, String(error));
    const span = await patient.callOf(busy);
    assert.equal(span.attributes[A.errorType], 'overloaded_error');
    assert.equal(span.attributes[A.httpStatus], 529);
    assert.equal((await attemptsOf(patient, busy, 3)).length, 3);
  });

  for (const [what, fault, reason] of [
    ['fails', failure(500), 'http_500'],
    ['is overloaded', overloaded(), 'http_529'],
    ['hangs before its headers', hang(), 'first_token_timeout'],
    ['hangs before its first event', hangInStream(), 'first_token_timeout'],
    ['hangs in the body of an error', hangInError(503), 'http_503'],
    ['resets the connection', cut({ how: 'rst' }), 'connection_lost'],
    ['resets the connection before its first event', cut({ how: 'rst', pieces: [] }), 'connection_lost'],
    ['speaks no HTTP', noHttp(), 'malformed'],
  ] as const)
    test(`${api.name}: a target that ${what} is replaced by the next, and the caller does not see it`, async () => {
      const before = second.requests.length;
      first.next(fault);
      second.next(stream(api.events));
      const loop = newLoop();
      const heard: string[] = [];
      await api.listen(retrying, loop, heard, model);
      assert.equal(heard.join(''), 'halfway');
      const { headers, body } = second.requests[before]!;
      assert.match(`${headers['authorization']} ${headers['x-api-key']}`, /sk-(ant-)?second/);
      assert.ok(!JSON.stringify(headers).includes('first') && !JSON.stringify(headers).includes('lsk_'));
      assert.equal(JSON.parse(body.toString()).model, 'model-b');
      const span = await retrying.callOf(loop);
      assert.equal(span.failed, false);
      assert.equal(span.attributes[A.attempts], 2);
      assert.equal(span.attributes[A.requestModel], model);
      assert.deepEqual(await attemptsOf(retrying, loop, 2), [`${a} failed ${reason}`, `${b} answered -`]);
      const attempts = await retrying.spansOf(loop, 2, 'attempt');
      assert.deepEqual(new Set(attempts.map((attempt) => attempt.parentSpanId)), new Set([span.spanId]));
    });

  test(`${api.name}: a target that limits the rate for long is replaced, and left alone after that`, async () => {
    const loop = newLoop();
    first.next(tooMany('3600'));
    second.next(answer({ body: api.whole }), answer({ body: api.whole }));
    const before = first.requests.length;
    assert.equal(await api.ask(retrying, loop, `limited ${api.name}`), 'halfway');
    assert.deepEqual(await attemptsOf(retrying, loop, 2), [
      `${a}-${apis.indexOf(api) + 1} rate_limited http_429`,
      `${b} answered -`,
    ]);
    assert.equal(await api.ask(retrying, newLoop(), `limited ${api.name}`), 'halfway');
    assert.equal(first.requests.length, before + 1);
  });

  for (const [what, fault, reason] of [
    ['is reset', cut({ how: 'rst', pieces: opening }), 'connection_lost'],
    ['is closed', cut({ how: 'fin', pieces: opening }), 'connection_lost'],
    ['ends in good order', stream(opening), 'cut'],
    ['falls silent', hangInStream(opening), 'between_tokens_timeout'],
    [
      'is reset in the middle of its first word',
      cut({ how: 'rst', pieces: [...opening, half.at(-1)!.slice(0, -9)] }),
      'connection_lost',
    ],
    ['says that it failed', stream([...opening, api.failed], 20), 'stream_error'],
  ] as const)
    test(`${api.name}: a stream that ${what} before its first word is asked for again, where the loop wants it`, async () => {
      const loop = newLoop('restart');
      first.next(fault);
      second.next(stream(api.events, 5));
      const heard: string[] = [];
      await api.listen(retrying, loop, heard, model);
      assert.equal(heard.join(''), 'halfway');
      assert.equal(heard.length, heardWhole.get(api.name) ?? heard.length);
      heardWhole.set(api.name, heard.length);
      const span = await retrying.callOf(loop);
      assert.equal(span.failed, false);
      assert.equal(span.attributes[A.outputText], 'halfway');
      assert.deepEqual(await attemptsOf(retrying, loop, 2), [`${a} failed ${reason}`, `${b} answered -`]);
    });

  test(`${api.name}: without that it is told to be broken, and so is one that breaks after its first word`, async () => {
    for (const [loop, pieces] of [
      [newLoop(), opening],
      [newLoop('restart'), half],
    ] as const) {
      const before = second.requests.length;
      first.next(cut({ how: 'fin', pieces: [...pieces] }));
      const error = await thrownBy(api.listen(retrying, loop, [], model));
      assert.ok(isTold(api, error), String(error));
      assert.equal(second.requests.length, before);
      assert.deepEqual(await attemptsOf(retrying, loop, 1), [`${a} broken cut`]);
    }
  });

  test(`${api.name}: what opens without end, or cannot be read, is passed on`, async () => {
    const many = Array(2_000).fill(api.events[0]!);
    first.next(cut({ how: 'fin', pieces: many }));
    const before = second.requests.length;
    assert.ok(isTold(api, await thrownBy(api.listen(retrying, newLoop('restart'), [], model))));
    assert.equal(second.requests.length, before);
    first.next(stream([...many, ...api.events.slice(1)]));
    const heard: string[] = [];
    await api.listen(retrying, newLoop('restart'), heard, model);
    assert.equal(heard.join(''), 'halfway');
  });

  test(`${api.name}: when every target fails the caller is told of the last, and the spans of all`, async () => {
    const loop = newLoop();
    first.next(hang(), hang());
    second.next(cut({ how: 'rst' }));
    const error = await thrownBy(api.listen(retrying, loop, [], model));
    assert.ok(error instanceof api.InternalServerError, String(error));
    assert.match(error.message, /after 3 attempts/);
    const span = await retrying.callOf(loop);
    assert.equal(span.failed, true);
    assert.equal(span.attributes[A.attempts], 3);
    assert.deepEqual(await attemptsOf(retrying, loop, 3), [
      `${a} failed first_token_timeout`,
      `${b} failed connection_lost`,
      `${a} failed first_token_timeout`,
    ]);
  });
}

test('an answer whose span cannot be written never looks whole', async () => {
  const defaults = loadConfig(undefined, {});
  const full = await startTestGateway({
    providerUrl: first.url,
    keys: KEYS,
    config: {
      gateway: { ...defaults.gateway, port: 0, spool: { ...defaults.gateway.spool, bytes_max: 1_000_000 } },
    },
  });
  // What was said is on the span, which then has no room.
  const long = 'half '.repeat(250_000);
  try {
    for (const api of apis) {
      first.next(stream(api.events.map((event) => event.replace(/"half(way)?"/, `"${long}"`))));
      const heard: string[] = [];
      const error = await thrownBy(api.listen(full, newLoop(), heard).then(() => heard.join('').length));
      assert.ok(error instanceof Error);
      first.next(answer({ body: api.whole.replaceAll('"halfway"', `"${long}"`) }));
      const lost = await thrownBy(api.ask(full, newLoop()));
      assert.match(String(lost), /terminated|Connection error/);
    }
  } finally {
    await full.close();
  }
});

test('a stream slower than its floor of tokens is given up and told to be broken', async () => {
  const slow = await startTestGateway({
    providerUrl: first.url,
    config: {
      providers: {
        openai: provider(`${first.url}/v1`, 'sk-first'),
        anthropic: provider(first.url, 'sk-ant-first'),
      },
      routing: { ...NO_BREAKER, retries: { max: 0 }, timeouts: { tokens_per_s_min: 1_000 } },
    },
  });
  try {
    first.next(stream(Array(2_000).fill(sse(chatChunk({ content: 'x' }))), 20));
    const client = new OpenAI({ apiKey: 'sk-own', baseURL: `${slow.url}/loops/slow/v1`, maxRetries: 0 });
    const listen = async () => {
      for await (const _ of await client.chat.completions.create({ model: 'm', messages, stream: true }));
    };
    const error = await thrownBy(listen());
    assert.ok(error instanceof OpenAI.APIError && error.code === 'provider_timeout', String(error));
    assert.match(error.message, /too_slow/);
    assert.equal((await slow.callOf('slow')).attributes[A.errorType], 'stream_interrupted');
    assert.deepEqual(await attemptsOf(slow, 'slow', 1), ['openai broken too_slow']);
  } finally {
    await slow.close();
  }
});

const REQUESTS: Record<string, { path: string; body: object }> = {
  'OpenAI chat': { path: 'v1/chat/completions', body: { model: 'gpt-4o', messages, stream: true } },
  'OpenAI responses': { path: 'v1/responses', body: { model: 'gpt-5', input: 'hi', stream: true } },
  'Anthropic messages': {
    path: 'v1/messages',
    body: { model: 'claude-sonnet-4-0', max_tokens: 9, messages, stream: true },
  },
};

/** The bytes of a streamed answer, and whether its connection was closed in good order. */
async function raw(
  gateway: TestGateway,
  api: Api,
  loop: string,
): Promise<{ text: string; end: 'whole' | 'cut' }> {
  const { path, body } = REQUESTS[api.name]!;
  const response = await fetch(`${gateway.url}/loops/${loop}/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const chunk of response.body!) text += decoder.decode(chunk, { stream: true });
    return { text, end: 'whole' };
  } catch (error) {
    if ((error as Error).name === 'TimeoutError') throw error;
    return { text, end: 'cut' };
  }
}
