import { RollingCounts } from './rolling-counts.ts';
import type { RetryBudgetSettings } from './settings.ts';

const WINDOW_S = 10;

/**
 * Keeps retries at a provider a small share of the calls to it: when everything fails, three attempts a call would
 * be three times the load on a provider that already has too much. It bounds what a provider gets beyond one attempt
 * a call; the first attempt of a call that another provider failed is a call here, not a retry.
 *
 * Over the last ten seconds: retries ≤ share × calls + per_s × 10. Source: Finagle's RetryBudget
 * (https://finagle.github.io/blog/2016/02/08/retry-budgets), and "Handling Overload" in Site Reliability Engineering.
 */
export class RetryBudget {
  readonly #settings: RetryBudgetSettings;
  readonly #calls = new RollingCounts(WINDOW_S * 1000);

  constructor(settings: RetryBudgetSettings) {
    this.#settings = settings;
  }

  /** A call is made here for the first time. */
  call(nowMs: number): void {
    this.#calls.count(nowMs);
  }

  /** Takes a retry; `false` when there is none left. */
  takeRetry(nowMs: number): boolean {
    const { share, per_s } = this.#settings;
    const allowed = share * this.#calls.counted(nowMs) + per_s * WINDOW_S;
    if (this.#calls.marked(nowMs) + 1 > allowed) return false;
    this.#calls.mark(nowMs);
    return true;
  }
}
