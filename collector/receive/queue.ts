import type { Clock } from '../../src/clock.ts';

/**
 * Requests that are here whole and wait to be decoded. Decoding has the event loop, of which there is one, to itself;
 * everything else that the collector does happens between two of them. So what is scarce is the time of that loop,
 * and what a request costs of it goes by its bytes: the queue measures how many milliseconds a byte takes, everything
 * between included, and knows from that how long a newcomer would wait. Past `waitMsMax` the newest are to be refused
 * before anything is spent on them, and those that wait are served in the order they came.
 */
export interface WorkQueueOptions {
  clock: Pick<Clock, 'nowNs'>;
  waitMsMax: number;
}

/** The event loop gets a turn after this much work at the latest, and can refuse, or say that all is well. */
const SLICE_MS = 10;
/** What a request costs beside its bytes, in bytes. */
const REQUEST_BYTES = 2_000;
/** What the estimate remembers, a request: about the last twenty count. */
const MEMORY = 0.95;
/** The first guess, until there is a measurement: 30 ns a byte. */
const FIRST_GUESS = { ms: 3, bytes: 100_000 };

interface Job {
  bytes: number;
  start: () => void;
}

export class WorkQueue {
  readonly waitMsMax: number;
  private readonly clock: WorkQueueOptions['clock'];
  private readonly jobs: Job[] = [];
  private bytes = 0;
  private measured = FIRST_GUESS;
  /** When the last job of the busy time was done. */
  private lastDoneMs: number | undefined;

  constructor({ clock, waitMsMax }: WorkQueueOptions) {
    this.clock = clock;
    this.waitMsMax = waitMsMax;
  }

  /** How long a request that came now would wait, with `moreBytes` of bodies that are about to be here before it. */
  waitMs(moreBytes = 0): number {
    return ((this.bytes + moreBytes) * this.measured.ms) / this.measured.bytes;
  }

  /** Runs `work`, which is an async function, when its turn comes. Its part up to the first wait is what is measured, and what others wait for. */
  run<T>(bodyBytes: number, work: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<T>();
    const bytes = bodyBytes + REQUEST_BYTES;
    this.bytes += bytes;
    this.jobs.push({ bytes, start: () => resolve(work()) });
    if (this.jobs.length === 1) setImmediate(() => this.turn());
    return promise;
  }

  private turn(): void {
    const startMs = this.nowMs();
    for (;;) {
      const job = this.jobs[0]!;
      const fromMs = this.lastDoneMs ?? this.nowMs();
      job.start();
      const doneMs = this.nowMs();
      this.jobs.shift(); // only now: a first job found means that a turn is coming
      this.bytes -= job.bytes;
      this.measured = {
        ms: this.measured.ms * MEMORY + (doneMs - fromMs),
        bytes: this.measured.bytes * MEMORY + job.bytes,
      };
      if (this.jobs.length === 0) {
        this.lastDoneMs = undefined;
        return;
      }
      this.lastDoneMs = doneMs;
      if (doneMs - startMs >= SLICE_MS) break;
    }
    setImmediate(() => this.turn());
  }

  private nowMs(): number {
    return Number(this.clock.nowNs()) / 1e6;
  }
}
