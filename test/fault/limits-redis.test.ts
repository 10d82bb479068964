import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import { systemClock } from '../../src/clock.ts';
import type { LimiterOptions, Outcome } from '../../src/gateway/limits/limiter.ts';
import { type Limits, openLimits } from '../../src/gateway/limits/open.ts';
import { OPERATION_MS_MAX } from '../../src/gateway/limits/redis-link.ts';
import type { LimitWarning } from '../../src/gateway/limits/warnings.ts';
import { call, rule } from '../support/limits.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

/** Gateways that share a Redis: together, and when it hangs, dies and comes back. */

/** It stands still for gateways, so that no test runs into the end of a window. */
const nowMs = Date.now();
const clock = { ...systemClock(), now: () => nowMs };
const log = pino({ level: 'silent' });
const settled = { costUsd: 0.1, inputTokens: 100, outputTokens: 100 };
const month = (max: Record<string, number>) => rule({ scope: 'loop', window: 'month', max });

const figure = ({ limiter }: Limits, name: string) =>
  limiter
    .figures()
    .find((family) => family.name === `loopscope_limits_${name}`)!
    .samples.reduce((sum, { value }) => sum + value, 0);

describe('gateways that share a Redis', { skip: redisMissing }, () => {
  let redis: TestRedis;
  let gateways: Limits[] = [];

  before(async () => {
    redis = await TestRedis.start();
  });
  beforeEach(async () => {
    if (!redis.isRunning) await redis.restart();
    await redis.flush();
  });
  afterEach(async () => {
    await Promise.all(gateways.map((gateway) => gateway.close()));
    gateways = [];
  });
  after(() => redis.close());

  const open = async (rules: LimiterOptions['rules'], over: Partial<LimiterOptions> = {}) => {
    const options = { rules, redisUrl: redis.url, folder: tmpdir(), whenStoreAway: 'deny' as const, ...over };
    const gateway = await openLimits(options, { clock, log });
    gateways.push(gateway);
    return gateway;
  };
  const grantedOf = (outcomes: Outcome[]) => outcomes.filter((outcome) => outcome.granted);
  /** Makes calls until one is answered as is wanted. */
  const untilCall = ({ limiter }: Limits, what: string, wanted: (outcome: Outcome) => boolean) =>
    until(what, async () => {
      const outcome = await limiter.reserve(call());
      if (wanted(outcome)) return outcome;
      if (outcome.granted) await limiter.release(outcome);
      return undefined;
    });

  test('of 200 callers at once on two gateways, 10 get what a budget has for 10', async () => {
    const rules = [month({ cost_usd: 1 })];
    const both = [await open(rules), await open(rules)];
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => both[i % 2]!.limiter.reserve(call())),
    );
    assert.equal(grantedOf(outcomes).length, 10);
    for (const refusal of outcomes) if (!refusal.granted) assert.equal(refusal.code, 'budget_exceeded');
  });

  test('spend adds up, and each mark is told by one of the gateways, once', async () => {
    const told: LimitWarning[] = [];
    const over = { onWarning: (warning: LimitWarning) => told.push(warning) };
    const rules = [month({ cost_usd: 10 })];
    const both = [await open(rules, over), await open(rules, over)];
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const { limiter } = both[i % 2]!;
        const outcome = await limiter.reserve(call());
        assert.ok(outcome.granted);
        await limiter.settle(outcome, settled);
      }),
    );
    assert.deepEqual(told.map(({ percent, used }) => [percent, Math.round(used * 1e6)]).sort(), [
      [50, 5_000_000],
      [75, 7_500_000],
      [90, 9_000_000],
    ]);
    assert.equal((await both[0]!.limiter.reserve(call())).granted, false);
  });

  test('a kill is known to every gateway, to those that start later, and after a crash of Redis', async () => {
    const [here, there] = [await open([]), await open([])];
    assert.equal(await here.kills.kill({ loop: 'primes', runId: 'r1' }), 'everywhere');
    assert.equal(here.kills.isKilled('primes', 'r1'), 'run');
    await until('the other gateway to know', () => there.kills.isKilled('primes', 'r1'));
    await redis.kill();
    assert.equal(there.kills.isKilled('primes', 'r1'), 'run');
    await redis.restart();
    const later = await open([]);
    assert.equal(later.kills.isKilled('primes', 'r1'), 'run');
    await until(
      'Redis to be back',
      async () => (await there.kills.revive({ loop: 'primes', runId: 'r1' })) === 'everywhere',
    );
    await until('all to know', () => ![here, later].some(({ kills }) => kills.isKilled('primes', 'r1')));
  });

  test('a kill while Redis is away works here, and everywhere once it is back', async () => {
    const [here, there] = [await open([]), await open([])];
    await redis.kill();
    assert.equal(await here.kills.kill({ loop: 'primes' }), 'here');
    assert.equal(here.kills.isKilled('primes', undefined), 'loop');
    await redis.restart();
    await until('the other gateway to know', () => there.kills.isKilled('primes', undefined));
  });

  test('a Redis that has lost its memory is told of the kills again', async () => {
    const here = await open([]);
    await here.kills.kill({ loop: 'primes' });
    const there = await open([]);
    await here.kills.kill({ loop: 'other' });
    await until('both to know', () => here.kills.size === 2 && there.kills.size === 2);
    await redis.flush();
    await until('a gateway that starts to know', async () => {
      const later = await open([]);
      return later.kills.isKilled('primes', undefined);
    });
    assert.equal(here.kills.isKilled('primes', undefined), 'loop');
  });

  test('while Redis is away limited calls are denied at once, others pass, and it is used again when back', async () => {
    const gateway = await open([{ ...month({ calls: 1_000 }), loop: 'primes' }]);
    await redis.kill();
    const denied = await untilCall(gateway, 'Redis to be away', ({ granted }) => !granted);
    assert.ok(!denied.granted);
    assert.deepEqual([denied.what, denied.code, denied.retryAfterS], ['store_away', 'limits_unavailable', 1]);
    assert.equal((await gateway.limiter.reserve(call({ loop: 'unlimited' }))).granted, true);
    assert.ok(figure(gateway, 'refused_total') > 0);
    await redis.restart();
    await untilCall(gateway, 'Redis to be used again', ({ granted }) => granted);
  });

  test('a Redis that hangs holds up no call for longer than an operation may take', async () => {
    const gateway = await open([month({ calls: 10 })], { whenStoreAway: 'allow' });
    redis.pause();
    try {
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => gateway.limiter.reserve(call())));
      assert.equal(
        grantedOf(outcomes).length,
        50,
        `after ${OPERATION_MS_MAX} ms each of them is let through`,
      );
      assert.ok(figure(gateway, 'allowed_away_total') >= 50);
      assert.equal((await gateway.limiter.reserve(call())).granted, true);
    } finally {
      redis.resume();
    }
    await untilCall(gateway, 'Redis to be used again', () => figure(gateway, 'owed') === 0);
  });

  test('what was allowed while Redis was away is spent when it is back, once', async () => {
    const rules = [month({ calls: 5 })];
    const gateway = await open(rules, { whenStoreAway: 'allow' });
    const before = await gateway.limiter.reserve(call());
    assert.ok(before.granted);
    await redis.kill();
    const first = await untilCall(gateway, 'Redis to be away', () => figure(gateway, 'outages_total') > 0);
    const second = await gateway.limiter.reserve(call());
    assert.ok(first.granted && second.granted);
    const counted = [before, first, second].map((one) => gateway.limiter.settle(one, settled));
    await until('all to be owed', () => figure(gateway, 'owed') >= 3);
    await redis.restart();
    await Promise.all(counted);
    await until('all to be said', () => figure(gateway, 'owed') === 0);
    const other = await open(rules);
    const outcomes = await Promise.all(Array.from({ length: 20 }, async () => other.limiter.reserve(call())));
    // 5 calls a month, of which one was made before Redis went away, and two while it was.
    assert.equal(grantedOf(outcomes).length, 5 - 1 - 2);
    assert.equal(figure(gateway, 'lost_total'), 0);
  });

  test('what is settled right before a gateway closes is counted', async () => {
    const rules = [month({ cost_usd: 1 })];
    const closing = await open(rules);
    const outcome = await closing.limiter.reserve(call());
    assert.ok(outcome.granted);
    void closing.limiter.settle(outcome, { ...settled, costUsd: 0.95 });
    await closing.close();
    assert.equal(figure(closing, 'lost_total'), 0);
    const later = await open(rules);
    const refusal = await later.limiter.reserve(call());
    assert.ok(!refusal.granted);
    assert.match(refusal.message, /\$0\.95 is used or reserved/);
  });

  test('calls that wait for a limit get their turn on two gateways, and no more than there are', async () => {
    const rules = [rule({ scope: 'model', window: 'minute', max: { tokens: 400 }, wait_s: 60 })];
    const both = [await open(rules), await open(rules)];
    let underWay = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        const { limiter } = both[i % 2]!;
        const outcome = await limiter.reserve(call({ loop: `l${i}` }));
        assert.ok(outcome.granted);
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setImmediate(resolve));
        underWay--;
        await limiter.settle(outcome, { costUsd: 0, inputTokens: 0, outputTokens: 0 });
      }),
    );
    assert.ok(most <= 2, `${most} at once where there are tokens for two`);
  });
});
