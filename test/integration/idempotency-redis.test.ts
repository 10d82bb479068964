import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { Reader } from '../../src/gateway/idempotency/reader.ts';
import { type RedisAccess, RedisRecordings } from '../../src/gateway/idempotency/redis-recordings.ts';
import { type Outcome, Replay } from '../../src/gateway/idempotency/replay.ts';
import { CacheSettings, IdempotencySettings } from '../../src/gateway/idempotency/settings.ts';
import { type SharedOptions, SharedRecordings } from '../../src/gateway/idempotency/shared.ts';
import { RedisLink } from '../../src/gateway/limits/redis-link.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

/** The same key on several gateways that share a real Redis. */
const log = pino({ level: 'silent' });
const protocol = { api: 'openai', keyHeaders: ['authorization'] } as const;
const options = { skip: redisMissing };
let redis: TestRedis;
let closings: (() => Promise<void>)[] = [];

before(async () => {
  if (!redisMissing) redis = await TestRedis.start();
});
afterEach(async () => {
  for (const close of closings) await close();
  closings = [];
  if (!redisMissing) await redis.flush();
});
after(() => redis?.close());

/** A connection that waits for as long as a busy machine takes. */
function patientAccess(): RedisAccess & { close(): Promise<void> } {
  const client = new Redis(redis.url);
  return { redis: client, run: (operation) => operation(), close: async () => client.disconnect() };
}

/** The one that gateways have, which gives up soon. */
async function impatientAccess(): Promise<RedisAccess & { close(): Promise<void> }> {
  const link = new RedisLink(redis.url, { clock: systemClock(), log });
  await link.ready(5_000);
  return link;
}

/** A gateway, as far as recordings go. */
async function gateway(name: string, changes: Partial<SharedOptions> = {}, access = patientAccess()) {
  const clock = changes.clock ?? systemClock();
  let renewals = 0;
  const store = new RedisRecordings(access);
  const renew = store.renew.bind(store);
  store.renew = async (leases) => {
    await renew(leases);
    renewals++;
  };
  const shared = new SharedRecordings({ store, clock, whenAway: 'deny', ...changes });
  const settings = { idempotency: IdempotencySettings.parse({}), cache: CacheSettings.parse({}) };
  const replay = new Replay(settings, { clock, shared });
  closings.push(async () => {
    await shared.close();
    await access.close();
  });
  return {
    shared,
    replay,
    renewals: () => renewals,
    call: async (key: string, body = '{}'): Promise<Outcome> =>
      (await replay.begin(
        {
          provider: 'openai',
          protocol,
          loop: 'primes',
          method: 'POST',
          path: '/chat/completions',
          headers: { 'idempotency-key': key },
          body: Buffer.from(body),
          json: JSON.parse(body),
          virtualKey: true,
          cacheTtlS: undefined,
        },
        { traceId: `trace of ${name}`, spanId: `span of ${name}` },
      ))!,
  };
}

type First = Extract<Outcome, { kind: 'first' }>;
function asFirst(outcome: Outcome): First {
  assert.equal(outcome.kind, 'first');
  (outcome as First).reader.play({ start: () => {}, data: () => true, end: () => {}, fail: () => {} });
  return outcome as First;
}

/** Every byte there is, in pieces that are no text. */
const PIECES = [Buffer.from([0, 255, 13, 10]), Buffer.from(Array.from({ length: 256 }, (_, i) => i))];
const BODY = Buffer.concat(PIECES).toString('latin1');
function answer({ recorder }: First, status = 200): void {
  recorder.start(status, 'As It Came', ['X-Request-Id', 'r', 'set-cookie', 'c']);
  for (const piece of PIECES) recorder.data(piece);
  recorder.end();
}

/** All that a reader gives; rejects where the answer fails. */
const heard = (reader: Reader) =>
  new Promise<{ status: number; headers: string[]; body: string }>((resolve, reject) => {
    const got = { status: 0, headers: [] as string[], body: '' };
    reader.play({
      start: (status, _, headers) => Object.assign(got, { status, headers }),
      data: (chunk) => {
        got.body += chunk.toString('latin1');
        return true;
      },
      end: () => resolve(got),
      fail: reject,
    });
  });

const codeOf = (outcome: Outcome) => outcome.kind === 'refused' && outcome.error.code;

test(
  'identical calls at once on two gateways make one provider call, and all get its bytes',
  options,
  async () => {
    const [a, b] = await Promise.all([gateway('a'), gateway('b')]);
    let firsts = 0;
    const calls = Array.from({ length: 50 }, async (_, i) => {
      const outcome = await (i % 2 ? a : b).call('k');
      assert.notEqual(outcome.kind, 'refused');
      if (outcome.kind === 'refused') return '';
      const all = heard(outcome.reader);
      if (outcome.kind === 'first') {
        firsts++;
        setImmediate(() => answer(outcome));
      }
      return (await all).body;
    });
    const bodies = await Promise.all(calls);
    assert.equal(firsts, 1);
    assert.deepEqual([...new Set(bodies)], [BODY]);
  },
);

