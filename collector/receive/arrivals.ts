import type { Clock } from '../../src/clock.ts';
import { LIMITS } from '../../src/span/limits.ts';

/**
 * Bodies that are on their way. Two things go wrong with them that nothing else can see:
 *
 * - Many begin at once. Until the first of them is here whole there is no work, so that everybody would be let in,
 *   and all of them together take so long to read that none is served. So a body counts as work from its head on. By
 *   what it announces, but only by some times what came of it, and for a moment in which one that is meant is here:
 *   who announces much and sends nothing keeps nobody out.
 * - One stops in the middle, and holds the memory of what came before. A body that comes more slowly than a floor is
 *   cut off after some seconds; after the first of them where memory is short.
 */
export interface ArrivalsOptions {
  clock: Pick<Clock, 'now'>;
  /** Whether little is left of the memory for bodies. */
  isMemoryShort: () => boolean;
}

/** One body on its way. */
export interface Arrival {
  /** From now until `awaited` it is we who have to do, and the sender is not slow. */
  received(bytes: number): void;
  awaited(): void;
  /** It is here, or given up. May be called again. */
  over(): void;
}

interface Entry {
  received: number;
  /** What it counts for now, of `expectedBytes`. */
  expected: number;
  expectedUntilMs: number;
  /** What was there at the last look. */
  seen: number;
  slowLooks: number;
  isAwaited: boolean;
  cutOff: () => void;
}

/** For how long a body counts by its head. */
const EXPECTED_MS = 250;
/** For so much at first, and for so many times what came of it. */
const EXPECTED_BYTES_FIRST = 16 * 1024;
const EXPECTED_TIMES = 8;
/** How often all are looked at. */
const LOOK_MS = 1_000;
/** A look that is late tells of this process, and nothing of the senders. */
const LOOK_LATE_MS = 1_500;

export class Arrivals {
  private readonly options: ArrivalsOptions;
  private readonly entries = new Set<Entry>();
  /** Those that count by their head, the oldest first. */
  private readonly expected = new Set<Entry>();
  private expectedSum = 0;
  private timer: NodeJS.Timeout | undefined;
  private lookedAtMs = 0;

  constructor(options: ArrivalsOptions) {
    this.options = options;
  }

  /** What is announced and will be work in a moment. */
  get expectedBytes(): number {
    const nowMs = this.options.clock.now();
    for (const entry of this.expected) {
      if (entry.expectedUntilMs > nowMs) break;
      this.forget(entry);
    }
    return this.expectedSum;
  }

  /** `announced` bytes will come; `cutOff` is called, once at most, when they come too slowly. */
  begin(announced: number, cutOff: () => void): Arrival {
    const nowMs = this.options.clock.now();
    const entry: Entry = {
      received: 0,
      expected: Math.min(announced, EXPECTED_BYTES_FIRST),
      expectedUntilMs: nowMs + EXPECTED_MS,
      seen: 0,
      slowLooks: 0,
      isAwaited: true,
      cutOff,
    };
    this.entries.add(entry);
    this.expected.add(entry);
    this.expectedSum += entry.expected;
    if (!this.timer) {
      this.lookedAtMs = nowMs;
      this.timer = setInterval(() => this.look(), LOOK_MS).unref();
    }
    return {
      received: (bytes) => {
        entry.received += bytes;
        entry.isAwaited = false;
        if (!this.expected.has(entry)) return;
        const expected = Math.min(announced, EXPECTED_BYTES_FIRST + EXPECTED_TIMES * entry.received);
        this.expectedSum += expected - entry.expected;
        entry.expected = expected;
      },
      awaited: () => {
        entry.isAwaited = true;
      },
      over: () => {
        this.entries.delete(entry);
        this.forget(entry);
      },
    };
  }

  private forget(entry: Entry): void {
    if (this.expected.delete(entry)) this.expectedSum -= entry.expected;
  }

  private look(): void {
    const nowMs = this.options.clock.now();
    const isLate = nowMs - this.lookedAtMs > LOOK_LATE_MS;
    this.lookedAtMs = nowMs;
    if (this.entries.size === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
    }
    if (isLate) return;
    const looksMax = this.options.isMemoryShort() ? 1 : LIMITS.collectorBodySlowSMax;
    for (const entry of this.entries) {
      const isSlow =
        entry.isAwaited && entry.received - entry.seen < (LIMITS.collectorBodyBytesPerSMin * LOOK_MS) / 1000;
      // The first look comes at any time of a body's first second.
      entry.slowLooks = isSlow ? entry.slowLooks + 1 : 0;
      entry.seen = entry.received;
      if (entry.slowLooks <= looksMax) continue;
      this.entries.delete(entry);
      entry.cutOff();
    }
  }
}
