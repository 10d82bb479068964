import type { Clock } from '../../clock.ts';
import type { MetricFamily } from '../metric-family.ts';
import { PlacedList } from '../placed-list.ts';
import { type Amounts, MEASURES } from './amounts.ts';
import { CALL_MS_MAX, Calendar } from './counters.ts';
import { type Excess, exceeded, findExcess, gateOf, mayWait, placeOf } from './excess.ts';
import { LimitFigures } from './figures.ts';
import type { KillSwitch } from './kill-switch.ts';
import { type LimitedCall, type PlannedCounter, Plans } from './plan.ts';
import {
  abandoned,
  killed,
  overLimit,
  queueFull,
  type Refusal,
  storeAway,
  tooMany,
  waitedInVain,
} from './refusal.ts';
import { amountsOf, type Reservation, type Settlement, spentOf, UNLIMITED } from './reservation.ts';
import type { LimitsWhenStoreAway, Rule } from './settings.ts';
import { type Answer, type Counter, LEASE_MS, type LimitStore, type Spent } from './store.ts';
import { type Place, WaitingRoom } from './waiting-room.ts';
import { type LimitWarning, warningsOf } from './warnings.ts';

/**
 * Budgets and limits on the way of a call: `reserve` before it, `settle` or `release` after it, once.
 *
 * What a call may come to is held before it is made, so that however many are made at once they cannot go past a
 * limit together; what it did come to takes the place of that afterwards. A single call can exceed its own
 * estimate; what it spent counts in full.
 */
export interface LimiterOptions {
  rules: readonly Rule[];
  store: LimitStore;
  kills: KillSwitch;
  clock: Clock;
  whenStoreAway: LimitsWhenStoreAway;
  /** A limit is used up to a mark: told once for each rule, subject and window, whatever the number of gateways. */
  onWarning?: (warning: LimitWarning) => void;
  /** What the parts beneath count, for `/metrics`. */
  storeFigures?: () => { owed: number; lost: number; forgotten: number; outages: number };
  waitingMax?: number;
  waitingPerLoopMax?: number;
}

export type { Reservation, Settlement };
export type Outcome = Reservation | Refusal;

/** A call that waits for its turn. */
interface Waiter {
  readonly call: LimitedCall;
  readonly planned: readonly PlannedCounter[];
  readonly waitMs: number;
  readonly deadlineMs: number;
  /** Where it waits. */
  counter: PlannedCounter;
  readonly resolve: (outcome: Outcome) => void;
}

/** Calls with a reservation, at most. */
const UNDER_WAY_MAX = 100_000;

export class Limiter {
  readonly #store: LimitStore;
  readonly #kills: KillSwitch;
  readonly #clock: Clock;
  readonly #options: LimiterOptions;
  readonly #figures = new LimitFigures();
  readonly #calendar = new Calendar();
  readonly #room: WaitingRoom<Waiter>;
  readonly #underWay = new PlacedList<Reservation>();
  readonly #closing = new AbortController();
  readonly #renewing: Promise<void>;
  readonly #idPrefix: string;
  #plans: Plans;
  #lastId = 0;

