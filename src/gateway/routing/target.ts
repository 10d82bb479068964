import type { ProviderTarget } from '../provider.ts';
import { Breaker } from './breaker.ts';
import { RetryBudget } from './retry-budget.ts';
import type { BreakerSettings, RetryBudgetSettings, RoutingSettings } from './settings.ts';

/** How attempts end. A rate limit and other refusals (4xx) are answers too, but not what was asked for. */
export const OUTCOMES = ['answered', 'refused', 'rate_limited', 'failed', 'broken', 'cancelled'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** One place that calls can be sent to, with what was seen of it. */
export interface Target {
  /** `provider`, or `provider/model`: for spans and metrics. */
  readonly name: string;
  readonly provider: string;
  /** What goes into the request in place of the model that was asked for; `undefined`: what was asked for. */
  readonly model: string | undefined;
  readonly endpoint: ProviderTarget;
  readonly health: Health;
  /** Shared by the targets of a provider. */
  readonly budget: RetryBudget;
}

/** What was seen of a target. It outlives the settings that name the target. */
export class Health {
  readonly breaker: Breaker;
  /** Attempts by how they ended. */
  readonly outcomes: Record<Outcome, number> = {
    answered: 0,
    refused: 0,
    rate_limited: 0,
    failed: 0,
    broken: 0,
    cancelled: 0,
  };
  /** Time to the first byte of an answer, moving average; `undefined` before the first. */
  latencyMs: number | undefined;

  /** Of the target; several may share one, and differ in their key. */
  readonly name: string;

  constructor(name: string, settings: BreakerSettings) {
    this.name = name;
    this.breaker = new Breaker(settings);
  }

  measured(ms: number): void {
    this.latencyMs =
      this.latencyMs === undefined ? ms : this.latencyMs + LATENCY_WEIGHT * (ms - this.latencyMs);
  }
}

/** The newest measurement's share of the average. */
const LATENCY_WEIGHT = 0.2;

/** Targets whose health is known at once; the one known longest is forgotten first. */
const TARGETS_MAX = 10_000;

/** The health of every target and the retry budget of every provider, by name. */
export class HealthBook {
  #breaker: BreakerSettings;
  #budget: RetryBudgetSettings;
  readonly #targets = new Map<string, Health>();
  readonly #budgets = new Map<string, RetryBudget>();

  constructor({ breaker, retry_budget }: RoutingSettings) {
    this.#breaker = breaker;
    this.#budget = retry_budget;
  }

  /** `key` tells targets apart that share a name and not a key. */
  health(name: string, key: string | undefined): Health {
    return known(this.#targets, `${name} ${key ?? ''}`, () => new Health(name, this.#breaker));
  }

  budget(provider: string): RetryBudget {
    return known(this.#budgets, provider, () => new RetryBudget(this.#budget));
  }

  all(): Iterable<Health> {
    return this.#targets.values();
  }

  /** Takes new settings over; what was seen is kept unless it is to be judged in another way from now on. */
  reload({ breaker, retry_budget }: RoutingSettings): void {
    if (!isSame(breaker, this.#breaker)) this.#targets.clear();
    if (!isSame(retry_budget, this.#budget)) this.#budgets.clear();
    this.#breaker = breaker;
    this.#budget = retry_budget;
  }
}

const isSame = (a: object, b: object): boolean => JSON.stringify(a) === JSON.stringify(b);

function known<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    if (map.size >= TARGETS_MAX) map.delete(map.keys().next().value!);
    value = make();
    map.set(key, value);
  }
  return value;
}
