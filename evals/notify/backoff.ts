import type { Clock } from '../../src/clock.ts';

const BACKOFF_MS_BASE = 500;
const BACKOFF_MS_MAX = 60_000;

/** Full jitter: anywhere between at once and the doubled ceiling, so that many senders do not come back together. */
export const backoffMs = (attemptsMade: number, clock: Pick<Clock, 'random'>): number =>
  clock.random() * Math.min(BACKOFF_MS_MAX, BACKOFF_MS_BASE * 2 ** Math.min(attemptsMade, 30));

/** After a refusal: long enough for whoever deploys the receiver to be done with it. */
export const refusalPauseMs = (clock: Pick<Clock, 'random'>): number =>
  BACKOFF_MS_MAX / 2 + clock.random() * (BACKOFF_MS_MAX / 2);
