import { setImmediate as turn } from 'node:timers/promises';
import { type Clock, seededRandom, systemClock } from '../../src/clock.ts';
import { KillSwitch } from '../../src/gateway/limits/kill-switch.ts';
import {
  Limiter,
  type LimiterOptions,
  type Outcome,
  type Reservation,
} from '../../src/gateway/limits/limiter.ts';
import { MemoryStore } from '../../src/gateway/limits/memory-store.ts';
import type { LimitedCall } from '../../src/gateway/limits/plan.ts';
import type { Refusal } from '../../src/gateway/limits/refusal.ts';
import { LimitRule, type Rule } from '../../src/gateway/limits/settings.ts';

/** A clock that stands still until it is moved, and then wakes those who sleep in their order. */
export class MovedClock implements Clock {
  readonly #sleepers = new Set<{ atMs: number; wake: () => void }>();
  readonly random: () => number;
  readonly nowNs = systemClock().nowNs;
  readonly randomHex = systemClock().randomHex;
  #nowMs: number;

  constructor(startMs: number, seed = 1) {
    this.#nowMs = startMs;
    this.random = seededRandom(seed);
  }

  now(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { atMs: this.#nowMs + ms, wake: resolve };
    if (signal?.aborted) reject(signal.reason);
    else this.#sleepers.add(sleeper);
    const abort = () => {
      this.#sleepers.delete(sleeper);
      reject(signal!.reason);
    };
    signal?.addEventListener('abort', abort, { once: true });
    return promise.finally(() => signal?.removeEventListener('abort', abort));
  }

  /** Lets `ms` pass, with everything that happens in it. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await turn();
      const next = [...this.#sleepers].sort((a, b) => a.atMs - b.atMs)[0];
      if (!next || next.atMs > untilMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#sleepers.delete(next);
      next.wake();
    }
    this.#nowMs = untilMs;
  }
}

/** A Thursday, 40 seconds past a minute. */
export const START_MS = Date.UTC(2026, 10, 26, 22, 15, 40);

/** A rule as it is written, with its defaults. */
export const rule = (written: Record<string, unknown>): Rule => LimitRule.parse(written);

export const call = (over: Partial<LimitedCall> = {}): LimitedCall => ({
  loop: 'primes',
  agent: 'maker',
  runId: 'r1',
  team: 'platform',
  provider: 'openai',
  model: 'gpt-5',
  part: 'whole',
  estimate: { inputTokens: 100, outputTokensMax: 100, costUsd: 0.1 },
  ...over,
});

/** A limiter that counts in memory, on a clock that is moved. */
export function limiterOf(rules: Rule[], options: Partial<LimiterOptions> = {}) {
  const clock = new MovedClock(START_MS);
  const kills = new KillSwitch(clock);
  const store = new MemoryStore({ clock });
  const limiter = new Limiter({ rules, store, kills, clock, whenStoreAway: 'deny', ...options });
  const figure = (name: string, labels: Record<string, string> = {}) =>
    limiter
      .figures()
      .find((family) => family.name === `loopscope_limits_${name}`)!
      .samples.filter((s) => Object.entries(labels).every(([k, v]) => s.labels[k] === v))
      .reduce((sum, { value }) => sum + value, 0);
  return { limiter, kills, clock, figure };
}

/** An outcome that is there at once and is a reservation. */
export function granted(outcome: Outcome | Promise<Outcome>): Reservation {
  if (outcome instanceof Promise) throw new Error('it waits');
  if (!outcome.granted) throw new Error(outcome.message);
  return outcome;
}

/** An outcome that is there at once and is a refusal. */
export function refused(outcome: Outcome | Promise<Outcome>): Refusal {
  if (outcome instanceof Promise) throw new Error('it waits');
  if (outcome.granted) throw new Error('it was granted');
  return outcome;
}
