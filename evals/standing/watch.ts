import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import type { Registry } from '../../src/registry/load.ts';
import type { Store } from '../../src/store/client.ts';
import { loopFacts } from '../../src/store/loop-facts.ts';
import { storeStandings } from '../../src/store/loop-standings.ts';
import { UNMEASURED_ALERT_KIND } from '../unmeasured/alert.ts';
import { standingOf } from './standing.ts';

export interface StandingWatchContext {
  store: Store;
  clock: Clock;
  config: { evals: Pick<Config['evals'], 'detect_every_s' | 'run_idle_s'> };
  registry: () => Registry;
}

/** Of the time at most one part in so many is spent on this: the more runs there are, the rarer are the looks. */
const REST = 20;

/**
 * Keeps up how every loop stands, for dashboards, which would otherwise work it out from all runs each time somebody
 * looks at them.
 */
export function createStandingWatch({ store, clock, config, registry }: StandingWatchContext) {
  let nextAt = 0;
  return {
    isDue: (): boolean => clock.now() >= nextAt,
    /** Throws what the store throws. */
    look: async (): Promise<void> => {
      const { evals } = config;
      const now = Math.floor(clock.now());
      nextAt = now + evals.detect_every_s * 1000;
      const facts = await loopFacts(store, {
        unmeasuredKind: UNMEASURED_ALERT_KIND,
        idleBefore: Math.floor(now - evals.run_idle_s * 1000),
      });
      const { loops } = registry();
      const byLoop = new Map(facts.map((row) => [row.loop, row]));
      const names = [...new Set([...loops.keys(), ...byLoop.keys()])].sort();
      const rows = names.map((loop) => standingOf(loop, loops.get(loop)?.definition, byLoop.get(loop), now));
      await storeStandings(store, rows, now);
      nextAt = Math.max(nextAt, clock.now() + REST * (clock.now() - now));
    },
  };
}
