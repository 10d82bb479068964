import type { Clock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { type Arrival, Arrivals } from './arrivals.ts';
import { type Lease, PendingBytes } from './pending.ts';
import { WorkQueue } from './queue.ts';

/** What the receivers share, of every protocol: memory for bodies, their turn to be decoded, and who is let in. */
export interface IntakeOptions {
  clock: Pick<Clock, 'now' | 'nowNs'>;
  /** Why nothing can be kept now, however small; `undefined` while it can. Asked for every request. */
  whyNotKept?: () => string | undefined;
  /** Bounds for tests to reach; `LIMITS` where not given. */
  pendingBytesMax?: number | undefined;
  queueMsMax?: number | undefined;
}

/** Past this share newcomers are refused, so that those under way find room for the rest of theirs. */
const PENDING_SHARE_MAX = 0.75;
/** What is expected of a body that does not say how long it is. */
const UNANNOUNCED_BYTES = 64 * 1024;
/** How much larger a body becomes by unpacking, of telemetry. */
const UNPACKED_TIMES = 8;

/** One body that is let in: its memory, and that it comes. */
export interface Incoming {
  lease: Lease;
  arrival: Arrival;
}

export class Intake {
  readonly pending: PendingBytes;
  readonly queue: WorkQueue;
  private readonly arrivals: Arrivals;
  private readonly whyNotKept: () => string | undefined;
  private readonly pendingBytesShort: number;

  constructor({ clock, whyNotKept = () => undefined, pendingBytesMax, queueMsMax }: IntakeOptions) {
    const max = pendingBytesMax ?? LIMITS.collectorPendingBytesMax;
    this.pendingBytesShort = max * PENDING_SHARE_MAX;
    this.pending = new PendingBytes(max);
    this.queue = new WorkQueue({ clock, waitMsMax: queueMsMax ?? LIMITS.collectorQueueMsMax });
    this.whyNotKept = whyNotKept;
    this.arrivals = new Arrivals({ clock, isMemoryShort: () => this.isMemoryShort });
  }

  /** How long a request that came now would wait. */
  get waitMs(): number {
    return this.queue.waitMs(this.arrivals.expectedBytes);
  }

  private get isMemoryShort(): boolean {
    return this.pending.bytes > this.pendingBytesShort;
  }

  /**
   * Lets a request in, by what its head says of its body. `cutOff` ends it when its body comes too slowly.
   * Throws `overloaded`, and then none of the body should be read.
   */
  open(length: number | undefined, isPacked: boolean, cutOff: () => void): Incoming {
    const why = this.whyNotKept();
    if (why !== undefined) throw new LoopscopeError('overloaded', why);
    if (this.isMemoryShort || this.waitMs > this.queue.waitMsMax)
      throw new LoopscopeError('overloaded', 'The collector is overloaded. Try again later.');
    const announced = (length ?? UNANNOUNCED_BYTES) * (isPacked ? UNPACKED_TIMES : 1);
    return { lease: this.pending.lease(), arrival: this.arrivals.begin(announced, cutOff) };
  }
}
