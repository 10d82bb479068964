import { Queue as BullQueue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { Job, Queue, Work } from './queue.ts';

/**
 * The queue of all evals processes that share a Redis, kept by BullMQ. Every process puts in what it finds due and works
 * on what it gets.
 *
 * - A job's id is its suite and due time, and its deduplication id is the suite: put in twice it is there once, and
 *   beside it no other job of the suite.
 * - Its owner holds a lease that is renewed while the work goes on. A lease that ends, since the process died or hung,
 *   lets another process have the job. One that only hung may go on beside the new owner; what it writes by then is
 *   written once, see score.ts and src/store/jobs.ts.
 * - A job whose work settled is forgotten here at once.
 */
export interface BullQueueOptions {
  /** Queues of different names share nothing. */
  name: string;
  url: string;
  /** How long a job stays with an owner that gives no sign. */
  leaseMs: number;
  /** Jobs that this process works on at the same time. */
  atOnceMax: number;
  work: Work;
  clock: Clock;
  log: Logger;
}

/** With a hash tag, so that all keys live on one node of a cluster. */
const PREFIX = 'loopscope:{evals}';
const OPERATION_MS_MAX = 2_000;
const RECONNECT_MS_MAX = 1_000;
const CLOSE_MS_MAX = 2_000;

/** Waits a moment for Redis; should it not be there by then, the queue is away until it is. */
export async function createBullQueue({
  name,
  url,
  leaseMs,
  atOnceMax,
  work,
  clock,
  log,
}: BullQueueOptions): Promise<Queue> {
  const retryStrategy = (times: number) =>
    Math.min(RECONNECT_MS_MAX, 50 * 2 ** Math.min(times, 10)) * (0.5 + clock.random() / 2);
  // One connection answers at once or not at all; the other waits for jobs for as long as it takes.
  const asking = new Redis(url, {
    retryStrategy,
    commandTimeout: OPERATION_MS_MAX,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
  });
  const waiting = new Redis(url, { retryStrategy, maxRetriesPerRequest: null });
  let wasAway = false;
  const failed = (error: Error) => {
    if (!wasAway) log.warn({ reason: error.message }, 'the queue in Redis is held up');
    wasAway = true;
  };
  asking.on('error', failed).on('ready', () => {
    if (wasAway) log.info('the queue in Redis answers');
    wasAway = false;
  });
  waiting.on('error', () => {}); // the other connection says it
  const openQueue = () =>
    new BullQueue<Job>(name, { connection: asking, prefix: PREFIX }).on('error', failed);
  let queue = openQueue();
  const inHand = new Map<string, Promise<void>>();
  const worker = new Worker<Job>(
    name,
    async ({ data }) => {
      const done = work({ suite: data.suite, dueAt: data.dueAt });
      inHand.set(data.suite, done);
      await done.finally(() => inHand.delete(data.suite));
    },
    {
      connection: waiting,
      prefix: PREFIX,
      concurrency: atOnceMax,
      lockDuration: leaseMs,
      stalledInterval: leaseMs / 2,
      // However many owners a job has lost, it must run.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
    },
  );

  worker.on('error', (error) => log.debug({ reason: error.message }, 'the queue complains'));
  await Promise.race([new Promise((ready) => asking.once('ready', ready)), clock.sleep(OPERATION_MS_MAX)]);
  /** BullMQ keeps a failure of its first exchange with Redis for ever: another queue takes the place of such a one. */
  const opened = async () => {
    const asked = queue;
    try {
      await asked.waitUntilReady();
    } catch {
      asked.close().catch(() => {});
      if (queue === asked) queue = openQueue();
    }
    return queue;
  };
  const whyAway = () => (asking.status === 'ready' ? undefined : 'the queue in Redis does not answer');

  return {
    add: async (job) => {
      if (whyAway() !== undefined) throw away();
      try {
        await (await opened()).add(name, job, {
          jobId: `${encodeURIComponent(job.suite)}@${job.dueAt}`,
          deduplication: { id: job.suite },
          removeOnComplete: true,
          removeOnFail: true,
        });
      } catch (error) {
        throw away(error as Error);
      }
    },
    isBusy: (suite) => inHand.has(suite),
    whyAway,
    close: async () => {
      const closed = Promise.allSettled([worker.close(), queue.close()]);
      await Promise.all(inHand.values());
      // Without Redis there is nobody to say good-bye to.
      await Promise.race([closed, clock.sleep(CLOSE_MS_MAX)]);
      asking.disconnect();
      waiting.disconnect();
    },
  };
}

const away = (cause?: Error) =>
  new LoopscopeError(
    'queue_unavailable',
    `The queue of evals jobs in Redis (redis_url) does not answer${cause ? ` (${cause.message})` : ''}. Is it running?`,
    { cause },
  );
