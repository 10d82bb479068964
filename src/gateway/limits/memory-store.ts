import type { Clock } from '../../clock.ts';
import { type Placed, PlacedList } from '../placed-list.ts';
import type { Amounts } from './amounts.ts';
import { type Answer, type Claim, LEASE_MS, type LimitStore, type Spent } from './store.ts';

/**
 * Counts in this process, for one gateway. Everything is done when the method returns.
 *
 * - `#counters` is about in order of last use. At most `COUNTERS_MAX`: one more makes it forget the one idle longest that
 *   holds nothing, which is counted. A subject that calls is never idle, so nobody gets rid of its own count.
 * - A claim has its hold with it, until that ended.
 */
interface Count {
  spent: [number, number, number, number];
  held: [number, number, number, number];
  forgetAtMs: number;
  /** When it was put at the end of the order. */
  placedMs: number;
}

/** It keeps the counts themselves: one that was forgotten meanwhile is not mistaken for a new one of its name. */
class Hold implements Placed {
  place = -1;
  readonly amounts: Amounts;
  readonly counts: readonly Count[];
  untilMs: number;

  constructor(amounts: Amounts, counts: readonly Count[], untilMs: number) {
    this.amounts = amounts;
    this.counts = counts;
    this.untilMs = untilMs;
  }

  /** Whether its lease ended: what it held was given back. */
  get isLapsed(): boolean {
    return this.place === -1;
  }

  giveBack(): void {
    for (const count of this.counts) add(count.held, this.amounts, -1);
  }
}

const COUNTERS_MAX = 200_000;
/** Whoever was used so lately keeps its place in the order: to move it with every call would cost more than the call. */
const PLACE_MS = 1_000;
/** How many of the idlest are looked at for one to forget. */
const LOOK_MAX = 16;

export interface MemoryStoreOptions {
  clock: Clock;
  leaseMs?: number;
  countersMax?: number;
}

export class MemoryStore implements LimitStore {
  readonly #counters = new Map<string, Count>();
  readonly #holds = new PlacedList<Hold>();
  /** No lease ends before. */
  #nextEndMs = Number.POSITIVE_INFINITY;
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #countersMax: number;
  /** Counters that were forgotten before their time because there were too many. */
  forgotten = 0;

  constructor({ clock, leaseMs = LEASE_MS, countersMax = COUNTERS_MAX }: MemoryStoreOptions) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#countersMax = countersMax;
  }

  /** How many counters there are. */
  get size(): number {
    return this.#counters.size;
  }

  reserve(claim: Claim): Exclude<Answer, 'away'> {
    const nowMs = this.#clock.now();
    this.#endLeases(nowMs);
    const { amounts, counters } = claim;
    const used: number[] = [];
    let granted = true;
    for (const { key, max } of counters) {
      const count = this.#find(key, nowMs);
      for (let m = 0; m < 4; m++) {
        const before = count ? count.spent[m]! + count.held[m]! : 0;
        used.push(before);
        if (amounts[m]! > 0 && before + amounts[m]! > max[m]!) granted = false;
      }
    }
    if (!granted) return { granted, used };
    const counts: Count[] = [];
    for (const { key, keepMs } of counters) {
      const count = this.#touch(key, nowMs + keepMs, nowMs);
      add(count.held, amounts, 1);
      counts.push(count);
    }
    const hold = new Hold(amounts, counts, nowMs + this.#leaseMs);
    claim.hold = hold;
    this.#holds.add(hold);
    this.#nextEndMs = Math.min(this.#nextEndMs, hold.untilMs);
    return { granted, used };
  }

  settle(claim: Claim, spent: Amounts): Spent {
    const hold = endHold(claim);
    if (!hold) return undefined;
    if (hold.isLapsed) return this.#spendLate(claim, spent);
    this.#holds.remove(hold);
    const now: number[] = [];
    for (const count of hold.counts) {
      add(count.held, claim.amounts, -1);
      add(count.spent, spent, 1);
      now.push(...count.spent);
    }
    return now;
  }

  release(claim: Claim): void {
    const hold = endHold(claim);
    if (!hold || hold.isLapsed) return;
    this.#holds.remove(hold);
    hold.giveBack();
  }

  renew(claims: Iterable<Claim>): void {
    const nowMs = this.#clock.now();
    this.#endLeases(nowMs);
    for (const { hold } of claims)
      if (hold instanceof Hold && !hold.isLapsed) hold.untilMs = nowMs + this.#leaseMs;
  }

  async close(): Promise<void> {
    this.#counters.clear();
  }

  #endLeases(nowMs: number): void {
    if (nowMs < this.#nextEndMs) return;
    this.#nextEndMs = Number.POSITIVE_INFINITY;
    for (const hold of this.#holds) {
      if (hold.untilMs > nowMs) this.#nextEndMs = Math.min(this.#nextEndMs, hold.untilMs);
      else {
        this.#holds.remove(hold);
        hold.giveBack();
      }
    }
  }

  #spendLate({ counters }: Claim, spent: Amounts): Spent {
    const nowMs = this.#clock.now();
    const now: number[] = [];
    for (const { key, keepMs } of counters) {
      const count = this.#touch(key, nowMs + keepMs, nowMs);
      add(count.spent, spent, 1);
      now.push(...count.spent);
    }
    return now;
  }

  /** `undefined` where nothing was counted yet, or its time is over. */
  #find(key: string, nowMs: number): Count | undefined {
    const count = this.#counters.get(key);
    if (count && count.forgetAtMs <= nowMs) {
      this.#counters.delete(key);
      return undefined;
    }
    return count;
  }

  #touch(key: string, forgetAtMs: number, nowMs: number): Count {
    let count = this.#counters.get(key);
    if (count) {
      count.forgetAtMs = forgetAtMs;
      if (nowMs - count.placedMs < PLACE_MS) return count;
      this.#counters.delete(key);
      count.placedMs = nowMs;
    } else {
      this.#makeRoom(nowMs);
      count = { spent: [0, 0, 0, 0], held: [0, 0, 0, 0], forgetAtMs, placedMs: nowMs };
    }
    this.#counters.set(key, count);
    return count;
  }

  /** Forgets up to `LOOK_MAX` counters whose time is over, and one more where that is not enough. */
  #makeRoom(nowMs: number): void {
    let looked = 0;
    let idlest: string | undefined;
    for (const [key, count] of this.#counters) {
      if (looked++ >= LOOK_MAX) break;
      if (count.forgetAtMs <= nowMs) this.#counters.delete(key);
      else if (idlest === undefined && count.held[2] === 0) idlest = key;
    }
    if (this.#counters.size < this.#countersMax || idlest === undefined) return;
    this.#counters.delete(idlest);
    this.forgotten++;
  }
}

function add(to: [number, number, number, number], amounts: Amounts, sign: 1 | -1): void {
  for (let m = 0; m < 4; m++) to[m]! += sign * amounts[m]!;
}

/** The hold of a claim, which is over by this. */
function endHold(claim: Claim): Hold | undefined {
  const { hold } = claim;
  claim.hold = undefined;
  return hold instanceof Hold ? hold : undefined;
}
