import type { Clock } from '../../clock.ts';
import type { Amounts } from './amounts.ts';
import { type Answer, type Claim, LEASE_MS, type LimitStore, type Spent } from './store.ts';

/**
 * Counts in this process, for one gateway. Everything is done when the method returns.
 *
 * - `#counters` is in order of last use. At most `COUNTERS_MAX`: one more makes it forget the one idle longest that
 *   holds nothing, which is counted. A subject that calls is never idle, so nobody gets rid of its own count.
 * - `#holds` is in order of their leases, which are all of one length.
 */
interface Count {
  spent: [number, number, number, number];
  held: [number, number, number, number];
  forgetAtMs: number;
}

/** It keeps the counts themselves: one that was forgotten meanwhile is not mistaken for a new one of its name. */
interface Hold {
  readonly claim: Claim;
  readonly counts: readonly Count[];
  untilMs: number;
}

const COUNTERS_MAX = 200_000;
/** Claims whose lease ended and whose settlement may still come. */
const LAPSED_MAX = 10_000;
/** How many of the idlest are looked at for one to forget. */
const LOOK_MAX = 16;

export interface MemoryStoreOptions {
  clock: Clock;
  leaseMs?: number;
  countersMax?: number;
}

export class MemoryStore implements LimitStore {
  readonly #counters = new Map<string, Count>();
  readonly #holds = new Map<string, Hold>();
  readonly #lapsed = new Set<string>();
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
    this.#holds.set(claim.id, { claim, counts, untilMs: nowMs + this.#leaseMs });
    return { granted, used };
  }

  settle(claim: Claim, spent: Amounts): Spent {
    const hold = this.#holds.get(claim.id);
    if (!hold) return this.#lapsed.delete(claim.id) ? this.#spendLate(claim, spent) : undefined;
    this.#holds.delete(claim.id);
    const now: number[] = [];
    for (const count of hold.counts) {
      add(count.held, claim.amounts, -1);
      add(count.spent, spent, 1);
      now.push(...count.spent);
    }
    return now;
  }

  release({ id }: Claim): void {
    const hold = this.#holds.get(id);
    if (!hold) return;
    this.#holds.delete(id);
    giveBack(hold);
  }

  renew(claims: Iterable<Claim>): void {
    const nowMs = this.#clock.now();
    this.#endLeases(nowMs);
    for (const { id } of claims) {
      const hold = this.#holds.get(id);
      if (!hold) continue;
      this.#holds.delete(id);
      hold.untilMs = nowMs + this.#leaseMs;
      this.#holds.set(id, hold);
    }
  }

  async close(): Promise<void> {
    this.#counters.clear();
    this.#holds.clear();
  }

  #endLeases(nowMs: number): void {
    for (const [id, hold] of this.#holds) {
      if (hold.untilMs > nowMs) return;
      this.#holds.delete(id);
      giveBack(hold);
      this.#lapsed.add(id);
      if (this.#lapsed.size > LAPSED_MAX) this.#lapsed.delete(this.#lapsed.keys().next().value!);
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
      this.#counters.delete(key);
      count.forgetAtMs = forgetAtMs;
    } else {
      this.#makeRoom(nowMs);
      count = { spent: [0, 0, 0, 0], held: [0, 0, 0, 0], forgetAtMs };
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

function giveBack({ claim, counts }: Hold): void {
  for (const count of counts) add(count.held, claim.amounts, -1);
}
