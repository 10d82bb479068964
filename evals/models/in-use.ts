import type { ModelUse } from '../../src/store/model-uses.ts';

/** When a loop counts as using a model. */

export const DAY_MS = 86_400_000;
/** A model that was called within this time is in use. */
export const USED_WITHIN_MS = 14 * DAY_MS;

/**
 * Whether a model that was last called at `lastAt` is in use: it was called of late, and the loop did not go on for
 * `movedOnMs` without it. All in milliseconds.
 */
export const isInUse = (
  lastAt: number,
  { loopLastAt, movedOnMs, now }: { loopLastAt: number; movedOnMs: number; now: number },
): boolean => now - lastAt <= USED_WITHIN_MS && loopLastAt - lastAt < movedOnMs;

/** When the latest of `uses` was. */
export const lastOf = (uses: readonly ModelUse[]): number =>
  uses.reduce((last, use) => Math.max(last, use.lastAt), 0);
