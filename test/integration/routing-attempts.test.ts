import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { Connections } from '../../src/gateway/connections/connections.ts';
import { callTargets } from '../../src/gateway/routing/attempts.ts';
import { Deadlines } from '../../src/gateway/routing/deadlines.ts';
import { type ProviderFailure, toRefusal } from '../../src/gateway/routing/failure.ts';
import { RoutingFigures } from '../../src/gateway/routing/figures.ts';
import { Router } from '../../src/gateway/routing/plan.ts';
import { callerTimeouts } from '../../src/gateway/routing/retry.ts';
import type { AttemptNotice, RoutedCall, RoutingContext } from '../../src/gateway/routing/routed-call.ts';
import { ModelsSettings, RoutingSettings } from '../../src/gateway/routing/settings.ts';
import {
  answer,
  cut,
  type Fault,
  type FaultyProvider,
  failure,
  hang,
  hangInError,
  hangInStream,
  malformedSse,
  noHttp,
  overloaded,
  redirect,
  startFaultyProvider,
  stream,
  tooMany,
  wrongLength,
} from '../support/faulty-provider.ts';
import { until } from '../support/until.ts';

/** Calls over real connections to providers that fail. */

/** As Anthropic sends it. */
const OVERLOADED_EVENT =
  'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n';

const clock = systemClock();
let first: FaultyProvider;
let second: FaultyProvider;
/** Takes connections and waits for a request, while a client waits for its part of the TLS handshake. */
let silent: FaultyProvider;
let connections: Connections;
let router: Router;
let context: RoutingContext;

before(async () => {
  first = await startFaultyProvider(answer({ body: 'from first' }));
  second = await startFaultyProvider(answer({ body: 'from second' }));
  silent = await startFaultyProvider();
});
after(async () => {
  await first.close();
  await second.close();
  await silent.close();
});
beforeEach(() => {
  connections = new Connections();
  open({});
});
afterEach(async () => {
  assert.equal(context.deadlines.size, 0, 'a deadline was left behind');
  await connections.destroy();
});

/** Short times, so that what waits for them ends; nothing here depends on how short. */
const QUICK = { initial_ms: 1, max_ms: 1 };

function open(routing: Record<string, unknown>) {
  const settings = RoutingSettings.parse({ retries: QUICK, retry_budget: { per_s: 1_000 }, ...routing });
  const endpoint = (url: string) => ({
    origin: url,
    basePath: '',
    address: '127.0.0.1',
    port: Number(new URL(url).port),
    apiKey: 'k',
    apiKeyEnv: 'K',
  });
  router = new Router({
    routing: settings,
    models: ModelsSettings.parse({ both: { targets: [{ provider: 'first' }, { provider: 'second' }] } }),
    providers: new Map([
      ['first', { api: 'openai', endpoint: endpoint(first.url) }],
      ['second', { api: 'openai', endpoint: endpoint(second.url) }],
      ['silent-tls', { api: 'openai', endpoint: endpoint(silent.url.replace('http:', 'https:')) }],
    ]),
    key: () => undefined,
    random: clock.random,
  });
  const log = pino({ level: 'silent' });
  context = { connections, clock, deadlines: new Deadlines({ clock, log }), figures: new RoutingFigures() };
}

interface Seen {
  status?: number;
  headers: string[];
  body: string;
  end?: 'end' | ProviderFailure | LoopscopeError;
  attempts: AttemptNotice[];
  started: number;
  cancel(): void;
  resume(): void;
}

interface Asked extends Partial<Omit<RoutedCall, 'plan'>> {
  provider?: string;
  model?: string;
  /** Takes no more after a chunk until `resume`. */
  slow?: boolean;
}