  constructor(options: LimiterOptions) {
    const { rules, store, kills, clock, waitingMax, waitingPerLoopMax } = options;
    this.#options = options;
    this.#store = store;
    this.#kills = kills;
    this.#clock = clock;
    this.#plans = new Plans(rules);
    this.#idPrefix = clock.randomHex(8);
    this.#room = new WaitingRoom<Waiter>({
      clock,
      waitingMax,
      waitingPerLoopMax,
      admit: (waiter) => this.#admit(waiter),
      isOver: (waiter, nowMs) => this.#isOver(waiter, nowMs),
      turnAway: ({ counter, resolve }) => resolve(this.#refuse(queueFull(counter.scope))),
    });
    this.#renewing = this.#renewLeases();
  }

  /** Other rules from now on. What was used stays used. */
  setRules(rules: readonly Rule[]): void {
    this.#plans = new Plans(rules);
  }

  /** Why a loop or a run may call nothing at all; `undefined` where it may. */
  stopped(call: Pick<LimitedCall, 'loop' | 'runId'>): Refusal | undefined {
    const stopped = this.#kills.isKilled(call.loop, call.runId);
    return stopped && this.#refuse(killed(stopped, call));
  }

  /** Holds what a call may come to, or says why it may not be made. At once where counts are in memory and none waits. */
  reserve(call: LimitedCall): Outcome | Promise<Outcome> {
    const stopped = this.stopped(call);
    if (stopped) return stopped;
    const planned = this.#plans.of(call);
    if (planned.length === 0) return UNLIMITED;
    if (this.#underWay.size >= UNDER_WAY_MAX) return this.#refuse(tooMany());
    if (this.#room.size > 0) {
      const busy = planned.find((counter) => counter.waits && this.#room.isBusy(gateOf(counter, call)));
      if (busy) return this.#wait(call, planned, busy);
    }
    const reservation = this.#claim(call, planned);
    const answer = this.#store.reserve(reservation);
    return answer instanceof Promise
      ? answer.then((late) => this.#decide(reservation, late))
      : this.#decide(reservation, answer);
  }

  /**
   * Puts what the call came to in the place of its reservation; what is unknown counts as it was reserved. It never
   * fails. There is nothing to wait for, but for those who want to see it counted.
   */
  settle(reservation: Reservation, came: Settlement): void | Promise<void> {
    if (!this.#end(reservation)) return;
    const { spent, known } = spentOf(reservation, came);
    if (!known) this.#figures.unknown++;
    const now = this.#store.settle(reservation, spent);
    if (now instanceof Promise) return now.then((late) => this.#warn(reservation, late, spent));
    this.#warn(reservation, now, spent);
  }

  /** Gives all of it back, the call included: for one that no provider was asked for. */
  release(reservation: Reservation): void | Promise<void> {
    if (!this.#end(reservation)) return;
    return this.#store.release(reservation);
  }

  figures(): MetricFamily[] {
    const { storeFigures = () => ({ owed: 0, lost: 0, forgotten: 0, outages: 0 }) } = this.#options;
    return this.#figures.families({
      waiting: this.#room.size,
      underWay: this.#underWay.size,
      killed: this.#kills.size,
      ...storeFigures(),
    });
  }

  /** Those who wait are refused. The store is its owner's to close. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#room.close(), this.#renewing]);
  }

  #claim(call: LimitedCall, planned: readonly PlannedCounter[]): Reservation {
    const nowMs = this.#clock.now();
    const counters: Counter[] = [];
    for (const one of planned) counters.push(this.#calendar.counter(one, call, nowMs));
    return {
      granted: true,
      id: `${this.#idPrefix}-${++this.#lastId}`,
      amounts: amountsOf(call),
      counters,
      unheld: false,
      hold: undefined,
      planned,
      call,
      sinceMs: nowMs,
      over: false,
      place: -1,
    };
  }

  #decide(reservation: Reservation, answer: Answer): Outcome | Promise<Outcome> {
    if (answer === 'away') return this.#withoutStore(reservation);
    if (answer.granted) return this.#grant(reservation, answer.used);
    const { excess, canWait } = findExcess(reservation, answer.used, this.#minuteLeftMs());
    const { call, planned } = reservation;
    return canWait ? this.#wait(call, planned, excess.counter) : this.#refuseExcess(excess, call);
  }

  #grant(reservation: Reservation, used: readonly number[]): Reservation {
    const { planned, amounts } = reservation;
    this.#underWay.add(reservation);
    for (let i = 0; i < planned.length; i++)
      for (const { enforced, max } of planned[i]!.bounds) {
        if (enforced) continue;
        const measure = exceeded(used, i, amounts, max);
        if (measure >= 0) this.#figures.audited(planned[i]!.scope, MEASURES[measure]!);
      }
    return reservation;
  }

  #withoutStore(reservation: Reservation): Outcome {
    const enforced = reservation.planned.find(({ bounds }) => bounds.some((bound) => bound.enforced));
    if (enforced && this.#options.whenStoreAway === 'deny') return this.#refuse(storeAway(enforced.scope));
    reservation.unheld = true;
    this.#figures.allowedAway++;
    this.#underWay.add(reservation);
    return reservation;
  }

  #wait(
    call: LimitedCall,
    planned: readonly PlannedCounter[],
    counter: PlannedCounter,
  ): Refusal | Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const waitMs = Math.max(...counter.bounds.map((bound) => bound.waitMs));
    const deadlineMs = this.#clock.now() + waitMs;
    const waiter: Waiter = { call, planned, waitMs, deadlineMs, counter, resolve };
    if (!this.#room.enter(placeOf(counter, call), waiter)) return this.#refuse(queueFull(counter.scope));
    this.#figures.waited++;
    return promise;
  }

  /** A waiting call's turn: it claims anew, for the window may be another by now. */
  #admit(waiter: Waiter): Place | undefined | Promise<Place | undefined> {
    const reservation = this.#claim(waiter.call, waiter.planned);
    const answer = this.#store.reserve(reservation);
    return answer instanceof Promise
      ? answer.then((late) => this.#answered(waiter, reservation, late))
      : this.#answered(waiter, reservation, answer);
  }

  #answered(waiter: Waiter, reservation: Reservation, answer: Answer): Place | undefined {
    const { call, resolve } = waiter;
    if (answer === 'away') resolve(this.#withoutStore(reservation));
    else if (answer.granted) resolve(this.#grant(reservation, answer.used));
    else {
      const { excess } = findExcess(reservation, answer.used, this.#minuteLeftMs());
      if (mayWait(excess)) {
        waiter.counter = excess.counter;
        return placeOf(excess.counter, call);
      }
      resolve(this.#refuseExcess(excess, call));
    }
    return undefined;
  }

  #isOver({ call, waitMs, deadlineMs, counter, resolve }: Waiter, nowMs: number): boolean {
    const stopped = this.#kills.isKilled(call.loop, call.runId);
    if (stopped) resolve(this.#refuse(killed(stopped, call)));
    else if (call.signal?.aborted || nowMs === Number.POSITIVE_INFINITY)
      resolve(this.#refuse(abandoned(counter.scope)));
    else if (nowMs >= deadlineMs) {
      resolve(this.#refuse(waitedInVain(counter, call, waitMs, this.#minuteLeftMs())));
    } else return false;
    return true;
  }

  #refuseExcess(excess: Excess, call: LimitedCall): Refusal {
    const { window } = excess.counter;
    const nowMs = this.#clock.now();
    const endMs = window === 'run' ? undefined : this.#calendar.at(window, nowMs).endMs;
    return this.#refuse(overLimit(excess, call, endMs, nowMs));
  }

  #minuteLeftMs(): number {
    const nowMs = this.#clock.now();
    return this.#calendar.at('minute', nowMs).endMs - nowMs;
  }

  #refuse(refusal: Refusal): Refusal {
    this.#figures.refused(refusal.scope, refusal.what);
    return refusal;
  }

  /** `false` when it was over before. */
  #end(reservation: Reservation): boolean {
    if (reservation.over || reservation.planned.length === 0) return false;
    reservation.over = true;
    this.#underWay.remove(reservation);
    return true;
  }

  #warn({ planned, call }: Reservation, now: Spent, spent: Amounts): void {
    const { onWarning } = this.#options;
    if (!now) return;
    for (let i = 0; i < planned.length; i++) {
      const subject = planned[i]!.subject ?? `${call.loop}/${call.runId}`;
      for (const warning of warningsOf(planned[i]!, subject, now, i * 4, spent)) {
        this.#figures.warned(warning.percent);
        onWarning?.(warning);
      }
    }
  }

  async #renewLeases(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#clock.sleep(LEASE_MS / 3, signal).catch(() => {});
      const longAgoMs = this.#clock.now() - CALL_MS_MAX;
      for (const reservation of this.#underWay) {
        if (reservation.sinceMs > longAgoMs) continue;
        this.#underWay.remove(reservation);
        this.#figures.unsettled++;
      }
      if (this.#underWay.size > 0 && !signal.aborted) await this.#store.renew(this.#underWay);
    }
  }
}
