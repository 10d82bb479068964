import type { Clock } from '../../src/clock.ts';
import type { Store } from '../../src/store/client.ts';

/** How long merges are waited for. */
const MERGES_S_MAX = 60;

/**
 * Waits until ClickHouse has merged what was just filled in: it takes the cores to do so, and what is being merged is read
 * slower than what was there for a while. On a busy machine it may go on for long, and then it is waited for no more.
 */
export async function merged(store: Store, clock: Clock): Promise<void> {
  for (let second = 0; second < MERGES_S_MAX; second++) {
    if ((await store.query('SELECT 1 FROM system.merges LIMIT 1')).length === 0) return;
    await clock.sleep(1_000);
  }
}