/** Makes a call and keeps what its listener hears. */
function start({ provider = 'first', model, slow = false, ...more }: Asked = {}): Seen {
  const seen: Seen = { headers: [], body: '', attempts: [], started: 0, cancel: () => {}, resume: () => {} };
  const call = callTargets(
    context,
    {
      plan: router.plan({ model, loopModels: undefined, provider, gatewayKey: true }),
      request: () => ({ method: 'POST', path: '/v1/x', headers: ['x-a', 'b'], body: Buffer.from('{}') }),
      repeatable: true,
      gatewayKey: true,
      patience: callerTimeouts({}),
      whyNot: () => undefined,
      ...more,
    },
    {
      attemptStarted: () => void seen.started++,
      attemptEnded: (attempt) => void seen.attempts.push(attempt),
      start: (status, _, headers) => {
        assert.equal(seen.status, undefined, 'started twice');
        seen.status = status;
        seen.headers = headers;
      },
      data: (chunk) => {
        seen.body += chunk.toString('latin1');
        return !slow;
      },
      end: () => {
        assert.equal(seen.end, undefined, 'ended twice');
        seen.end = 'end';
      },
      fail: (error) => {
        assert.equal(seen.end, undefined, 'ended twice');
        seen.end = error;
      },
    },
  );
  seen.cancel = () => call.cancel();
  seen.resume = () => call.resume();
  return seen;
}

async function call(asked?: Asked): Promise<Seen> {
  const seen = start(asked);
  await until('the call to end', () => seen.end);
  return seen;
}

const outcomes = ({ attempts }: Seen) =>
  attempts.map((a) => `${a.target.name} ${a.outcome}${a.reason ? ` ${a.reason}` : ''}`);
const reasonOf = ({ end }: Seen) =>
  end === undefined || end === 'end' ? end : end instanceof LoopscopeError ? end.code : end.reason;
const figure = (name: string) =>
  Object.fromEntries(
    context.figures
      .families(router.health, clock.now())
      .find((f) => f.name === name)!
      .samples.map(({ labels, value }) => [Object.values(labels).join(' '), value]),
  );

test('an answer passes through as it came, in one attempt', async () => {
  first.next(answer({ status: 201, headers: { 'X-Odd': 'a  B' }, body: 'all of it' }));
  const seen = await call();
  assert.deepEqual([seen.status, seen.body, seen.end], [201, 'all of it', 'end']);
  assert.equal(seen.headers[seen.headers.indexOf('X-Odd') + 1], 'a  B');
  assert.deepEqual(outcomes(seen), ['first answered']);
  const [attempt] = seen.attempts;
  assert.equal(attempt!.number, 1);
  assert.equal(attempt!.status, 201);
  assert.ok(attempt!.endNs! > attempt!.startNs);
  assert.deepEqual(first.requests.at(-1)!.path, '/v1/x');
  assert.deepEqual(first.requests.at(-1)!.body.toString(), '{}');
});

for (const [what, fault, reason] of [
  ['500', failure(500), 'http_500'],
  ['503', failure(503), 'http_503'],
  ['529', overloaded(), 'http_529'],
  ['408', failure(408), 'http_408'],
  ['429', tooMany(), 'http_429'],
  ['a 409 that asks for it', failure(409, { 'x-should-retry': 'true' }), 'http_409'],
  ['a connection that is closed', cut({ how: 'fin' }), 'connection_lost'],
  ['a connection that is reset', cut({ how: 'rst' }), 'connection_lost'],
  ['an answer that is no HTTP', noHttp(), 'malformed'],
  ['a stream that begins with an error', stream([OVERLOADED_EVENT]), 'stream_error'],
  [
    "a stream that begins with an error in OpenAI's words",
    stream(['data: {"error":{}}\n\n']),
    'stream_error',
  ],
  ['a stream that is cut before its first event', cut({ how: 'rst', pieces: [] }), 'connection_lost'],
] as const)
  test(`${what} is tried again, and the caller sees the answer alone`, async () => {
    first.next(fault);
    const seen = await call();
    assert.deepEqual([seen.status, seen.body, seen.end], [200, 'from first', 'end']);
    const outcome = reason === 'http_429' ? 'rate_limited' : /408|409/.test(reason) ? 'refused' : 'failed';
    assert.deepEqual(outcomes(seen), [`first ${outcome} ${reason}`, 'first answered']);
    assert.deepEqual(figure('loopscope_gateway_retries_total'), { [reason]: 1 });
  });

