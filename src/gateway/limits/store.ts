import type { Amounts } from './amounts.ts';

/**
 * Where use is counted: in this process, or in a Redis that gateways share.
 *
 * A counter has what was *spent* and what is *held* by calls under way. The invariants of every implementation:
 * - `reserve` holds the amounts on all counters or on none, and never takes spent + held of one past its `max`;
 * - a hold ends exactly once: by `settle` (what was really spent takes its place), by `release` (nothing does), or
 *   by its lease, `LEASE_MS` after it was taken or last renewed, which gives it back;
 * - what is settled stays spent until its counter is forgotten, also after the lease had ended. A second
 *   settlement of the same hold changes nothing.
 */
export interface LimitStore {
  reserve(claim: Claim): Answer | Promise<Answer>;
  /** Gives what is spent now on each counter, in the order of the claim's; nothing where it could not be said. */
  settle(claim: Claim, spent: Amounts): Spent | Promise<Spent>;
  release(claim: Claim): void | Promise<void>;
  /** Prolongs the leases of calls that are still under way. */
  renew(claims: Iterable<Claim>): void | Promise<void>;
  close(): Promise<void>;
}

/** What one call asks for. */
export interface Claim {
  /** Unique among all gateways. */
  readonly id: string;
  readonly amounts: Amounts;
  readonly counters: readonly Counter[];
  /** Set when the call goes on though its claim could not be held: settling it adds what it spent all the same. */
  unheld: boolean;
  /** What a store in memory knows of it: theirs alone. */
  hold: object | undefined;
}

export interface Counter {
  readonly key: string;
  /** What spent and held together may come to; `Infinity` where nothing is enforced. */
  readonly max: Amounts;
  /** How long from now it is to be remembered. */
  readonly keepMs: number;
}

/**
 * `used` has the spent and held of each counter before the claim, four numbers a counter in the order of `MEASURES`.
 * `away`: the store cannot be reached; whether the claim is held is not known.
 */
export type Answer = { readonly granted: boolean; readonly used: readonly number[] } | 'away';

/** Four numbers a counter; nothing for a counter that is forgotten, or while the store is away. */
export type Spent = readonly number[] | undefined;

/** A gateway that was killed gives back what its calls held after this time. */
export const LEASE_MS = 60_000;
