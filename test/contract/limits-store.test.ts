import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import { seededRandom, systemClock } from '../../src/clock.ts';
import type { Amounts } from '../../src/gateway/limits/amounts.ts';
import { MemoryStore } from '../../src/gateway/limits/memory-store.ts';
import { RedisLink } from '../../src/gateway/limits/redis-link.ts';
import { RedisStore } from '../../src/gateway/limits/redis-store.ts';
import type { Answer, Claim, LimitStore } from '../../src/gateway/limits/store.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

/** What every implementation of `LimitStore` promises. */

const SEED = Number(process.env['LOOPSCOPE_FUZZ_SEED'] ?? 20_261_126);
const clock = systemClock();
const log = pino({ level: 'silent' });
const NO_MAX: Amounts = [Infinity, Infinity, Infinity, Infinity];
const KEEP_MS = 600_000;

interface Kind {
  name: string;
  skip: string | false;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** A store with a lease of its own length; with `shared`, another gateway's on the same counts. */
  open(leaseMs: number): Promise<LimitStore>;
  shared: boolean;
}

const memory: Kind = {
  name: 'in memory',
  skip: false,
  shared: false,
  start: async () => {},
  stop: async () => {},
  open: async (leaseMs) => new MemoryStore({ clock, leaseMs }),
};

let server: TestRedis;
const links: RedisLink[] = [];
const redis: Kind = {
  name: 'in Redis',
  skip: redisMissing,
  shared: true,
  start: async () => {
    server = await TestRedis.start();
  },
  stop: async () => {
    await Promise.all(links.map((link) => link.close()));
    await server.close();
  },
  open: async (leaseMs) => {
    const link = new RedisLink(server.url, { clock, log });
    links.push(link);
    await link.ready(5_000);
    return new RedisStore(link, { leaseMs });
  },
};

let lastId = 0;
const unique = () => `t${++lastId}`;
const claim = (amounts: Amounts, ...counters: [key: string, max: Amounts][]): Claim => ({
  id: unique(),
  amounts,
  counters: counters.map(([key, max]) => ({ key, max, keepMs: KEEP_MS })),
  unheld: false,
  hold: undefined,
});
const calls = (n: number): Amounts => [Infinity, Infinity, n, Infinity];
const ONE: Amounts = [5, 7, 1, 1];

async function reserve(store: LimitStore, one: Claim): Promise<Exclude<Answer, 'away'>> {
  const answer = await store.reserve(one);
  assert.notEqual(answer, 'away');
  return answer as Exclude<Answer, 'away'>;
}

/** What is used of a counter: asked with a claim that is given back at once. */
async function used(store: LimitStore, key: string): Promise<number[]> {
  const ask = claim([0, 0, 0, 0], [key, NO_MAX]);
  const answer = await reserve(store, ask);
  await store.release(ask);
  return [...answer.used];
}

