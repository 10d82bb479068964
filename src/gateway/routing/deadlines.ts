import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import { type Placed, PlacedList } from '../placed-list.ts';

/** Something that is to be told when its time has come. */
export interface Timed extends Placed {
  /** On the clock of `Deadlines`. May be changed at any time. */
  dueMs: number;
  /** It is no longer in the list. */
  expire(): void;
}

/**
 * All timeouts of the gateway's calls with one timer: every tick looks at everything that waits. To move a deadline,
 * which happens with every chunk of every stream, is to write a number.
 *
 * - Nothing expires early; it may do so up to two ticks late, later when the process is busy.
 * - Time is counted in ticks: a clock that is set, or a machine that slept, lets no call expire.
 * - Nothing ticks while nothing waits.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #waiting = new PlacedList<Timed>();
  #ticking = false;
  #nowMs = 0;

  constructor({ clock, log }: { clock: Clock; log: Logger }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** The present tick. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** When `ms` from now will be. */
  in(ms: number): number {
    // The present tick has been going on for some time already.
    return this.#nowMs + ms + TICK_MS;
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(timed: Timed): void {
    this.#waiting.add(timed);
    if (this.#ticking) return;
    this.#ticking = true;
    void this.#tick();
  }

  /** Does nothing for what is not in the list. */
  remove(timed: Timed): void {
    this.#waiting.remove(timed);
  }

  async #tick(): Promise<void> {
    while (this.#waiting.size > 0) {
      await this.#clock.sleep(TICK_MS);
      this.#nowMs += TICK_MS;
      for (const timed of this.#waiting) if (timed.dueMs <= this.#nowMs) this.#expire(timed);
    }
    this.#ticking = false;
  }

  #expire(timed: Timed): void {
    this.#waiting.remove(timed);
    try {
      timed.expire();
    } catch (error) {
      this.#log.error({ err: error }, 'a timeout could not be handled');
    }
  }
}

/** Fine enough for timeouts and waits in seconds, and cheap for tens of thousands of them. */
const TICK_MS = 50;
