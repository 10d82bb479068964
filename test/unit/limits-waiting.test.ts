import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/clock.ts';
import { FairQueue } from '../../src/gateway/limits/fair-queue.ts';
import type { Outcome } from '../../src/gateway/limits/limiter.ts';
import { call, granted, limiterOf, refused, rule, START_MS } from '../support/limits.ts';

const SEED = Number(process.env['LOOPSCOPE_FUZZ_SEED'] ?? 20_261_126);
const MINUTE_MS = 60_000;
/** From the start of the tests' clock to its next minute. */
const TO_MINUTE_MS = MINUTE_MS - (START_MS % MINUTE_MS);
const settled = { costUsd: 0.01, inputTokens: 10, outputTokens: 10 };

/** Gives an outcome once it is there. */
function follow(outcome: Outcome | Promise<Outcome>): () => Outcome | undefined {
  let came: Outcome | undefined;
  void Promise.resolve(outcome).then((one) => {
    came = one;
  });
  return () => came;
}

const drain = <T>(queue: FairQueue<T>): T[] => {
  const order: T[] = [];
  for (let item = queue.peek(); item !== undefined; item = queue.peek()) {
    queue.serve(item);
    order.push(item);
  }
  return order;
};

test('lines are served in turn, each in its own order', () => {
  const queue = new FairQueue<string>(10);
  for (const item of ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1']) queue.push(item[0]!, 1, item);
  assert.deepEqual(drain(queue), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4']);
  assert.equal(queue.size, 0);
});

test('a line of dear items gets as much through as one of cheap ones', () => {
  const queue = new FairQueue<string>(100);
  for (let i = 0; i < 4; i++) queue.push('dear', 3, 'dear');
  for (let i = 0; i < 12; i++) queue.push('cheap', 1, 'cheap');
  const order = drain(queue);
  for (const share of [4, 8, 12])
    assert.equal(order.slice(0, share).filter((item) => item === 'dear').length, share / 4);
});

test('a line gets no further by leaving and coming back', () => {
  const queue = new FairQueue<string>(10);
  for (const item of ['a1', 'a2', 'a3']) queue.push('a', 1, item);
  queue.push('b', 5, 'b1');
  queue.serve(queue.peek()!);
  queue.serve('b1');
  queue.push('b', 1, 'b2');
  assert.deepEqual(drain(queue), ['a2', 'a3', 'b2']);
});

test('who comes late gets its share from then on, and does not catch up', () => {
  const queue = new FairQueue<string>(10);
  for (const item of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6']) queue.push('a', 1, item);
  for (let i = 0; i < 3; i++) queue.serve(queue.peek()!);
  for (const item of ['b1', 'b2', 'b3']) queue.push('b', 1, item);
  assert.deepEqual(drain(queue), ['b1', 'a4', 'b2', 'a5', 'b3', 'a6']);
});

test('a full line refuses, and who is served is who was looked at, whoever came since', () => {
  const queue = new FairQueue<string>(2);
  for (const item of ['a1', 'a2']) assert.equal(queue.push('a', 1, item), true);
  assert.equal(queue.push('a', 1, 'a3'), false);
  queue.serve('a1');
  const next = queue.peek()!;
  queue.push('b', 1, 'b1');
  queue.serve(next);
  assert.deepEqual([next, drain(queue)], ['a2', ['b1']]);
  queue.push('a', 1, 'a4');
  assert.deepEqual(
    queue.remove((item) => item === 'a4'),
    ['a4'],
  );
  assert.equal(queue.size, 0);
});

const shared = (max: Record<string, number>, wait_s: number) =>
  rule({ scope: 'model', window: 'minute', max, wait_s });

test('a call waits for the next minute where it may, and is refused at its deadline', async () => {
  const { limiter, clock, figure } = limiterOf([shared({ calls: 1 }, 30)]);
  granted(limiter.reserve(call()));
  const next = follow(limiter.reserve(call()));
  const late = follow(limiter.reserve(call()));
  await clock.pass(TO_MINUTE_MS - 100);
  assert.deepEqual([next(), figure('waiting')], [undefined, 2]);
  await clock.pass(200);
  assert.equal(next()?.granted, true);
  assert.equal(late(), undefined);
  await clock.pass(MINUTE_MS);
  const refusal = refused(late()!);
  assert.match(refusal.message, /waited 30 s for its turn at the limit of model "openai\/gpt-5"/);
  assert.equal(refusal.code, 'rate_limited');
  assert.deepEqual([figure('waiting'), figure('waited_total')], [0, 2]);
  await limiter.close();
});

test('a call does not wait for a minute that begins after its deadline', async () => {
  const { limiter } = limiterOf([shared({ calls: 1 }, TO_MINUTE_MS / 1000 - 1)]);
  granted(limiter.reserve(call()));
  assert.equal(refused(limiter.reserve(call())).retryAfterS, TO_MINUTE_MS / 1000);
  await limiter.close();
});

test('tokens that a call did not need let the next one through within the minute', async () => {
  const { limiter, clock } = limiterOf([shared({ tokens: 250 }, 5)]);
  const first = granted(limiter.reserve(call()));
  const second = follow(limiter.reserve(call()));
  await clock.pass(200);
  assert.equal(second(), undefined);
  limiter.settle(first, settled);
  await clock.pass(200);
  assert.equal(second()?.granted, true);
  await limiter.close();
});

test('a call whose loop is out of budget is refused and does not hold up those behind it', async () => {
  const { limiter, clock } = limiterOf([
    shared({ calls: 2 }, 30),
    rule({ scope: 'loop', window: 'day', max: { calls: 2 } }),
  ]);
  for (let i = 0; i < 2; i++) granted(limiter.reserve(call({ loop: `l${i}` })));
  const mine = Array.from({ length: 3 }, () => follow(limiter.reserve(call())));
  const other = follow(limiter.reserve(call({ loop: 'other' })));
  await clock.pass(TO_MINUTE_MS + 100);
  assert.deepEqual([mine[0]!()?.granted, other()?.granted, mine[1]!()], [true, true, undefined]);
  await limiter.close();
  assert.equal(refused(mine[1]!()!).what, 'abandoned');
});

test('who waits at one limit may have to wait at another', async () => {
  const { limiter, clock } = limiterOf([
    shared({ calls: 3 }, 100),
    rule({ scope: 'loop', name: 'primes', window: 'minute', max: { calls: 1 }, wait_s: 100 }),
  ]);
  for (let i = 0; i < 3; i++) granted(limiter.reserve(call({ loop: `l${i}` })));
  const mine = Array.from({ length: 2 }, () => follow(limiter.reserve(call())));
  const others = Array.from({ length: 2 }, () => follow(limiter.reserve(call({ loop: 'other' }))));
  await clock.pass(TO_MINUTE_MS + 200);
  assert.deepEqual(
    mine.map((m) => m()?.granted),
    [true, undefined],
  );
  assert.deepEqual(
    others.map((m) => m()?.granted),
    [true, true],
  );
  await clock.pass(MINUTE_MS);
  assert.equal(mine[1]!()?.granted, true);
  await limiter.close();
});

test('who leaves, or is killed, gives up its place', async () => {
  const { limiter, kills, clock, figure } = limiterOf([shared({ calls: 1 }, 30)]);
  granted(limiter.reserve(call()));
  const caller = new AbortController();
  const left = follow(limiter.reserve(call({ signal: caller.signal })));
  const stopped = follow(limiter.reserve(call({ runId: 'r2' })));
  caller.abort();
  await kills.kill({ loop: 'primes', runId: 'r2' });
  await clock.pass(100);
  assert.equal(refused(left()!).what, 'abandoned');
  assert.equal(refused(stopped()!).what, 'killed');
  assert.equal(figure('waiting'), 0);
  await limiter.close();
});

test('the queue is bounded, for a loop and in all', async () => {
  const { limiter } = limiterOf([shared({ calls: 1 }, 30)], { waitingPerLoopMax: 2, waitingMax: 3 });
  granted(limiter.reserve(call()));
  for (let i = 0; i < 2; i++) void limiter.reserve(call());
  assert.equal(refused(limiter.reserve(call())).what, 'queue_full');
  void limiter.reserve(call({ loop: 'b' }));
  assert.equal(refused(limiter.reserve(call({ loop: 'c' }))).what, 'queue_full');
  await limiter.close();
});

test('a call too large to ever fit does not block the queue that it came into', async () => {
  const { limiter, clock } = limiterOf([shared({ tokens: 250 }, 30)]);
  granted(limiter.reserve(call()));
  void limiter.reserve(call());
  const huge = follow(
    limiter.reserve(call({ loop: 'b', estimate: { inputTokens: 900, outputTokensMax: 0, costUsd: 0 } })),
  );
  await clock.pass(TO_MINUTE_MS + 100);
  assert.match(refused(huge()!).message, /more than there ever is/);
  await limiter.close();
});

test('a loop that floods a model does not starve another, and nobody gets past the limit', async () => {
  const random = seededRandom(SEED);
  const { limiter, clock } = limiterOf([shared({ calls: 60 }, 150)]);
  const waits: { loop: string; askedMs: number; servedMs: number }[] = [];
  const ask = (loop: string) => {
    const askedMs = clock.now();
    void Promise.resolve(limiter.reserve(call({ loop }))).then((outcome) => {
      if (!outcome.granted) return;
      waits.push({ loop, askedMs, servedMs: clock.now() });
      limiter.settle(outcome, settled);
    });
  };
  await clock.pass(TO_MINUTE_MS);
  for (let second = 0; second < 600; second++) {
    for (let i = Math.floor(random() * 6); i > 0; i--) ask('flood');
    if (random() < 0.2) ask('steady');
    await clock.pass(1_000);
  }
  await limiter.close();
  const perMinute = Map.groupBy(waits, ({ servedMs }) => Math.floor(servedMs / MINUTE_MS));
  for (const served of perMinute.values()) assert.ok(served.length <= 60, `seed ${SEED}: ${served.length}`);
  const steady = waits.filter(({ loop }) => loop === 'steady');
  assert.ok(steady.length > 60, `seed ${SEED}: ${steady.length}`);
  // It asks for less than its share, so none of its calls waits for longer than the next minute.
  for (const { askedMs, servedMs } of steady)
    assert.ok(
      Math.floor(servedMs / MINUTE_MS) - Math.floor(askedMs / MINUTE_MS) <= 1,
      `seed ${SEED}: waited ${servedMs - askedMs} ms`,
    );
});

test('two loops that flood a model get half each; with tokens, half of those', async () => {
  const limits: Record<string, number>[] = [{ calls: 40 }, { tokens: 8_000 }];
  for (const max of limits) {
    const { limiter, clock } = limiterOf([shared(max, 600)]);
    const served = { large: 0, small: 0 };
    const ask = (loop: 'large' | 'small', inputTokens: number) => {
      const estimate = { inputTokens, outputTokensMax: 0, costUsd: 0 };
      void Promise.resolve(limiter.reserve(call({ loop, estimate }))).then((outcome) => {
        if (outcome.granted) served[loop]++;
      });
    };
    granted(limiter.reserve(call({ estimate: { inputTokens: 8_000, outputTokensMax: 0, costUsd: 0 } })));
    for (let i = 0; i < 39 && 'calls' in max; i++) granted(limiter.reserve(call()));
    for (let i = 0; i < 400; i++) ask('large', 400);
    for (let i = 0; i < 400; i++) ask('small', 100);
    await clock.pass(TO_MINUTE_MS + 5 * MINUTE_MS - 1_000);
    if ('calls' in max) assert.deepEqual(served, { large: 100, small: 100 });
    else assert.ok(Math.abs(served.large * 400 - served.small * 100) <= 400, JSON.stringify(served));
    await limiter.close();
  }
});