for (const [what, fault, status] of [
  ['400', failure(400), 400],
  ['404', failure(404), 404],
  ['409', failure(409), 409],
  ['a 503 that asks not to be', failure(503, { 'x-should-retry': 'false' }), 503],
  ['a redirect', redirect('http://169.254.169.254/latest/meta-data'), 307],
] as const)
  test(`${what} is not tried again`, async () => {
    const before = first.requests.length;
    first.next(fault);
    const seen = await call({ model: 'both' });
    assert.deepEqual([seen.status, seen.end], [status, 'end']);
    assert.equal(first.requests.length, before + 1);
    assert.equal(seen.attempts.length, 1);
  });

test('a provider that refuses connections is told of, and is tried no more than is allowed', async () => {
  await first.refuse();
  const seen = await call();
  await first.accept();
  assert.equal(reasonOf(seen), 'connect_failed');
  assert.deepEqual(outcomes(seen), Array(3).fill('first failed connect_failed'));
  const refusal = toRefusal(seen.end as ProviderFailure);
  assert.equal(refusal.code, 'provider_unreachable');
  assert.match(refusal.message, /after 3 attempts.*ECONNREFUSED.*providers\.first\.base_url/);
  assert.deepEqual(figure('loopscope_gateway_retries_withheld_total'), { attempts: 1 });
});

test('a failure goes over to the next target at once', async () => {
  first.next(failure(503));
  const seen = await call({ model: 'both' });
  assert.equal(seen.body, 'from second');
  assert.deepEqual(outcomes(seen), ['first failed http_503', 'second answered']);
  await first.refuse();
  const again = await call({ model: 'both' });
  await first.accept();
  assert.deepEqual(outcomes(again), ['first failed connect_failed', 'second answered']);
});

const LIMITED = new LoopscopeError('rate_limited', 'Limit reached.');

for (const late of [false, true]) {
  const decided = (why: LoopscopeError | undefined) => (late ? Promise.resolve(why) : why);
  const when = late ? ', which is known later' : '';
  test(`a target whose limits are reached is passed over${when}, and costs no attempt and no retry`, async () => {
    const seen = await call({
      model: 'both',
      whyNot: (target) => decided(target.name === 'first' ? LIMITED : undefined),
    });
    assert.equal(seen.body, 'from second');
    assert.deepEqual(outcomes(seen), ['second answered']);
    assert.deepEqual(figure('loopscope_gateway_retries_total'), {});
  });

  test(`where the limits of all targets are reached${when} nobody is asked`, async () => {
    const before = first.requests.length + second.requests.length;
    const seen = await call({ model: 'both', whyNot: () => decided(LIMITED) });
    assert.equal(reasonOf(seen), 'rate_limited');
    assert.deepEqual([seen.attempts, seen.started], [[], 0]);
    assert.equal(first.requests.length + second.requests.length, before);
  });

  test(`after a failure, a next target whose limits are reached${when} leaves the answer that there was`, async () => {
    first.next(failure(503));
    const seen = await call({
      model: 'both',
      whyNot: (target) => decided(target.name === 'second' ? LIMITED : undefined),
    });
    assert.deepEqual([seen.status, seen.end], [503, 'end']);
    assert.deepEqual(outcomes(seen), ['first failed http_503']);
  });
}

test('a call that is cancelled while its limits are asked for is not made', async () => {
  const before = first.requests.length;
  const asked = Promise.withResolvers<undefined>();
  const seen = start({ whyNot: () => asked.promise });
  seen.cancel();
  asked.resolve(undefined);
  await new Promise(setImmediate);
  assert.deepEqual([seen.end, seen.started, first.requests.length], [undefined, 0, before]);
});

