import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import { KillSwitch } from './kill-switch.ts';
import { Limiter } from './limiter.ts';
import { MemoryStore } from './memory-store.ts';
import { RedisLink } from './redis-link.ts';
import { RedisStore } from './redis-store.ts';
import type { LimitsWhenStoreAway, Rule } from './settings.ts';
import type { LimitWarning } from './warnings.ts';

export interface LimitsOptions {
  rules: readonly Rule[];
  /** Where gateways share their counts; without it they are in this process, and gone with it. */
  redisUrl: string | undefined;
  whenStoreAway: LimitsWhenStoreAway;
  onWarning?: (warning: LimitWarning) => void;
}

export interface Limits {
  readonly limiter: Limiter;
  readonly kills: KillSwitch;
  /** After the last call was settled. */
  close(): Promise<void>;
}

/** How long the start waits for Redis; without it the configured choice applies from the first call on. */
const REDIS_READY_MS = 2_000;

/** Puts the parts together. */
export async function openLimits(
  { redisUrl, ...options }: LimitsOptions,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<Limits> {
  if (redisUrl === undefined) {
    const store = new MemoryStore({ clock });
    const kills = new KillSwitch(clock);
    const storeFigures = () => ({ owed: 0, lost: 0, forgotten: store.forgotten, outages: 0 });
    const limiter = new Limiter({ ...options, store, kills, clock, storeFigures });
    return { limiter, kills, close: () => limiter.close() };
  }
  const link = new RedisLink(redisUrl, { clock, log });
  const store = new RedisStore(link);
  const kills = new KillSwitch(clock, link);
  const storeFigures = () => ({ owed: store.owed, lost: store.lost, forgotten: 0, outages: link.outages });
  const limiter = new Limiter({ ...options, store, kills, clock, storeFigures });
  await link.ready(REDIS_READY_MS);
  return {
    limiter,
    kills,
    close: async () => {
      await limiter.close();
      await store.close();
      await link.close();
    },
  };
}
