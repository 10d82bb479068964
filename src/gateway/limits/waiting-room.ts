import type { Clock } from '../../clock.ts';
import { FairQueue } from './fair-queue.ts';

/**
 * Where calls wait for their turn at a limit that comes back within a minute: a fair queue for each limit, all
 * looked after by one timer that runs only while somebody waits.
 *
 * - At most `WAITING_MAX` in all, and `WAITING_PER_LOOP_MAX` of a loop at a limit.
 * - Nobody overtakes the first of a queue: where it does not fit, those behind it wait as well, or large calls would
 *   never get through.
 */
export interface Place {
  /** The limit, by name. */
  gate: string;
  loop: string;
  /** The share of the limit that it asks for. */
  cost: number;
}

export interface WaitingRoomOptions<T> {
  clock: Clock;
  /** Tries to let one through. Gives where it has to wait; nothing when it was answered, either way. */
  admit(item: T): Place | undefined | Promise<Place | undefined>;
  /** Whether one is to wait no longer; it is answered then. */
  isOver(item: T, nowMs: number): boolean;
  /** There is no room at the limit where it has to wait next; it is answered then. */
  turnAway(item: T, place: Place): void;
  waitingMax?: number;
  waitingPerLoopMax?: number;
}

const TICK_MS = 50;
const WAITING_MAX = 10_000;
const WAITING_PER_LOOP_MAX = 1_000;

export class WaitingRoom<T> {
  readonly #gates = new Map<string, FairQueue<T>>();
  readonly #options: WaitingRoomOptions<T>;
  readonly #closing = new AbortController();
  #ticking: Promise<void> | undefined;
  #size = 0;

  constructor(options: WaitingRoomOptions<T>) {
    this.#options = options;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether one who comes now has others before it. */
  isBusy(gate: string): boolean {
    return this.#gates.has(gate);
  }

  /** `false` when there is no room. */
  enter({ gate, loop, cost }: Place, item: T): boolean {
    const { waitingMax = WAITING_MAX, waitingPerLoopMax = WAITING_PER_LOOP_MAX } = this.#options;
    if (this.#size >= waitingMax || this.#closing.signal.aborted) return false;
    let queue = this.#gates.get(gate);
    if (!queue) {
      queue = new FairQueue(waitingPerLoopMax);
      this.#gates.set(gate, queue);
    }
    if (!queue.push(loop, cost, item)) return false;
    this.#size++;
    this.#ticking ??= this.#tick();
    return true;
  }

  /** Empties the room; those who wait are asked for by `isOver` a last time, at the end of time. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#ticking;
    this.#sendAway(Number.POSITIVE_INFINITY);
  }

  async #tick(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    while (this.#size > 0 && !signal.aborted) {
      await clock.sleep(TICK_MS, signal).catch(() => {});
      this.#sendAway(clock.now());
      for (const [gate, queue] of [...this.#gates]) await this.#serve(gate, queue);
    }
    this.#ticking = undefined;
  }

  #sendAway(nowMs: number): void {
    for (const [gate, queue] of this.#gates) {
      this.#size -= queue.remove((item) => this.#options.isOver(item, nowMs)).length;
      if (queue.size === 0) this.#gates.delete(gate);
    }
  }

  /** Lets through as many as fit, in their turn. */
  async #serve(gate: string, queue: FairQueue<T>): Promise<void> {
    for (let item = queue.peek(); item !== undefined; item = queue.peek()) {
      const place = await this.#options.admit(item);
      if (place?.gate === gate) return;
      queue.serve(item);
      this.#size--;
      // It would be through here, and has to wait at another limit.
      if (place && !this.enter(place, item)) this.#options.turnAway(item, place);
    }
    this.#gates.delete(gate);
  }
}