test('when all attempts fail, the last answer of a provider is passed on as it came', async () => {
  const body = JSON.stringify({ error: { message: 'Mine.' } });
  first.next(
    answer({ status: 503, headers: { 'x-mine': 'yes', 'retry-after': '0' }, body }),
    cut({ how: 'rst' }),
  );
  await second.refuse();
  const seen = await call({ model: 'both' });
  await second.accept();
  assert.deepEqual(outcomes(seen), [
    'first failed http_503',
    'second failed connect_failed',
    'first failed connection_lost',
  ]);
  assert.deepEqual([seen.status, seen.body, seen.end], [503, body, 'end']);
  assert.equal(seen.headers[seen.headers.indexOf('x-mine') + 1], 'yes');

  first.next(failure(500), failure(500), answer({ status: 502, body: 'the last' }));
  const last = await call();
  assert.deepEqual([last.status, last.body], [502, 'the last']);
});

test('a failure that is too large to keep is thrown away, and its connection with it', async () => {
  first.next(answer({ status: 503, body: 'x'.repeat(100_000) }), cut({ how: 'fin' }), cut({ how: 'fin' }));
  const seen = await call();
  assert.equal(reasonOf(seen), 'connection_lost');
  assert.equal(seen.status, undefined);
});

test('an error whose body never ends does not hold up the next attempt for ever, nor a connection', async () => {
  first.next(hangInError(500));
  const seen = await call();
  assert.deepEqual(outcomes(seen), ['first failed http_500', 'first answered']);
  await connections.destroy();
  await until('no connection to be open', () => first.openSockets === 0);
});

test('the connection of a failure whose body was read is used again', async () => {
  first.next(failure(503));
  await call();
  assert.equal(first.openSockets, 1);
});

test('Retry-After is waited for; one that is too long goes to the caller', async () => {
  first.next(tooMany('1'));
  const seen = await call();
  assert.deepEqual(outcomes(seen), ['first rate_limited http_429', 'first answered']);
  const [limited, answered] = seen.attempts;
  assert.ok(answered!.startNs - limited!.endNs! >= 1_000_000_000n);

  first.next(tooMany('3600'));
  const long = await call();
  assert.equal(long.status, 429);
  assert.equal(long.headers[long.headers.indexOf('retry-after') + 1], '3600');
  assert.equal(long.attempts.length, 1);
  assert.equal(figure('loopscope_gateway_breaker_state')['first rate_limited'], 1);
  assert.deepEqual(figure('loopscope_gateway_retries_withheld_total'), { retry_after: 1 });
});

test('a rate limit sends calls elsewhere until it is over, but not that of a caller of its own key', async () => {
  first.next(tooMany('60'));
  await call({ model: 'both', gatewayKey: false });
  assert.deepEqual(outcomes(await call({ model: 'both' })), ['first answered']);
  first.next(tooMany('60'));
  await call({ model: 'both' });
  assert.deepEqual(outcomes(await call({ model: 'both' })), ['second answered']);
});

test("a wait that is longer than the caller's patience is not begun", async () => {
  first.next(tooMany('30'));
  const seen = await call({ patience: callerTimeouts({ 'x-stainless-timeout': '5' }) });
  assert.equal(seen.status, 429);
  assert.deepEqual(figure('loopscope_gateway_retries_withheld_total'), { deadline: 1 });
});

test('a request that must not be done twice is sent again only where nothing was done', async () => {
  first.next(cut({ how: 'rst' }));
  const lost = await call({ repeatable: false });
  assert.equal(reasonOf(lost), 'connection_lost');
  assert.equal(lost.attempts.length, 1);
  first.next(failure(500));
  assert.equal((await call({ repeatable: false })).status, 500);
  first.next(failure(503));
  assert.equal((await call({ repeatable: false })).status, 200);
});

test('a used-up budget ends the retries', async () => {
  open({ retry_budget: { share: 0, per_s: 0.1 } });
  first.next(failure(500), failure(500));
  assert.equal((await call()).status, 500);
  assert.deepEqual(figure('loopscope_gateway_retries_withheld_total'), { budget: 1 });
});

