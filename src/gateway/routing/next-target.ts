import type { Withheld } from './figures.ts';
import type { RetryBudget } from './retry-budget.ts';
import type { Target } from './target.ts';

/** Which target an attempt goes to. `tried` and its like have a bit for every place in the list. */

/** Whether the call needs a key of the gateway's, and there is none for this target. */
export const lacksKey = ({ endpoint }: Target): boolean =>
  endpoint.apiKeyEnv !== undefined && endpoint.apiKey === undefined;

/** The first attempt's place: the first target that takes calls, or just the first where none does. */
export function firstTarget(targets: readonly Target[], gatewayKey: boolean, nowMs: number): number {
  if (targets.length === 1) return 0;
  const able = (target: Target) => !(gatewayKey && lacksKey(target));
  const open = targets.findIndex((t) => able(t) && t.health.breaker.isAvailable(nowMs));
  return open === -1 ? Math.max(0, targets.findIndex(able)) : open;
}

/** The first target that is not among `done` and takes calls. */
export function untriedTarget(
  targets: readonly Target[],
  done: number,
  gatewayKey: boolean,
  nowMs: number,
): number | undefined {
  const place = targets.findIndex(
    (t, i) => !isTried(done, i) && !(gatewayKey && lacksKey(t)) && t.health.breaker.isAvailable(nowMs),
  );
  return place === -1 ? undefined : place;
}

export interface Further {
  targets: readonly Target[];
  tried: number;
  /** Those whose limits were reached. */
  passed: number;
  gatewayKey: boolean;
  nowMs: number;
  /** What comes back to a target waits first; `undefined`: for longer than we wait. */
  waitMs: (place: number) => number | undefined;
}

/**
 * The next attempt's place, and how long to wait before it. One that was not tried comes first, at once; then those
 * that were, in their order. Takes the retry out of the provider's budget where it is one.
 */
export function nextTarget(further: Further): { place: number; waitMs: number } | Withheld {
  const { targets, tried, passed, gatewayKey, nowMs } = further;
  let withheld: Withheld = 'breaker';
  for (const again of [false, true])
    for (let place = 0; place < targets.length; place++) {
      if (isTried(tried, place) !== again || isTried(passed, place)) continue;
      const { health, budget } = targets[place]!;
      const waitMs = again ? further.waitMs(place) : 0;
      if (waitMs === undefined) {
        withheld = 'retry_after';
        continue;
      }
      if ((gatewayKey && lacksKey(targets[place]!)) || !health.breaker.isAvailable(nowMs + waitMs)) continue;
      if (hadCall(targets, tried, budget) && !budget.takeRetry(nowMs)) {
        withheld = 'budget';
        continue;
      }
      return { place, waitMs };
    }
  return withheld;
}

/** Whether a provider has had an attempt of this call already. */
export function hadCall(targets: readonly Target[], tried: number, budget: RetryBudget): boolean {
  for (let place = 0; place < targets.length; place++)
    if (isTried(tried, place) && targets[place]!.budget === budget) return true;
  return false;
}

export const isTried = (tried: number, place: number): boolean => (tried & (1 << place)) !== 0;
