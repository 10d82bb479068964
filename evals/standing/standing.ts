import type { RegisteredLoop } from '../../src/registry/load.ts';
import type { LoopFactsRow } from '../../src/store/loop-facts.ts';
import type { LoopStandingRow } from '../../src/store/loop-standings.ts';
import { wilson } from '../stats/binomial-interval.ts';
import { UNMEASURED_ALERT_KIND } from '../unmeasured/alert.ts';
import { LOOP_STATES, loopState } from './loop-state.ts';

/**
 * How a loop stands at `now` (milliseconds): one that is registered, one that ever made a run, or both.
 */
export function standingOf(
  loop: string,
  definition: RegisteredLoop['definition'] | undefined,
  facts: LoopFactsRow | undefined,
  now: number,
): LoopStandingRow {
  const { scored = 0, scoreSum = 0, phase = 'learning', eValue = 0, threshold = 0 } = facts ?? {};
  const interval = wilson(scoreSum, scored);
  const isAlerting = Boolean(facts?.alertId) && facts?.alertKind !== UNMEASURED_ALERT_KIND;
  const state = loopState({
    now,
    schedule: definition?.schedule,
    lastRunAt: facts?.lastRunAt ?? null,
    recent: { verdicts: facts?.recentVerdicts ?? 0, passes: facts?.recentPasses ?? 0 },
    alert: facts?.alertId ? { kind: facts.alertKind, passRateSince: facts.passRateSince } : undefined,
    detector: { phase, eValue, threshold },
    goldenHigh: interval?.high ?? null,
  });
  return {
    loop,
    state,
    rank: LOOP_STATES.indexOf(state) + 1,
    owner: definition?.owner ?? '',
    registered: definition !== undefined || facts?.registered === true,
    last_run_at: facts?.lastRunAt ?? null,
    since: isAlerting ? facts!.changeAt : null,
    alert_id: facts?.alertId ?? '',
    alert_kind: facts?.alertKind ?? '',
    what_changed: facts?.whatChanged ?? '',
    golden_n: scored,
    golden_score: scored === 0 ? null : scoreSum / scored,
    golden_low: interval?.low ?? null,
    golden_high: interval?.high ?? null,
    phase,
    e_value: eValue,
    threshold,
  };
}
