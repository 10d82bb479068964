import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { createBullQueue } from '../../evals/queue/bullmq.ts';
import { createMemoryQueue } from '../../evals/queue/memory.ts';
import type { Job, Queue, Work } from '../../evals/queue/queue.ts';
import { systemClock } from '../../src/clock.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

/** What every implementation of `Queue` promises. */

const LEASE_MS = 1_000;
const clock = systemClock();
const log = pino({ level: 'silent' });

interface Kind {
  name: string;
  skip: string | false;
  start(): Promise<void>;
  stop(): Promise<void>;
  open(work: Work): Promise<Queue>;
}

const memory: Kind = {
  name: 'in memory',
  skip: false,
  start: async () => {},
  stop: async () => {},
  open: async (work) => createMemoryQueue(work),
};

let server: TestRedis;
const redis: Kind = {
  name: 'in Redis',
  skip: redisMissing,
  start: async () => {
    server = await TestRedis.start();
  },
  stop: () => server.close(),
  open: (work) =>
    createBullQueue({ name: 'jobs', url: server.url, leaseMs: LEASE_MS, atOnceMax: 8, work, clock, log }),
};

/** Work that goes on until it is told to end, and a record of it. */
function holding() {
  const started: Job[] = [];
  const ends = new Map<string, () => void>();
  const work: Work = (job) => {
    started.push(job);
    return new Promise((end) => ends.set(job.suite, end));
  };
  const end = async (suite: string) => {
    (await until(`${suite} is at work`, () => ends.get(suite)))();
    ends.delete(suite);
  };
  return { started, work, end };
}

for (const kind of [memory, redis])
  describe(`a queue ${kind.name}`, { skip: kind.skip }, () => {
    before(kind.start);
    after(kind.stop);

    test('a job is worked on once, however often it is put in', async () => {
      const { started, work, end } = holding();
      const queue = await kind.open(work);
      for (let i = 0; i < 3; i++) await queue.add({ suite: 'once', dueAt: 1_000 });
      await until('it is in hand', () => queue.isBusy('once'));
      await queue.add({ suite: 'once', dueAt: 1_000 });
      await end('once');
      await until('it is out of hand', () => !queue.isBusy('once'));
      assert.deepEqual(started, [{ suite: 'once', dueAt: 1_000 }]);
      await queue.close();
    });

    test('a suite has one job at a time, and another when that has settled', async () => {
      const { started, work, end } = holding();
      const queue = await kind.open(work);
      await queue.add({ suite: 'a:b', dueAt: 1_000 });
      await until('the first is in hand', () => queue.isBusy('a:b'));
      await queue.add({ suite: 'a:b', dueAt: 2_000 });
      await queue.add({ suite: 'other', dueAt: 2_000 });
      await until('the other suite is in hand too', () => queue.isBusy('other'));
      assert.equal(started.length, 2);
      await end('a:b');
      await until('the second gets its turn', async () => {
        await queue.add({ suite: 'a:b', dueAt: 2_000 });
        return started.length === 3;
      });
      assert.deepEqual(started[2], { suite: 'a:b', dueAt: 2_000 });
      await end('a:b');
      await end('other');
      await queue.close();
    });

    test('a job that was worked on can be put in again: whether it is over is not the queue to say', async () => {
      const started: Job[] = [];
      const queue = await kind.open(async (job) => void started.push(job));
      await until('it was worked on twice', async () => {
        await queue.add({ suite: 'again', dueAt: 1_000 });
        return started.length >= 2;
      });
      await queue.close();
    });

    test('closing waits for the work in hand', async () => {
      const { work, end } = holding();
      const queue = await kind.open(work);
      await queue.add({ suite: 'last', dueAt: 1_000 });
      await until('it is in hand', () => queue.isBusy('last'));
      let isClosed = false;
      const closing = queue.close().then(() => {
        isClosed = true;
      });
      await turn();
      assert.equal(isClosed, false);
      await end('last');
      await closing;
    });
  });

describe('a queue that processes share', { skip: redisMissing }, () => {
  const open = (work: Work, leaseMs = LEASE_MS) =>
    createBullQueue({ name: 'jobs', url: shared.url, leaseMs, atOnceMax: 8, work, clock, log });
  let shared: TestRedis;
  before(async () => {
    shared = await TestRedis.start();
  });
  after(() => shared.close());

  test('a job that two put in is worked on by one, and its suite is one job for both', async () => {
    const [one, other] = [holding(), holding()];
    const queues = [await open(one.work), await open(other.work)];
    for (const suite of ['a', 'b', 'c', 'd'])
      for (const queue of queues) await queue.add({ suite, dueAt: 1_000 });
    const started = () => [...one.started, ...other.started].map(({ suite }) => suite);
    await until('all are in hand', () => started().length === 4);
    for (const queue of queues) await queue.add({ suite: 'a', dueAt: 2_000 });
    assert.deepEqual(started().sort(), ['a', 'b', 'c', 'd']);
    for (const { started, end } of [one, other]) for (const { suite } of started) await end(suite);
    await Promise.all(queues.map((queue) => queue.close()));
    assert.equal(started().length, 4);
  });

  test('while Redis is away jobs are refused, and taken again when it is back', async () => {
    const started: Job[] = [];
    const queue = await open(async (job) => void started.push(job));
    await shared.kill();
    await until('it is noticed', () => queue.whyAway() !== undefined);
    await assert.rejects(queue.add({ suite: 'away', dueAt: 1_000 }), {
      code: 'queue_unavailable',
      message: /redis_url/,
    });
    await shared.restart();
    await until('it is worked on', async () => {
      if (queue.whyAway() === undefined) await queue.add({ suite: 'away', dueAt: 1_000 });
      return started.length > 0;
    });
    await queue.close();
  });

  test('a Redis that hangs refuses jobs in time, and closing does not wait for it', async () => {
    const queue = await open(async () => {});
    shared.pause();
    try {
      await assert.rejects(queue.add({ suite: 'hangs', dueAt: 1_000 }), { code: 'queue_unavailable' });
      await queue.close();
    } finally {
      shared.resume();
    }
  });
});