test('a target that keeps failing is left alone, and tried again after its cool-down', async () => {
  open({ breaker: { consecutive_failures: 3, cool_down_s: 0.2 }, retries: { ...QUICK, max: 1 } });
  const { fallback } = first;
  first.fallback = failure(500);
  for (let i = 0; i < 3; i++) assert.equal((await call({ model: 'both' })).body, 'from second');
  const before = first.requests.length;
  for (let i = 0; i < 3; i++) await call({ model: 'both' });
  first.fallback = fallback;
  await until(
    'the target to be tried again',
    async () => (await call({ model: 'both' })).body === 'from first',
  );
  assert.ok(first.requests.length >= before + 1);
  assert.equal(figure('loopscope_gateway_breaker_state')['first closed'], 1);
  assert.ok(figure('loopscope_gateway_attempts_total')['first failed']! >= 3);
});

test('a provider that hangs before its headers is given up, and its connection closed', async () => {
  open({ timeouts: { first_token_s: 0.1 } });
  first.next(hang());
  const seen = await call({ model: 'both' });
  assert.deepEqual(outcomes(seen), ['first failed first_token_timeout', 'second answered']);
  await until('the connection to be closed', () => first.openSockets === 0);

  first.next(hang(), hang(), hang());
  const all = await call();
  assert.equal(reasonOf(all), 'first_token_timeout');
  assert.equal(toRefusal(all.end as ProviderFailure).code, 'provider_timeout');
});

test('a provider that accepts and then says nothing has not answered', async () => {
  open({ timeouts: { first_token_s: 0.1 } });
  first.next(hangInStream());
  const seen = await call({ model: 'both' });
  assert.equal(seen.body, 'from second');
  assert.deepEqual(outcomes(seen), ['first failed first_token_timeout', 'second answered']);
  assert.equal(seen.attempts[0]!.status, 200);
});

test('with no attempt left, headers are passed on as soon as they come', async () => {
  open({ retries: { max: 0 } });
  first.next(hangInStream());
  const seen = start();
  await until('the headers', () => seen.status === 200);
  seen.cancel();
});

test('a connection that is not made in time is given up', async () => {
  open({ timeouts: { connect_s: 0.1 }, retries: { max: 0 } });
  const seen = await call({ provider: 'silent-tls' });
  assert.equal(reasonOf(seen), 'connect_timeout');
});

for (const [what, fault, reason] of [
  ['is closed', cut({ how: 'fin', pieces: ['data: 1\n\n'] }), 'cut'],
  ['is reset', cut({ how: 'rst', pieces: ['data: 1\n\n'] }), 'cut'],
  ['falls silent', hangInStream(['data: 1\n\n']), 'between_tokens_timeout'],
] as const)
  test(`a stream that ${what} half-way is told of and not tried again`, async () => {
    open({ timeouts: { between_tokens_s: 0.2 } });
    first.next(fault);
    const seen = await call({ model: 'both' });
    assert.deepEqual([seen.status, seen.body, reasonOf(seen)], [200, 'data: 1\n\n', reason]);
    assert.deepEqual(outcomes(seen), [`first broken ${reason}`]);
    await until('the connection to be closed', () => first.openSockets === 0);
  });

test('an error in a stream is passed on as it came when nothing else is left, or when something came before', async () => {
  first.next(...Array(3).fill(stream([OVERLOADED_EVENT])));
  const last = await call();
  assert.deepEqual([last.status, last.body, last.end], [200, OVERLOADED_EVENT, 'end']);
  assert.deepEqual(outcomes(last), Array(3).fill('first failed stream_error'));
  first.next(stream(['event: ping\ndata: {}\n\n', OVERLOADED_EVENT], 5));
  const later = await call();
  assert.ok(later.body.endsWith(OVERLOADED_EVENT));
  assert.equal(later.attempts.length, 1);
});

test('an answer shorter than it said is cut', async () => {
  first.next(wrongLength(100, '{"half":'));
  const seen = await call();
  assert.deepEqual([seen.body, reasonOf(seen)], ['{"half":', 'cut']);
});

