import type { Change } from '../../src/replay/bisect/change.ts';
import { Changes } from '../../src/replay/bisect/change.ts';
import { Contrast } from '../../src/replay/bisect/contrast.ts';
import type { Trial } from '../../src/replay/bisect/trial.ts';
import { Trials } from '../../src/replay/bisect/trials.ts';

/**
 * The reference for a search: whether it fell at all, and then every change tried to the certainty that is asked of the
 * culprit, whichever way that comes out. The same tests, the same pairs, no replay made twice. Gives the replays.
 */
export async function replaysOfTryingAll(
  list: readonly Change[],
  trial: Trial,
  { seed, error, replaysMax }: { seed: number; error: number; replaysMax: number },
): Promise<number> {
  const changes = new Changes(list);
  const trials = new Trials(trial, { items: 100, seed, replaysMax, costUsdMax: Number.POSITIVE_INFINITY });
  const decide = async (...either: readonly Contrast[]) => {
    while (!either.some((contrast) => contrast.holds(trials)) && !trials.isSpent())
      await trials.play(...either[0]!.next(trials));
  };
  const measure = 'golden';
  await decide(new Contrast(changes.good, changes.bad, { measure, error }));
  for (const i of list.keys()) {
    const [alone, rest] = [changes.only(1 << i), changes.without(1 << i)];
    const level = { measure, error: error / list.length } as const;
    await decide(new Contrast(rest, alone, level), new Contrast(alone, rest, level));
  }
  return trials.replays;
}