for (const kind of [memory, redis])
  describe(`counts ${kind.name}`, { skip: kind.skip }, () => {
    before(() => kind.start());
    after(() => kind.stop());

    test('a claim is held on all counters or on none', async () => {
      const store = await kind.open(60_000);
      const [a, b] = [unique(), unique()];
      const first = claim(ONE, [a, NO_MAX], [b, calls(1)]);
      assert.deepEqual(await reserve(store, first), { granted: true, used: [0, 0, 0, 0, 0, 0, 0, 0] });
      const second = claim(ONE, [a, NO_MAX], [b, calls(1)]);
      assert.deepEqual(await reserve(store, second), { granted: false, used: [5, 7, 1, 1, 5, 7, 1, 1] });
      assert.deepEqual(await used(store, a), [5, 7, 1, 1]);
    });

    test('what was spent takes the place of what was held', async () => {
      const store = await kind.open(60_000);
      const key = unique();
      const one = claim(ONE, [key, NO_MAX]);
      await reserve(store, one);
      assert.deepEqual(await store.settle(one, [3, 9, 1, 1]), [3, 9, 1, 1]);
      assert.deepEqual(await used(store, key), [3, 9, 1, 1]);
    });

    test('what is released is back, and a hold ends once', async () => {
      const store = await kind.open(60_000);
      const key = unique();
      const one = claim(ONE, [key, calls(1)]);
      await reserve(store, one);
      await store.release(one);
      await store.release(one);
      assert.equal(await store.settle(one, ONE), undefined);
      assert.deepEqual(await used(store, key), [0, 0, 0, 0]);
      const two = claim(ONE, [key, calls(1)]);
      await reserve(store, two);
      await store.settle(two, ONE);
      assert.equal(await store.settle(two, ONE), undefined);
      await store.release(two);
      assert.deepEqual(await used(store, key), ONE);
    });

    test('a measure that a claim does not use cannot refuse it', async () => {
      const store = await kind.open(60_000);
      const key = unique();
      const spent = claim([10, 0, 1, 0], [key, NO_MAX]);
      await reserve(store, spent);
      const max: Amounts = [5, 0, 2, 0];
      assert.equal((await reserve(store, claim([0, 0, 1, 0], [key, max]))).granted, true);
    });

    test('sums near 2^53 are exact', async () => {
      const store = await kind.open(60_000);
      const key = unique();
      const large: Amounts = [9_000_000_000_000_001, 0, 1, 0];
      const one = claim(large, [key, NO_MAX]);
      await reserve(store, one);
      assert.deepEqual(await used(store, key), [...large]);
      assert.deepEqual(await store.settle(one, large), [...large]);
    });

    test('keys may hold any characters', async () => {
      const store = await kind.open(60_000);
      const key = `${unique()} "\\\n\u0000é🦔{}`;
      const one = claim(ONE, [key, NO_MAX]);
      await reserve(store, one);
      await store.settle(one, ONE);
      assert.deepEqual(await used(store, key), ONE);
    });

    test('a lease that is not renewed gives back what was held, and what was spent still counts, once', async () => {
      const store = await kind.open(100);
      const key = unique();
      const dead = claim(ONE, [key, calls(1)]);
      await reserve(store, dead);
      const next = claim(ONE, [key, calls(1)]);
      await until('the lease to end', async () => (await reserve(store, next)).granted);
      await store.release(next);
      assert.deepEqual(await store.settle(dead, [2, 2, 1, 1]), [2, 2, 1, 1]);
      assert.equal(await store.settle(dead, [2, 2, 1, 1]), undefined);
      assert.deepEqual(await used(store, key), [2, 2, 1, 1]);
    });

    test('a lease that is renewed goes on', async () => {
      const store = await kind.open(1_500);
      const key = unique();
      const live = claim(ONE, [key, NO_MAX]);
      const dead = claim(ONE, [unique(), NO_MAX]);
      await reserve(store, live);
      await reserve(store, dead);
      await until('the lease of another to end', async () => {
        await store.renew([live]);
        return (await used(store, dead.counters[0]!.key))[2] === 0;
      });
      assert.deepEqual(await used(store, key), ONE);
    });

    test('what is forgotten is counted from nothing again', async () => {
      const store = await kind.open(60_000);
      const key = unique();
      const one = { ...claim(ONE, [key, NO_MAX]), counters: [{ key, max: NO_MAX, keepMs: 50 }] };
      await reserve(store, one);
      await until('it to be forgotten', async () => {
        const look = { ...claim(ONE, [key, NO_MAX]), counters: [{ key, max: calls(0), keepMs: 1 }] };
        return (await reserve(store, look)).used[2] === 0;
      });
    });

    for (const gateways of kind.shared ? [1, 2] : [1])
      test(`of 200 callers at once on ${gateways} gateway(s), 10 get what is there for 10`, async () => {
        const stores = await Promise.all(Array.from({ length: gateways }, () => kind.open(60_000)));
        const key = unique();
        const answers = await Promise.all(
          Array.from({ length: 200 }, (_, i) =>
            reserve(stores[i % gateways]!, claim(ONE, [key, [50, 1000, 1000, 1000]])),
          ),
        );
        assert.equal(answers.filter(({ granted }) => granted).length, 10);
        assert.deepEqual(await used(stores[0]!, key), [50, 70, 10, 10]);
      });

    test('whatever the order of claims, settlements and releases, counts are what a plain model says', async () => {
      const random = seededRandom(SEED);
      const below = (n: number) => Math.floor(random() * n);
      const stores = await Promise.all(
        kind.shared ? [kind.open(60_000), kind.open(60_000)] : [kind.open(60_000)],
      );
      const keys = Array.from({ length: 6 }, unique);
      const max: Amounts = [60, 80, 12, 12];
      const model = new Map(keys.map((key) => [key, { spent: [0, 0, 0, 0], held: [0, 0, 0, 0] }]));
      const open: Claim[] = [];
      let refused = 0;
      for (let step = 0; step < 3_000; step++) {
        const where = `seed ${SEED}, step ${step}`;
        const store = stores[below(stores.length)]!;
        const choice = random();
        const at = below(open.length);
        const one = open[at];
        if (!one || choice < 0.5) {
          const some = keys.filter(() => random() < 0.4);
          const next = claim(
            [below(9), below(9), 1, below(2)],
            ...some.map((k): [string, Amounts] => [k, max]),
          );
          const counts = some.map((key) => model.get(key)!);
          const before = counts.flatMap(({ spent, held }) => spent.map((s, m) => s + held[m]!));
          const fits = before.every(
            (b, i) => next.amounts[i % 4] === 0 || b + next.amounts[i % 4]! <= max[i % 4]!,
          );
          assert.deepEqual(await reserve(store, next), { granted: fits, used: before }, where);
          if (!fits) refused++;
          else {
            for (const { held } of counts)
              next.amounts.forEach((a, m) => {
                held[m]! += a;
              });
            open.push(next);
          }
        } else {
          open.splice(at, 1);
          const counts = one.counters.map(({ key }) => model.get(key)!);
          for (const { held } of counts)
            one.amounts.forEach((a, m) => {
              held[m]! -= a;
            });
          if (choice < 0.75) await store.release(one);
          else {
            const spent = one.amounts.map((a) => below(Math.min(a, 1) + 1)) as unknown as Amounts;
            for (const count of counts)
              spent.forEach((a, m) => {
                count.spent[m]! += a;
              });
            const now = await store.settle(one, spent);
            assert.deepEqual(
              now ?? [],
              counts.flatMap((count) => count.spent),
              where,
            );
          }
        }
        for (const { spent, held } of model.values())
          spent.forEach((s, m) => {
            assert.ok(s + held[m]! <= max[m]!, where);
          });
      }
      assert.ok(refused > 50, `${refused} refused`);
      for (const one of open) await stores[0]!.release(one);
      for (const [key, { spent }] of model) assert.deepEqual(await used(stores[0]!, key), spent);
    });
  });