test('an answer longer than it said ends where it said', async () => {
  first.next(wrongLength(8, '{"all":1}{"more":2}'));
  const seen = await call();
  assert.equal(seen.body, '{"all":1');
  assert.equal(seen.end, 'end');
});

test('what is in a stream is not our affair', async () => {
  first.next(malformedSse());
  const seen = await call();
  assert.equal(seen.end, 'end');
  assert.ok(seen.body.endsWith('\xff\xfe'));
});

test('a stream that trickles passes as long as something comes', async () => {
  open({ timeouts: { between_tokens_s: 1 } });
  const pieces = Array.from({ length: 8 }, (_, i) => `data: ${i}\n\n`);
  first.next(stream(pieces, 50));
  const seen = await call();
  assert.deepEqual([seen.body, seen.end], [pieces.join(''), 'end']);
});

test('a call that takes too long altogether is ended, though something still comes', async () => {
  open({ timeouts: { total_s: 0.3 } });
  first.next(stream(Array(200).fill('data: 1\n\n'), 20));
  const seen = await call();
  assert.equal(reasonOf(seen), 'total_timeout');
  assert.deepEqual(outcomes(seen), ['first broken total_timeout']);
  await until('the connection to be closed', () => first.openSockets === 0);
});

test('a stream below the floor of tokens is given up after a while, one above it is not', async () => {
  const pieces = Array.from({ length: 60 }, (_, i) => `data: ${i}\n\n`);
  const paced = (tokens_per_s_min: number) => {
    open({ timeouts: { tokens_per_s_min } });
    // A hundredth of the time: windows are seconds long.
    const fast = { ...clock, sleep: (ms: number, signal?: AbortSignal) => clock.sleep(ms / 100, signal) };
    context = { ...context, deadlines: new Deadlines({ clock: fast, log: pino({ level: 'silent' }) }) };
    first.next(stream(pieces, 20));
    return call();
  };
  const slow = await paced(1_000);
  assert.equal(reasonOf(slow), 'too_slow');
  assert.ok(slow.body.length > 0);
  await until('the connection to be closed', () => first.openSockets === 0);
  const fine = await paced(0.001);
  assert.deepEqual([fine.body, fine.end], [pieces.join(''), 'end']);
});

test("the time in which the caller does not read is not the provider's silence", async () => {
  open({ timeouts: { between_tokens_s: 0.1 } });
  first.next(stream(['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n'], 5));
  const seen = start({ slow: true });
  await until('the first chunk', () => seen.body !== '');
  const ticks = context.deadlines.nowMs;
  await until('more than the allowed silence', () => context.deadlines.nowMs > ticks + 400);
  assert.equal(seen.end, undefined);
  await until('the rest', () => {
    seen.resume();
    return seen.end;
  });
  assert.equal(seen.end, 'end');
});

test('a caller that leaves ends what goes on, wherever it is, and hears nothing more', async () => {
  const stages: [string, Parameters<FaultyProvider['next']>[0], (seen: Seen) => boolean][] = [
    ['before the headers', hang(), () => true],
    ['in the stream', hangInStream(['data: 1\n\n']), (seen) => seen.body !== ''],
    ['in the body of a failure', hangInError(500), (seen) => seen.started === 1],
    ['in the wait for the next attempt', tooMany('30'), (seen) => seen.attempts.length === 1],
  ];
  for (const [what, fault, reached] of stages) {
    open({});
    const before = first.requests.length;
    first.next(fault);
    const seen = start();
    await until(`the call to be ${what}`, () => first.requests.length > before && reached(seen));
    seen.cancel();
    seen.cancel();
    assert.equal(seen.attempts.length, 1, what);
    assert.equal(context.deadlines.size, 0, what);
    assert.equal(seen.end, undefined, what);
    const { outcome } = seen.attempts[0]!;
    assert.ok(
      outcome === 'cancelled' || outcome === 'failed' || outcome === 'rate_limited',
      `${what}: ${outcome}`,
    );
  }
  await connections.destroy();
  await until('no connection to be open', () => first.openSockets === 0);
});

