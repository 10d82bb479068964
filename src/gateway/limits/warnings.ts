import { type Amounts, MEASURES, type Measure } from './amounts.ts';
import type { PlannedCounter } from './plan.ts';
import type { Rule } from './settings.ts';

/** A limit is used up to a half, three quarters, nine tenths. */
export interface LimitWarning {
  rule: Rule;
  /** Who: a loop's name, `loop/agent`, `loop/run`, a team, a provider, `provider/model`. */
  subject: string;
  what: Measure;
  percent: number;
  /** Dollars, or a count. */
  used: number;
  max: number;
}

export const WARN_PERCENT = [50, 75, 90] as const;
const NANO = 1_000_000_000;

/**
 * The highest mark that spending `spent` went over on the way to `now`, for each bound and measure. What is spent only
 * grows and the store adds it up in one place, so each mark is passed by exactly one call of one gateway: nobody has
 * to remember who was told. `now` has the counter's numbers at `at`. What is only held does not count: most calls take far less than they might.
 */
export function warningsOf(
  counter: PlannedCounter,
  subject: string,
  now: readonly number[],
  at: number,
  spent: Amounts,
): LimitWarning[] {
  const warnings: LimitWarning[] = [];
  for (const { rule, max } of counter.bounds) {
    for (let m = 0; m < 4; m++) {
      const percent = passed(now[at + m]! - spent[m]!, now[at + m]!, max[m]!);
      if (percent === undefined) continue;
      const unit = m === 0 ? NANO : 1;
      warnings.push({
        rule,
        subject,
        what: MEASURES[m]!,
        percent,
        used: now[at + m]! / unit,
        max: max[m]! / unit,
      });
    }
  }
  return warnings;
}

/** The highest mark between two sums; `undefined` where there is none, or nothing is bounded. */
function passed(before: number, now: number, max: number): number | undefined {
  if (max === Number.POSITIVE_INFINITY) return undefined;
  for (let i = WARN_PERCENT.length - 1; i >= 0; i--) {
    const mark = (max * WARN_PERCENT[i]!) / 100;
    if (before < mark && now >= mark) return WARN_PERCENT[i];
  }
  return undefined;
}
