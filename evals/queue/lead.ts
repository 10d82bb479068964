import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';

/**
 * Which of the evals processes that share a Redis does what one must do for all: look at loops and suites, send probes,
 * tell receivers. It holds a lease in Redis, and another takes its place when the lease ends.
 *
 * While Redis is away every process leads: what is told twice is better than what is told by nobody, least of all that
 * nothing runs. What leads twice for a moment changes no table twice.
 */
export interface Lead {
  isLeader(): boolean;
  close(): Promise<void>;
}

/** Of a process that is the only one. */
export const ALONE: Lead = { isLeader: () => true, close: async () => {} };

const KEY = 'loopscope:{evals}:leader';
/** Beats in a lease, so that one may be lost. */
const BEATS = 3;
const OPERATION_MS_MAX = 2_000;

/** KEYS: the leader; ARGV: who asks, lease in ms. Gives 1 to the leader. */
const LEAD = `
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`;
/** KEYS: the leader; ARGV: who leaves. */
const LEAVE = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;

export interface LeadOptions {
  url: string;
  leaseMs: number;
  clock: Clock;
  log: Logger;
}

/** Asks to lead, and again and again; resolves when it is known who does, or that Redis does not answer. */
export async function openRedisLead({ url, leaseMs, clock, log }: LeadOptions): Promise<Lead> {
  const redis = new Redis(url, {
    commandTimeout: OPERATION_MS_MAX,
    maxRetriesPerRequest: 0,
    retryStrategy: () => leaseMs / BEATS,
  });
  redis.on('error', () => {}); // shows at the next beat
  const id = clock.randomHex(8);
  const closing = new AbortController();
  let leadsUntil = 0;
  let answeredAt = Number.NEGATIVE_INFINITY;
  let led = false;

  const isAway = () => clock.now() - answeredAt > leaseMs;
  const isLeader = () => isAway() || clock.now() < leadsUntil;
  const beat = async (): Promise<void> => {
    const askedAt = clock.now();
    try {
      const leads = (await redis.eval(LEAD, 1, KEY, id, Math.ceil(leaseMs))) === 1;
      leadsUntil = leads ? askedAt + leaseMs : 0;
      answeredAt = clock.now();
    } catch {
      // Whoever leads does so until the lease ends.
    }
    if (isLeader() !== led)
      log.info({ away: isAway() }, led ? 'no longer leads the evals' : 'leads the evals');
    led = isLeader();
  };
  const beating = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await clock.sleep(leaseMs / BEATS, closing.signal).catch(() => {});
      if (!closing.signal.aborted) await beat();
    }
  };

  await beat();
  const beats = beating();
  return {
    isLeader,
    close: async () => {
      closing.abort();
      await beats;
      await redis.eval(LEAVE, 1, KEY, id).catch(() => {}); // the lease ends by itself
      redis.disconnect();
    },
  };
}