test('a caller that leaves because its patience is over tells that the provider did not answer', async () => {
  open({ breaker: { consecutive_failures: 1 } });
  first.next(hang());
  const seen = start({ patience: callerTimeouts({ 'x-stainless-timeout': '1' }) });
  await until('the second to be over', () => context.deadlines.nowMs >= 1_000);
  seen.cancel();
  assert.deepEqual(outcomes(seen), ['first failed first_token_timeout']);
  assert.equal(figure('loopscope_gateway_breaker_state')['first open'], 1);
});

test('a caller that leaves while a connection is being made leaves nothing behind', async () => {
  const seen = start({ provider: 'silent-tls' });
  seen.cancel();
  assert.deepEqual(outcomes(seen), ['silent-tls cancelled']);
  assert.equal(context.deadlines.size, 0);
});

test('a request that cannot be sent is not tried again and held against nobody', async () => {
  const request = () => ({ method: 'POST', path: '/x', headers: ['a\nb', 'c'], body: undefined });
  const seen = await call({ model: 'both', request });
  assert.equal(reasonOf(seen), 'unsendable');
  assert.equal(seen.attempts.length, 1);
  assert.equal(figure('loopscope_gateway_breaker_state')['first closed'], 1);
});

/** Ten times as fast as time. */
const hurry = () => {
  const fast = { ...clock, sleep: (ms: number, signal?: AbortSignal) => clock.sleep(ms / 10, signal) };
  context = { ...context, deadlines: new Deadlines({ clock: fast, log: pino({ level: 'silent' }) }) };
};
const OPENING = 'data: {"opening":1}\n\n';
const isOpening = (data: string) => data.includes('opening');

test('a stream that opens and then is long in coming to the point is passed on, and nothing is tried any more', async () => {
  open({ timeouts: { between_tokens_s: 30 } });
  hurry();
  first.next(hangInStream([OPENING]));
  const seen = start({ model: 'both', isOpening });
  await until('the opening', () => seen.body === OPENING);
  assert.equal(seen.status, 200);
  await until('the silence to be too long', () => seen.end);
  assert.deepEqual(outcomes(seen), ['first broken between_tokens_timeout']);
});

test('an opening that goes to a caller who does not read is passed on when it does', async () => {
  open({});
  first.next(stream([OPENING, OPENING, 'data: word\n\n', 'data: end\n\n'], 5));
  const seen = start({ model: 'both', isOpening, slow: true });
  await until('the opening and the first word', () => seen.body !== '');
  assert.equal(seen.body, `${OPENING}${OPENING}data: word\n\n`);
  await until('the rest', () => {
    seen.resume();
    return seen.end;
  });
  assert.ok(seen.body.endsWith('data: end\n\n'));
});

test('the caller that leaves in an opening ends it, and the total time does so too', async () => {
  open({});
  first.next(hangInStream([OPENING]));
  const before = first.requests.length;
  const seen = start({ model: 'both', isOpening });
  await until('the provider to be asked', () => first.requests.length > before);
  seen.cancel();
  assert.deepEqual(outcomes(seen), ['first cancelled']);
  open({ timeouts: { total_s: 0.3 } });
  first.next(hangInStream([OPENING]));
  const late = await call({ model: 'both', isOpening });
  assert.equal(reasonOf(late), 'total_timeout');
  assert.equal(late.status, undefined);
});

