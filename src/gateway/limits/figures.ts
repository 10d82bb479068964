import type { MetricFamily } from '../metric-family.ts';
import type { Scope } from './settings.ts';

/** Counts of what limits did, for `/metrics`. Labels come from fixed sets, so their number is bounded. */

/** What is read off the parts at the time. */
export interface LimitsNow {
  waiting: number;
  underWay: number;
  killed: number;
  /** Settlements that wait for the store, and those that were lost. */
  owed: number;
  lost: number;
  /** Counters forgotten early for want of room. */
  forgotten: number;
  outages: number;
}

export class LimitFigures {
  readonly #counts = new Map<string, { labels: Record<string, string>; value: number }>();
  /** Settled at the estimate because the real cost or tokens are unknown. */
  unknown = 0;
  /** Let through uncounted-for while the store was away. */
  allowedAway = 0;
  /** Had to wait for their turn. */
  waited = 0;
  /** Never settled nor released within the longest time of a call: given up. */
  unsettled = 0;

  refused(scope: Scope, what: string): void {
    this.#count('refused', { scope, what });
  }

  audited(scope: Scope, what: string): void {
    this.#count('audited', { scope, what });
  }

  warned(percent: number): void {
    this.#count('warnings', { percent: String(percent) });
  }

  families(now: LimitsNow): MetricFamily[] {
    const one = (value: number) => [{ labels: {}, value }];
    const all = (kind: string) =>
      [...this.#counts].filter(([key]) => key.startsWith(`${kind} `)).map(([, sample]) => ({ ...sample }));
    const total = (name: string, help: string, samples: MetricFamily['samples']): MetricFamily => ({
      name: `loopscope_limits_${name}_total`,
      type: 'counter',
      help,
      samples,
    });
    const gauge = (name: string, help: string, value: number): MetricFamily => ({
      name: `loopscope_limits_${name}`,
      type: 'gauge',
      help,
      samples: one(value),
    });
    return [
      total('refused', 'Calls refused by a limit', all('refused')),
      total('audited', 'Calls that a limit in audit mode would have refused', all('audited')),
      total('warnings', 'Times a limit was used up to a percentage', all('warnings')),
      total('waited', 'Calls that waited for their turn', one(this.waited)),
      total('unknown', 'Calls counted at an estimate because cost or tokens are unknown', one(this.unknown)),
      total('allowed_away', 'Calls allowed without a check while Redis was away', one(this.allowedAway)),
      total('unsettled', 'Reservations given up because nobody settled them', one(this.unsettled)),
      total('lost', 'Settlements lost while Redis was away', one(now.lost)),
      total('forgotten', 'Counters forgotten early for want of room', one(now.forgotten)),
      total('outages', 'Times that Redis went away', one(now.outages)),
      gauge('waiting', 'Calls that wait for their turn', now.waiting),
      gauge('under_way', 'Calls with a reservation', now.underWay),
      gauge('killed', 'Loops and runs that are killed', now.killed),
      gauge('owed', 'Settlements that wait for Redis', now.owed),
    ];
  }

  #count(kind: string, labels: Record<string, string>): void {
    const key = `${kind} ${Object.values(labels).join(' ')}`;
    const at = this.#counts.get(key);
    if (at) at.value++;
    else this.#counts.set(key, { labels, value: 1 });
  }
}
