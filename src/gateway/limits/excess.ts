import { type Amounts, TOKENS } from './amounts.ts';
import type { Bound, LimitedCall, PlannedCounter } from './plan.ts';
import { amountsOf, type Reservation } from './reservation.ts';
import type { Place } from './waiting-room.ts';

/** Which bound a call would break, and what that means for it: to be refused, or to wait for its turn. */

/** Where a bound would be broken, and by how much. */
export interface Excess {
  counter: PlannedCounter;
  bound: Bound;
  /** Index in `MEASURES`. */
  measure: number;
  used: number;
  amount: number;
}

/**
 * The bound that a refused call would break, and whether it can wait for that. One that does not let it wait comes
 * first. `minuteLeftMs`: how long until minutes begin anew.
 */
export function findExcess(
  { planned, amounts }: Reservation,
  used: readonly number[],
  minuteLeftMs: number,
): { excess: Excess; canWait: boolean } {
  let first: Excess | undefined;
  for (let i = 0; i < planned.length; i++) {
    const counter = planned[i]!;
    for (const bound of counter.bounds) {
      if (!bound.enforced) continue;
      let m = exceeded(used, i, amounts, bound.max);
      for (; m >= 0; m = exceeded(used, i, amounts, bound.max, m + 1)) {
        const excess = { counter, bound, measure: m, used: used[i * 4 + m]!, amount: amounts[m]! };
        if (!waitingHelps(excess, minuteLeftMs)) return { excess, canWait: false };
        first ??= excess;
      }
    }
  }
  if (!first) throw new Error('a store refused a claim that is within all bounds');
  return { excess: first, canWait: true };
}

/** Tokens and cost come back when calls take less than they might; calls only with the next minute. */
const waitingHelps = (excess: Excess, minuteLeftMs: number): boolean =>
  mayWait(excess) && (excess.measure <= TOKENS || minuteLeftMs <= excess.bound.waitMs);

/** One that never fits would wait in vain, and hold up all behind it. */
export const mayWait = ({ bound, measure, amount }: Excess): boolean =>
  bound.waitMs > 0 && amount <= bound.max[measure]!;

/** The first measure, from `from` on, that a claim would take past `max` on the `i`-th counter; -1 where none. */
export function exceeded(
  used: readonly number[],
  i: number,
  amounts: Amounts,
  max: Amounts,
  from = 0,
): number {
  for (let m = from; m < 4; m++) if (amounts[m]! > 0 && used[i * 4 + m]! + amounts[m]! > max[m]!) return m;
  return -1;
}

/** Who waits for the same thing. */
export const gateOf = ({ scope, subject }: PlannedCounter, call: LimitedCall): string =>
  `${scope} ${subject ?? `${call.loop}/${call.runId}`}`;

/** What a call costs a limit is the largest of its shares in what is limited there. */
export function placeOf(counter: PlannedCounter, call: LimitedCall): Place {
  const amounts = amountsOf(call);
  let cost = 0;
  for (let m = 0; m < 4; m++) cost = Math.max(cost, amounts[m]! / counter.max[m]!);
  return { gate: gateOf(counter, call), loop: call.loop, cost };
}
