import { type MetricFamily, samplesBy } from '../metric-family.ts';
import type { FailureReason } from './failure.ts';
import { type HealthBook, OUTCOMES } from './target.ts';

/** Why a failure was not followed by another attempt, though it was one that another attempt may better. */
export type Withheld =
  /** `retries.max` attempts were made. */
  | 'attempts'
  /** The provider's retry budget is used up. */
  | 'budget'
  /** The call would be over before the wait is. */
  | 'deadline'
  /** The provider asked for a longer wait than `retries.retry_after_s_max`. */
  | 'retry_after'
  /** No target that could be tried is left: their breakers are open. */
  | 'breaker'
  /** What was asked for may have been done already, and is not to be done twice. */
  | 'not_repeatable';

const BREAKER_STATES = ['closed', 'rate_limited', 'open', 'half_open'] as const;

/** What routing counts. Labels are targets of the settings and fixed sets, but for statuses, of which there are few. */
export class RoutingFigures {
  readonly #retries = new Map<string, number>();
  readonly #withheld = new Map<Withheld, number>();

  retried(reason: FailureReason): void {
    this.#retries.set(reason, (this.#retries.get(reason) ?? 0) + 1);
  }

  withheld(reason: Withheld): void {
    this.#withheld.set(reason, (this.#withheld.get(reason) ?? 0) + 1);
  }

  families(health: HealthBook, nowMs: number): MetricFamily[] {
    const attempts = new Map<string, number>();
    const states = new Map<string, number>();
    for (const { name, outcomes, breaker } of health.all()) {
      for (const outcome of OUTCOMES) add(attempts, `${outcome} ${name}`, outcomes[outcome]);
      const now = breaker.state(nowMs);
      // Targets that differ in their key alone share a row.
      for (const state of BREAKER_STATES) add(states, `${state} ${name}`, now === state ? 1 : 0);
    }
    const byTarget = (values: Map<string, number>, label: string): MetricFamily['samples'] =>
      [...values].map(([key, n]) => {
        const space = key.indexOf(' ');
        return { labels: { target: key.slice(space + 1), [label]: key.slice(0, space) }, value: n };
      });
    return [
      {
        name: 'loopscope_gateway_attempts_total',
        type: 'counter',
        help: 'Attempts at a target, by how they ended',
        samples: byTarget(attempts, 'outcome'),
      },
      {
        name: 'loopscope_gateway_breaker_state',
        type: 'gauge',
        help: 'Targets by the state of their circuit breaker',
        samples: byTarget(states, 'state'),
      },
      {
        name: 'loopscope_gateway_retries_total',
        type: 'counter',
        help: 'Further attempts, by what made them necessary',
        samples: samplesBy('reason', this.#retries),
      },
      {
        name: 'loopscope_gateway_retries_withheld_total',
        type: 'counter',
        help: 'Failures that were not tried again, by what stood against it',
        samples: samplesBy('reason', this.#withheld),
      },
    ];
  }
}

function add(values: Map<string, number>, key: string, n: number): void {
  values.set(key, (values.get(key) ?? 0) + n);
}
