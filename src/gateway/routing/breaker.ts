import { RollingCounts } from './rolling-counts.ts';
import type { BreakerSettings } from './settings.ts';

/**
 * Leaves a target alone that fails, so that callers do not wait for what will not come:
 *
 *     closed ── failures ──► open ── cool-down ──► half-open ── an answer ──► closed
 *                             ▲                        │
 *                             └─────── a failure ──────┘
 *
 * - Failures are broken and refused connections, timeouts, 5xx. What a caller did wrong says nothing of a target.
 * - A rate limit opens it only until the time that the target named; that is no failure.
 * - Half-open, `probes_max` calls at once may try it.
 * - It gives advice and blocks nobody: who has no other target may call one that is open. Such a call's answer closes
 *   it, but only that of one begun after it opened: an older one tells of the time before.
 */
export type BreakerState = 'closed' | 'rate_limited' | 'open' | 'half_open';

/** What `begin` gives and the other calls take back: the opening it fell into. */
export type Ticket = number;

const BEFORE_OPENING = -1;

/** A target that names a longer wait is looked at again after this. */
const RATE_LIMIT_MS_MAX = 15 * 60_000;

export class Breaker {
  readonly #settings: BreakerSettings;
  readonly #calls: RollingCounts;
  #consecutive = 0;
  #isOpen = false;
  #openedMs = 0;
  #openings = 0;
  /** Calls under way that began after the last opening. */
  #probes = 0;
  #limitedUntilMs = 0;

  constructor(settings: BreakerSettings) {
    this.#settings = settings;
    this.#calls = new RollingCounts(settings.window_s * 1000);
  }

  state(nowMs: number): BreakerState {
    if (!this.#isOpen) return nowMs < this.#limitedUntilMs ? 'rate_limited' : 'closed';
    // The clock may be set back, which must not keep it open for ever.
    if (nowMs < this.#openedMs) this.#openedMs = nowMs;
    return nowMs - this.#openedMs < this.#settings.cool_down_s * 1000 ? 'open' : 'half_open';
  }

  /** Whether a call should be sent here when there is a choice. */
  isAvailable(nowMs: number): boolean {
    if (!this.#isOpen) return nowMs >= this.#limitedUntilMs;
    return (
      this.state(nowMs) === 'half_open' &&
      this.#probes < this.#settings.probes_max &&
      nowMs >= this.#limitedUntilMs
    );
  }

  /** A call begins. It ends in exactly one of `succeeded`, `failed` and `released`. */
  begin(): Ticket {
    if (!this.#isOpen) return BEFORE_OPENING;
    this.#probes++;
    return this.#openings;
  }

  /** An answer began, which is all that a probe is for; how it ends may take minutes. */
  answered(ticket: Ticket): void {
    if (!this.#isOpen || ticket !== this.#openings) return;
    this.#isOpen = false;
    this.#probes = 0;
    this.#consecutive = 0;
    this.#calls.clear();
  }

  succeeded(ticket: Ticket, nowMs: number): void {
    this.answered(ticket);
    this.#consecutive = 0;
    if (!this.#isOpen) this.#calls.count(nowMs);
  }

  failed(ticket: Ticket, nowMs: number): void {
    if (this.#isOpen) {
      if (ticket === this.#openings && this.state(nowMs) === 'half_open') this.#open(nowMs);
      else this.released(ticket);
      return;
    }
    this.#consecutive++;
    this.#calls.count(nowMs);
    this.#calls.mark(nowMs);
    const { calls_min, failure_share, consecutive_failures } = this.#settings;
    const calls = this.#calls.counted(nowMs);
    const failing = calls >= calls_min && this.#calls.marked(nowMs) >= failure_share * calls;
    if (failing || this.#consecutive >= consecutive_failures) this.#open(nowMs);
  }

  /** The call's end says nothing of the target: its caller left, or was wrong. */
  released(ticket: Ticket): void {
    if (this.#isOpen && ticket === this.#openings) this.#probes--;
  }

  /** The target takes no more calls for a while. */
  rateLimited(afterMs: number, nowMs: number): void {
    const untilMs = nowMs + Math.min(afterMs, RATE_LIMIT_MS_MAX);
    if (untilMs > this.#limitedUntilMs) this.#limitedUntilMs = untilMs;
  }

  #open(nowMs: number): void {
    this.#isOpen = true;
    this.#openedMs = nowMs;
    this.#openings++;
    this.#probes = 0;
  }
}
