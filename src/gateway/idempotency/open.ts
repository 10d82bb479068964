import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config.ts';
import { RedisLink } from '../limits/redis-link.ts';
import { RedisRecordings } from './redis-recordings.ts';
import { Replay } from './replay.ts';
import { SharedRecordings } from './shared.ts';

/** How long the start waits for Redis; without it the configured choice applies from the first call on. */
const REDIS_READY_MS = 2_000;

/** Puts the parts together. `close` after the last call was answered. */
export async function openReplay(
  { gateway, redis_url, limits_when_store_away }: Config,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<{ replay: Replay; close(): Promise<void> }> {
  const { idempotency, cache } = gateway;
  if (redis_url === undefined)
    return { replay: new Replay({ idempotency, cache }, { clock }), close: async () => {} };
  // A connection of its own: a large answer must not hold up the limits.
  const link = new RedisLink(redis_url, { clock, log });
  const shared = new SharedRecordings({
    store: new RedisRecordings(link),
    clock,
    whenAway: limits_when_store_away,
  });
  await link.ready(REDIS_READY_MS);
  return {
    replay: new Replay({ idempotency, cache }, { clock, shared }),
    close: async () => {
      await shared.close();
      await link.close();
    },
  };
}
