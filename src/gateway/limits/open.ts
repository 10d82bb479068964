import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import { LoopscopeError } from '../../errors.ts';
import { KillFile } from './kill-file.ts';
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
  /** Where without Redis the file of what is killed is. */
  folder: string;
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

/** Puts the parts together. Throws `config_invalid` where what is killed cannot be read. */
export async function openLimits(
  { redisUrl, folder, ...options }: LimitsOptions,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<Limits> {
  if (redisUrl === undefined) {
    const store = new MemoryStore({ clock });
    const file = new KillFile(folder, clock);
    const kills = new KillSwitch(clock, file);
    const stopFollowing = await follow(file, kills, { clock, log });
    const storeFigures = () => ({ owed: 0, lost: 0, forgotten: store.forgotten, outages: 0 });
    const limiter = new Limiter({ ...options, store, kills, clock, storeFigures });
    const close = async () => {
      await limiter.close();
      await stopFollowing();
    };
    return { limiter, kills, close };
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

/**
 * The kill switch of the gateways with this Redis or this folder, for whoever is no gateway. Throws
 * `store_unavailable` while Redis does not answer.
 */
export async function openKills(
  { redisUrl, folder }: Pick<LimitsOptions, 'redisUrl' | 'folder'>,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<{ kills: KillSwitch; close(): Promise<void> }> {
  if (redisUrl === undefined) {
    const file = new KillFile(folder, clock);
    const kills = new KillSwitch(clock, file);
    kills.adopt(await file.read());
    return { kills, close: async () => {} };
  }
  const link = new RedisLink(redisUrl, { clock, log });
  const kills = new KillSwitch(clock, link);
  await link.ready(REDIS_READY_MS);
  if (!link.away) return { kills, close: () => link.close() };
  await link.close();
  throw new LoopscopeError(
    'store_unavailable',
    'The Redis that gateways share (redis_url) does not answer, and it has what is killed. Check that it runs.',
  );
}

/** A kill must be known everywhere within a second. */
const FOLLOW_MS = 250;

/** Reads what is killed now and whenever it changes. What cannot be read changes nothing, but at the start. */
async function follow(
  file: KillFile,
  kills: KillSwitch,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<() => Promise<void>> {
  const closing = new AbortController();
  let known = await file.version();
  kills.adopt(await file.read());
  const following = (async () => {
    for (;;) {
      await clock.sleep(FOLLOW_MS, closing.signal).catch(() => {}); // closing: seen below
      if (closing.signal.aborted) return;
      const version = await file.version();
      if (version === known) continue;
      known = version;
      try {
        kills.adopt(await file.read());
      } catch (error) {
        log.error({ err: error }, 'what is killed cannot be read; what was killed before stays so');
      }
    }
  })();
  return async () => {
    closing.abort();
    await following;
  };
}