test('a recording outlives its gateway, and says which span was answered', options, async () => {
  const a = await gateway('a');
  answer(asFirst(await a.call('k')));
  await until('it is stored', () => a.shared.counts.stored === 1);
  const b = await gateway('b');
  const outcome = await b.call('k');
  assert.equal(outcome.kind, 'follow');
  if (outcome.kind !== 'follow') return;
  assert.deepEqual(outcome.headers, { 'x-loopscope-replayed': 'true' });
  assert.deepEqual(await heard(outcome.reader), { status: 200, headers: ['X-Request-Id', 'r'], body: BODY });
  assert.deepEqual(outcome.reader.origin, { traceId: 'trace of a', spanId: 'span of a' });
});

test('a key with another body is refused on every gateway, with all who follow there', options, async () => {
  const [a, b] = await Promise.all([gateway('a'), gateway('b')]);
  const first = asFirst(await a.call('k'));
  const others = await Promise.all([b.call('k', '{"other":1}'), b.call('k', '{"other":1}')]);
  assert.equal(codeOf(others[0]!), 'idempotency_mismatch');
  const [, follower] = others;
  if (follower?.kind === 'follow')
    await assert.rejects(heard(follower.reader), { code: 'idempotency_mismatch' });
  answer(first);
  await until('it is stored', () => a.shared.counts.stored === 1);
  assert.equal(codeOf(await b.call('k', '{"other":1}')), 'idempotency_mismatch');
  assert.equal(b.replay.keyed.bytes, 0);
});

test('what is not kept frees the key for the gateway that waits', options, async () => {
  const [a, b] = await Promise.all([gateway('a'), gateway('b')]);
  const first = asFirst(await a.call('k'));
  const waiting = b.call('k');
  answer(first, 503);
  answer(asFirst(await waiting));
  const later = await a.call('k');
  assert.equal(later.kind, 'follow');
});

test('the lease is renewed for as long as the answer comes', options, async () => {
  const leaseMs = 3_000;
  const [a, b] = await Promise.all([gateway('a', { leaseMs }), gateway('b')]);
  const first = asFirst(await a.call('k'));
  const waiting = b.call('k');
  await until('it would have run out', () => a.renewals() > 4);
  answer(first);
  assert.equal((await waiting).kind, 'follow');
});

test('a gateway that stands still loses the key, and cannot store over its successor', options, async () => {
  const standing: Clock = { ...systemClock(), sleep: (_, signal) => forever(signal) };
  const a = await gateway('a', { leaseMs: 100, clock: standing });
  const b = await gateway('b');
  const stale = asFirst(await a.call('k'));
  const second = asFirst(await b.call('k'));
  second.recorder.start(200, '', []);
  second.recorder.data(Buffer.from('from b'));
  answer(stale);
  await until('the stale answer is turned away', () => a.shared.counts.lost === 1);
  second.recorder.end();
  await until('the other is stored', () => b.shared.counts.stored === 1);
  const c = await gateway('c');
  const outcome = await c.call('k');
  assert.equal(outcome.kind === 'follow' && (await heard(outcome.reader)).body, 'from b');
});

test(
  'a caller that waits for another gateway is refused at its deadline, and may come again',
  options,
  async () => {
    const [a, b] = await Promise.all([gateway('a'), gateway('b', { waitMsMax: 50 })]);
    const first = asFirst(await a.call('k'));
    const refused = await b.call('k');
    assert.equal(codeOf(refused), 'idempotency_in_flight');
    assert.equal(refused.kind === 'refused' && refused.error.retryable, true);
    answer(first);
    await until('it is stored', () => a.shared.counts.stored === 1);
    assert.equal((await b.call('k')).kind, 'follow');
  },
);

test('an answer that is found to be broken is taken back from all gateways', options, async () => {
  const [a, b] = await Promise.all([gateway('a'), gateway('b')]);
  const first = asFirst(await a.call('k'));
  answer(first);
  first.recorder.discard();
  await a.shared.close();
  assert.equal((await b.call('k')).kind, 'first');
});

test('an answer too large for Redis is known to its own gateway alone', options, async () => {
  const [a, b] = await Promise.all([gateway('a'), gateway('b')]);
  const first = asFirst(await a.call('k'));
  first.recorder.start(200, '', []);
  first.recorder.data(Buffer.alloc(3_000_000));
  first.recorder.end();
  await until('the key is given back', () => a.shared.counts.too_large === 1);
  assert.equal((await a.call('k')).kind, 'follow');
  assert.equal((await b.call('k')).kind, 'first');
});

test('while Redis is away calls are made or refused, as configured', options, async () => {
  const allowing = await gateway('a', { whenAway: 'allow' }, await impatientAccess());
  const denying = await gateway('b', { whenAway: 'deny' }, await impatientAccess());
  redis.pause();
  try {
    const first = asFirst(await allowing.call('k'));
    const denied = await denying.call('k');
    assert.equal(codeOf(denied), 'store_unavailable');
    answer(first);
    assert.equal((await allowing.call('k')).kind, 'follow', 'known to the gateway itself');
    assert.equal(denying.replay.keyed.bytes, 0);
    assert.deepEqual([allowing.shared.counts.away, denying.shared.counts.away], [1, 1]);
  } finally {
    redis.resume();
  }
});

function forever(signal?: AbortSignal): Promise<void> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
}
