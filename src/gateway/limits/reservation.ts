import type { Placed } from '../placed-list.ts';
import { type Amounts, callCost, callTokens, isCount, NOTHING } from './amounts.ts';
import type { LimitedCall, PlannedCounter } from './plan.ts';
import type { Claim } from './store.ts';

/** What a call gets that may be made, and how what it may come to, and did come to, is counted. */

export interface Reservation extends Claim, Placed {
  readonly granted: true;
  readonly planned: readonly PlannedCounter[];
  readonly call: LimitedCall;
  readonly sinceMs: number;
  /** Settled or released: what comes after that changes nothing. */
  over: boolean;
}

/** What a call really came to; `undefined` for what is not known. */
export interface Settlement {
  costUsd: number | undefined;
  inputTokens: number | undefined;
  outputTokens: number | undefined;
}

/** For calls that no rule applies to. */
export const UNLIMITED: Reservation = Object.freeze({
  granted: true,
  id: '',
  amounts: NOTHING,
  counters: [],
  unheld: false,
  hold: undefined,
  planned: [],
  call: {
    loop: '',
    agent: '',
    runId: undefined,
    team: undefined,
    provider: '',
    model: undefined,
    part: 'whole' as const,
    estimate: { inputTokens: 0, outputTokensMax: 0, costUsd: 0 },
  },
  sinceMs: 0,
  over: true,
  place: -1,
});

/** The most that a call may come to. A call outside of a run is no step. */
export function amountsOf({ estimate, runId }: LimitedCall): Amounts {
  const { costUsd, inputTokens, outputTokensMax } = estimate;
  return [
    isCount(costUsd) ? callCost(costUsd) : 0,
    callTokens(isCount(inputTokens) ? inputTokens : 0, isCount(outputTokensMax) ? outputTokensMax : 0),
    1,
    runId === undefined ? 0 : 1,
  ];
}

/** What a call did come to, and whether all of it is known; what is not is taken as it was reserved. */
export function spentOf(
  { amounts }: Claim,
  { costUsd, inputTokens, outputTokens }: Settlement,
): { spent: Amounts; known: boolean } {
  const [cost, tokens, calls, steps] = amounts;
  const costKnown = isCount(costUsd);
  const tokensKnown = isCount(inputTokens) && isCount(outputTokens);
  const spent: Amounts = [
    costKnown ? callCost(costUsd) : cost,
    tokensKnown ? callTokens(inputTokens, outputTokens) : tokens,
    calls,
    steps,
  ];
  return { spent, known: costKnown && tokensKnown };
}
