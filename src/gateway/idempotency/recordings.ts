import type { Clock } from '../../clock.ts';
import type { Origin, Reader } from './reader.ts';
import { RecencyList } from './recency.ts';
import { Recording, type RecordingHost, type RecordingLimits } from './recording.ts';

/**
 * Recordings by key, in memory. A key is in one of three states:
 *
 *     nothing ──begin──► in flight ──whole and final──► complete ──expired, evicted──► nothing
 *                            └──failed, not final, too large──► nothing
 *
 * - Of all that ask for a key, the provider is called for one. Those who come while it is in flight follow it live,
 *   those who come later get the recording.
 * - A key belongs to the request it came with first: with another fingerprint it is a mismatch.
 * - What is in flight is never evicted. What is complete goes when it is too old, or the least recently used first
 *   when there are more than `recordingsMax` or all together hold more than `bytesMax`; one that is being read
 *   stays, because its bytes would not be free.
 * - Whatever is not kept has a counted reason.
 */
export interface RecordingsOptions extends RecordingLimits {
  clock: Clock;
  bytesMax: number;
  recordingsMax: number;
  /** Whether an answer is one that a repetition of the call would reproduce. */
  isFinal(status: number, headers: readonly string[]): boolean;
  /** Who keeps recordings elsewhere, too. */
  shared?: {
    settled(recording: Recording, isKept: boolean): void;
    discarded(recording: Recording): void;
  };
}

export type DropReason =
  | 'too_large'
  | 'no_room'
  | 'failed'
  | 'not_final'
  | 'discarded'
  | 'evicted'
  | 'expired'
  | 'reader_too_slow';

export type Begun =
  /** The provider is to be called; its answer goes into `recorder`, and reaches this caller by `reader`. */
  | { kind: 'first'; recorder: Recording; reader: Reader }
  /** The provider was called already, for the span that the reader names. */
  | { kind: 'follow'; reader: Reader }
  /** The key came with another request before. */
  | { kind: 'mismatch' }
  /** The answer is on its way to others, and too large to be followed from its beginning. */
  | { kind: 'in_flight' }
  /** There is no room for one more call. */
  | { kind: 'full' };

export interface BeginRequest {
  key: string;
  fingerprint: string;
  origin: Origin;
  lifetimeMs: number;
}

export class Recordings implements RecordingHost {
  readonly #options: RecordingsOptions;
  readonly #inFlight = new Map<string, Recording>();
  readonly #complete = new Map<string, Recording>();
  /** The same ones. */
  readonly #byRecency = new RecencyList<Recording>();
  #bytes = 0;
  readonly begun: Record<Begun['kind'], number> = { first: 0, follow: 0, mismatch: 0, in_flight: 0, full: 0 };
  readonly dropped: Record<DropReason, number> = {
    too_large: 0,
    no_room: 0,
    failed: 0,
    not_final: 0,
    discarded: 0,
    evicted: 0,
    expired: 0,
    reader_too_slow: 0,
  };

  constructor(options: RecordingsOptions) {
    this.#options = options;
  }

  /** Bytes of all recordings, those in flight and those still being read included. */
  get bytes(): number {
    return this.#bytes;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get complete(): number {
    return this.#complete.size;
  }

  /**
   * What a call with this key has to do. A reader that is given out must be played or cancelled, and a recorder
   * ended or failed.
   */
  begin(request: BeginRequest): Begun {
    const begun = this.#begin(request);
    this.begun[begun.kind]++;
    return begun;
  }

  #begin(request: BeginRequest): Begun {
    const { key, fingerprint } = request;
    const recording = this.#inFlight.get(key) ?? this.#completeOf(key);
    if (recording) {
      if (recording.fingerprint !== fingerprint) return { kind: 'mismatch' };
      if (recording.passing) return { kind: 'in_flight' };
      return { kind: 'follow', reader: recording.read(false) };
    }
    if (this.#inFlight.size >= this.#options.recordingsMax || !this.hasRoom()) return { kind: 'full' };
    const first = new Recording(request, this, this.#options);
    this.#inFlight.set(key, first);
    return { kind: 'first', recorder: first, reader: first.read(true) };
  }

  #completeOf(key: string): Recording | undefined {
    const recording = this.#complete.get(key);
    if (!recording) return undefined;
    if (recording.expiresAtMs <= this.#options.clock.now()) {
      this.#drop(recording, 'expired');
      return undefined;
    }
    this.#byRecency.remove(recording);
    this.#byRecency.add(recording);
    return recording;
  }

  take(bytes: number): void {
    this.#bytes += bytes;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }

  hasRoom(): boolean {
    return this.#bytes <= this.#options.bytesMax || this.#evict();
  }

  passing(why: 'too_large' | 'no_room'): void {
    this.dropped[why]++;
  }

  readerCutOff(): void {
    this.dropped.reader_too_slow++;
  }

  settled(recording: Recording): void {
    this.#inFlight.delete(recording.key);
    const why = this.#notKept(recording);
    if (why !== undefined) {
      if (why !== 'counted') this.dropped[why]++;
      recording.forget();
    } else {
      recording.expiresAtMs = this.#options.clock.now() + recording.lifetimeMs;
      this.#complete.set(recording.key, recording);
      this.#byRecency.add(recording);
      this.#evict();
    }
    this.#options.shared?.settled(recording, why === undefined);
  }

  #notKept(recording: Recording): DropReason | 'counted' | undefined {
    const head = recording.head(false);
    if (recording.isDiscarded || recording.passing) return 'counted';
    if (recording.outcome !== 'ended' || !head) return 'failed';
    return this.#options.isFinal(head.status, head.headers) ? undefined : 'not_final';
  }

  discarded(recording: Recording): void {
    if (recording.outcome === 'ended') this.#options.shared?.discarded(recording);
    if (this.#complete.get(recording.key) === recording) this.#drop(recording, 'discarded');
    else if (recording.outcome === 'open' && !recording.passing) this.dropped.discarded++;
  }

  /**
   * Lets go of what is over a limit or too old, from the least recently used to the first that may stay. Gives whether
   * the bytes fit now.
   */
  #evict(): boolean {
    const { clock, bytesMax, recordingsMax } = this.#options;
    const now = clock.now();
    let next = this.#byRecency.oldest;
    while (next) {
      const recording = next;
      const isExpired = recording.expiresAtMs <= now;
      const isOver = this.#bytes > bytesMax || this.#inFlight.size + this.#complete.size > recordingsMax;
      if (!isExpired && !isOver) break;
      next = recording.newer;
      if (!recording.isRead) this.#drop(recording, isExpired ? 'expired' : 'evicted');
    }
    return this.#bytes <= bytesMax;
  }

  #drop(recording: Recording, why: DropReason): void {
    this.#complete.delete(recording.key);
    this.#byRecency.remove(recording);
    recording.forget();
    this.dropped[why]++;
  }
}
