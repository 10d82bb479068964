import type { Clock } from '../../clock.ts';
import { LoopscopeError } from '../../errors.ts';
import type { AnswerHead, Origin } from './reader.ts';
import type { Recording } from './recording.ts';
import { inFlight, mismatch } from './refusals.ts';

/**
 * The same key on several gateways. Before the first caller of a gateway calls the provider it claims the key from
 * the store that the gateways share:
 *
 *     free ──claim──► leased to one recording ──whole and final──► complete, for its lifetime
 *      ▲                    └──not kept, or its gateway died and the lease ran out──► free
 *
 * - The gateway with the lease renews it while the answer comes. Should it lose it all the same, because it stood
 *   still for longer than the lease, its answer is not stored over another's.
 * - The others wait, asking again and again, and get the whole answer when it is complete: it is not streamed from
 *   one gateway to the next. After `WAIT_MS_MAX` a waiting caller is refused.
 * - While the store is away `whenAway` says whether calls are made all the same, known to this gateway alone.
 */
export interface SharedStore {
  claim(lease: Lease): Promise<Claim>;
  /** Extends leases; one that is lost stays lost. */
  renew(leases: readonly Lease[]): Promise<void>;
  complete(lease: Lease, answer: StoredAnswer): Promise<'stored' | 'lost' | 'away'>;
  /** Gives the key back, or takes back what was stored under it. */
  release(lease: Lease): Promise<void>;
}

export interface Lease {
  key: string;
  fingerprint: string;
  /** Of this lease and no other. */
  owner: string;
  origin: Origin;
  leaseMs: number;
}

export interface StoredAnswer {
  head: AnswerHead;
  body: Buffer;
  origin: Origin;
  lifetimeMs: number;
}

export type Claim =
  | { kind: 'ours' }
  | { kind: 'complete'; answer: StoredAnswer }
  /** Leased to another. */
  | { kind: 'held' }
  | { kind: 'mismatch' }
  | { kind: 'away' };

export interface SharedOptions {
  store: SharedStore;
  clock: Clock;
  whenAway: 'allow' | 'deny';
  leaseMs?: number;
  waitMsMax?: number;
}

/** A larger answer is known to its own gateway alone: Redis serves all of them, one operation after the other. */
const STORED_BYTES_MAX = 2 * 1024 * 1024;
const LEASE_MS = 10_000;
const RENEWALS_PER_LEASE = 4;
/** As long as the SDKs wait for an answer unless told otherwise. */
const WAIT_MS_MAX = 600_000;
const POLL_MS_MIN = 20;
const POLL_MS_MAX = 1_000;

export class SharedRecordings {
  readonly #store: SharedStore;
  readonly #clock: Clock;
  readonly #whenAway: 'allow' | 'deny';
  readonly #leaseMs: number;
  readonly #waitMsMax: number;
  readonly #closing = new AbortController();
  readonly #leases = new Map<Recording, Lease>();
  /** Stored, and still to be taken back should its answer turn out to be broken. */
  readonly #stored = new WeakMap<Recording, Lease>();
  readonly #storing = new Set<Promise<void>>();
  #renewing: Promise<void> | undefined;
  readonly counts = { claimed: 0, played: 0, stored: 0, lost: 0, too_large: 0, away: 0, timed_out: 0 };

  constructor({ store, clock, whenAway, leaseMs = LEASE_MS, waitMsMax = WAIT_MS_MAX }: SharedOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#whenAway = whenAway;
    this.#leaseMs = leaseMs;
    this.#waitMsMax = waitMsMax;
  }

  /**
   * Gives `ours` when the provider is to be called, `played` when the recording has the answer from elsewhere now, or
   * what the caller and all who follow it are refused with.
   */
  async claim(recording: Recording): Promise<'ours' | 'played' | LoopscopeError> {
    const { key, fingerprint, origin } = recording;
    const owner = this.#clock.randomHex(16);
    const lease = { key, fingerprint, owner, origin, leaseMs: this.#leaseMs };
    const deadlineMs = this.#clock.now() + this.#waitMsMax;
    for (let pollMs = POLL_MS_MIN; ; pollMs = Math.min(POLL_MS_MAX, pollMs * 2)) {
      const claim = await this.#store.claim(lease);
      switch (claim.kind) {
        case 'ours':
          this.counts.claimed++;
          this.#hold(recording, lease);
          return 'ours';
        case 'complete':
          this.counts.played++;
          play(claim.answer, recording);
          return 'played';
        case 'mismatch':
          return refuse(recording, mismatch());
        case 'away':
          this.counts.away++;
          if (this.#whenAway === 'allow') return 'ours';
          return refuse(recording, away());
      }
      if (this.#clock.now() >= deadlineMs || this.#closing.signal.aborted) {
        this.counts.timed_out++;
        return refuse(recording, inFlight());
      }
      const waitMs = pollMs * (0.5 + this.#clock.random() / 2);
      await this.#clock.sleep(waitMs, this.#closing.signal).catch(() => {}); // closing: seen above
    }
  }

  /** A recording is over. */
  settled(recording: Recording, isKept: boolean): void {
    const lease = this.#leases.get(recording);
    if (!lease) return;
    this.#leases.delete(recording);
    this.#track(isKept ? this.#complete(recording, lease) : this.#store.release(lease));
  }

  /** A recording that was kept must not be played to anyone after all. */
  discarded(recording: Recording): void {
    const lease = this.#stored.get(recording);
    if (lease) this.#track(this.#store.release(lease));
  }

  /** Resolves when what is complete is stored; nobody waits for other gateways any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#renewing;
    await Promise.all(this.#storing);
  }

  async #complete(recording: Recording, lease: Lease): Promise<void> {
    const { origin, lifetimeMs } = recording;
    const head = recording.head(false);
    const body = recording.body();
    if (!head || body.length > STORED_BYTES_MAX) {
      this.counts.too_large++;
      return this.#store.release(lease);
    }
    this.#stored.set(recording, lease);
    const how = await this.#store.complete(lease, { head, body, origin, lifetimeMs });
    this.counts[how]++;
  }

  #track(storing: Promise<void>): void {
    const tracked = storing.finally(() => this.#storing.delete(tracked));
    this.#storing.add(tracked);
  }

  #hold(recording: Recording, lease: Lease): void {
    this.#leases.set(recording, lease);
    this.#renewing ??= this.#renew();
  }

  /** Renews all leases, one beat for all of them, as long as there are any. */
  async #renew(): Promise<void> {
    const { signal } = this.#closing;
    const beatMs = this.#leaseMs / RENEWALS_PER_LEASE;
    while (this.#leases.size > 0 && !signal.aborted) {
      await this.#clock.sleep(beatMs, signal).catch(() => {}); // closing: ends the loop
      if (!signal.aborted) await this.#store.renew([...this.#leases.values()]);
    }
    this.#renewing = undefined;
  }
}

function play({ head, body, origin, lifetimeMs }: StoredAnswer, recording: Recording): void {
  recording.origin = origin;
  recording.lifetimeMs = lifetimeMs;
  recording.start(head.status, head.statusText, head.headers);
  if (body.length > 0) recording.data(body);
  recording.end();
}

function refuse(recording: Recording, error: LoopscopeError): LoopscopeError {
  recording.fail(error);
  return error;
}

const away = () =>
  new LoopscopeError(
    'store_unavailable',
    'Redis, which gateways ask whether a call with this Idempotency-Key was made already, does not answer. ' +
      'Try again in a while; `loopscope doctor` says more.',
  );
