import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 20;

/**
 * Polls until `fn` gives something truthy, and returns that. Throws after `ms`, saying what was waited for and
 * how the last try ended. An error thrown by `fn` counts as "not yet".
 */
export async function until<T>(
  what: string,
  fn: () => T | Promise<T>,
  ms = 10_000,
): Promise<Exclude<Awaited<T>, false | null | undefined | 0 | ''>> {
  const deadline = performance.now() + ms;
  let last: unknown;
  for (;;) {
    try {
      const value = await fn();
      if (value) return value as Exclude<Awaited<T>, false | null | undefined | 0 | ''>;
      last = `gave ${JSON.stringify(value)}`;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline)
      throw new Error(`waited ${ms} ms for: ${what} (last: ${last})`, { cause: last });
    await delay(POLL_MS);
  }
}