test('with the last attempt, and in what is no stream or is compressed, nothing is held back', async () => {
  open({ retries: { max: 0 } });
  first.next(cut({ how: 'fin', pieces: [OPENING] }));
  assert.equal((await call({ model: 'both', isOpening })).body, OPENING);
  open({});
  const gzip = { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' };
  for (const headers of [{}, gzip] as Record<string, string>[]) {
    first.next(answer({ headers: { ...headers, 'content-length': '100' }, body: OPENING }));
    const seen = start({ model: 'both', isOpening });
    await until('what came', () => seen.body === OPENING);
    seen.cancel();
  }
});

test('two hundred calls at once against a provider that fails every other time all get their answer', async () => {
  open({ retries: { ...QUICK, max: 6 }, breaker: { consecutive_failures: 10_000, calls_min: 10_000 } });
  let n = 0;
  const { fallback } = first;
  const faults = [failure(503), cut({ how: 'rst' }), failure(500)];
  first.fallback = (socket, request) => {
    n++;
    return (n % 2 === 0 ? faults[(n / 2) % faults.length]! : fallback)(socket, request);
  };
  const all = await Promise.all(Array.from({ length: 200 }, () => call({ model: 'both' })));
  first.fallback = fallback;
  for (const seen of all) {
    assert.deepEqual([seen.status, seen.end], [200, 'end']);
    assert.equal(seen.started, seen.attempts.length);
  }
});

test('whatever fails and whoever leaves, a caller gets one answer, whole or told to be broken', async (t) => {
  // It gives the same faults again; which call meets which is up to the connections.
  const seed = Number(process.hrtime.bigint() % 1_000_000n);
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  open({
    timeouts: { first_token_s: 0.1, between_tokens_s: 0.1, connect_s: 1 },
    breaker: { consecutive_failures: 3, cool_down_s: 0.1 },
  });
  const pieces = (n: number) => [`data: <${n}\n\n`, `data: =${n}\n\n`, `data: ${n}>\n\n`];
  let n = 0;
  const faulty: Fault = (socket, request) => {
    n++;
    const some = pieces(n).slice(0, Math.floor(random() * 3));
    const faults: Fault[] = [
      failure(503),
      failure(500, { 'retry-after-ms': '10' }),
      tooMany('0'),
      failure(400),
      hang(),
      hangInError(500),
      cut({ how: 'fin' }),
      cut({ how: 'rst', pieces: some }),
      cut({ how: 'fin', pieces: some }),
      hangInStream(some),
      noHttp(),
    ];
    const at = Math.floor(random() * 2 * faults.length);
    return (faults[at] ?? stream(pieces(n), 1))(socket, request);
  };
  const fallbacks = [first.fallback, second.fallback] as const;
  first.fallback = faulty;
  second.fallback = faulty;
  const calls = Array.from({ length: 150 }, () => {
    const seen = start({ model: random() < 0.5 ? 'both' : undefined });
    const leaves = random() < 0.2;
    const left = leaves
      ? clock.sleep(random() * 300).then(() => {
          const already = seen.end !== undefined;
          seen.cancel();
          return !already;
        })
      : Promise.resolve(false);
    return { seen, left };
  });
  for (const { seen, left } of calls) {
    const gone = await left;
    if (!gone) await until('the call to end', () => seen.end);
    else assert.equal(seen.end, undefined, `seed ${seed}: told after it left`);
    assert.equal(seen.started, seen.attempts.length, `seed ${seed}: attempts begun and ended`);
    if (seen.end === 'end' && seen.status === 200)
      assert.match(seen.body, /^data: <(\d+)\n\ndata: =\1\n\ndata: \1>\n\n$/, `seed ${seed}`);
    if (seen.status === undefined) assert.equal(seen.body, '', `seed ${seed}`);
    if (seen.status === 200 && seen.end !== 'end')
      assert.match(seen.body, /^(data: <(\d+)\n\n(data: =\2\n\n(data: \2>\n\n)?)?)?$/, `seed ${seed}`);
  }
  [first.fallback, second.fallback] = fallbacks;
  await until('no deadline to be left', () => context.deadlines.size === 0);
  await until('every target to take calls again', async () => {
    const answers = await Promise.all([call({ model: 'both' }), call({ provider: 'second' })]);
    return answers[0].body === 'from first' && answers[1].body === 'from second';
  });
  await connections.destroy();
  await until('no connection to be open', () => first.openSockets + second.openSockets === 0);
});
