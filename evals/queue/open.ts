import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { ALONE, type Lead, openRedisLead } from './lead.ts';
import { createMemoryQueue } from './memory.ts';
import type { Queue, Work } from './queue.ts';

/** What evals processes share where the settings name a Redis, and each has to itself where they do not. */
export interface SharingContext {
  config: Pick<Config, 'evals' | 'redis_url'>;
  clock: Clock;
  log: Logger;
}

/** A queue of its own name, whose jobs are worked on `atOnceMax` at once in each process. */
export async function openQueue(
  { config, clock, log }: SharingContext,
  { name, atOnceMax, work }: { name: string; atOnceMax: number; work: Work },
): Promise<Queue> {
  const { redis_url: url, evals } = config;
  if (url === undefined) return createMemoryQueue(work);
  // Loaded where it is used: it is large.
  const { createBullQueue } = await import('./bullmq.ts');
  return createBullQueue({ name, url, leaseMs: evals.lease_s * 1000, atOnceMax, work, clock, log });
}

/** Whether this process does what one does for all. */
export async function openLead({ config, clock, log }: SharingContext): Promise<Lead> {
  const { redis_url: url, evals } = config;
  if (url === undefined) return ALONE;
  return openRedisLead({ url, leaseMs: evals.lease_s * 1000, clock, log });
}
