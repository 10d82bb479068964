import type { Clock } from '../../clock.ts';
import type { LoopscopeError } from '../../errors.ts';
import { type CacheableRequest, cacheKey } from './cache-key.ts';
import type { Origin, Reader } from './reader.ts';
import type { AnswerRecorder, Recording } from './recording.ts';
import { type Begun, Recordings } from './recordings.ts';
import { full, inFlight, mismatch } from './refusals.ts';
import { idempotencyKey, recordingKey, requestFingerprint } from './request-key.ts';
import type { CacheSettings, IdempotencySettings } from './settings.ts';
import type { SharedRecordings } from './shared.ts';

/**
 * Whether a call is to be answered from a recording: of the call with the same `Idempotency-Key`, or of an equal call
 * in the loop's cache. Both are recordings (recordings.ts), under another key and for another time. A call with a key
 * does not use the cache: its key says which answer it wants.
 *
 * With a shared store the recordings of other gateways count too, for keys but not for the cache: two gateways that
 * each fill a cache cost a little, two that each make a call with the same key break a promise.
 */
export interface ReplayRequest extends CacheableRequest {
  /** The loop's `cache.ttl_s`; `undefined` where it has no cache. */
  cacheTtlS: number | undefined;
}

export type Outcome =
  /** Call the provider: what comes goes into `recorder`, and comes back to this caller by `reader`. */
  | { kind: 'first'; recorder: AnswerRecorder; reader: Reader; headers: Readonly<Record<string, string>> }
  /** Call nobody: the answer comes by `reader`, which knows the span that was really answered. */
  | { kind: 'follow'; reader: Reader; headers: Readonly<Record<string, string>> }
  | { kind: 'refused'; error: LoopscopeError };

const NONE = Object.freeze({});
const REPLAYED = Object.freeze({ 'x-loopscope-replayed': 'true' });
const HIT = Object.freeze({ 'x-loopscope-cache': 'hit' });
const MISS = Object.freeze({ 'x-loopscope-cache': 'miss' });

/**
 * Client errors that say how things stand, not that the request is wrong: a repetition may well succeed, once the
 * account is in order or the conflict is over.
 */
const PASSING_ERRORS = new Set([401, 402, 403, 407, 408, 409, 421, 423, 424, 425, 429]);

export class Replay {
  readonly keyed: Recordings;
  readonly cached: Recordings;
  readonly #lifetimeMs: number;
  readonly #shared: SharedRecordings | undefined;

  constructor(
    settings: { idempotency: IdempotencySettings; cache: CacheSettings },
    options: { clock: Clock; shared?: SharedRecordings },
  ) {
    const { idempotency, cache } = settings;
    const { clock, shared } = options;
    this.#lifetimeMs = idempotency.lifetime_h * 3_600_000;
    this.#shared = shared;
    this.keyed = new Recordings({
      clock,
      bytesMax: idempotency.bytes_max,
      recordingBytesMax: idempotency.answer_bytes_max,
      recordingsMax: idempotency.answers_max,
      whenAlone: idempotency.when_all_hang_up,
      isFinal,
      shared,
    });
    this.cached = new Recordings({
      clock,
      bytesMax: cache.bytes_max,
      recordingBytesMax: cache.answer_bytes_max,
      recordingsMax: cache.answers_max,
      whenAlone: 'cancel',
      isFinal: (status) => status === 200,
    });
  }

  /**
   * What a call has to do, `undefined` when nothing is recorded of it. `origin` is the span that the call will have.
   * A promise only where another gateway has to be asked. Throws `bad_input` for a key that is none.
   */
  begin(request: ReplayRequest, origin: Origin): Outcome | Promise<Outcome> | undefined {
    const key = idempotencyKey(request.method, request.headers);
    if (key !== undefined) return this.#beginKeyed(request, key, origin);
    if (request.cacheTtlS === undefined) return undefined;
    return this.#beginCached(request, request.cacheTtlS, origin);
  }

  #beginKeyed(request: ReplayRequest, idempotencyKey: string, origin: Origin): Outcome | Promise<Outcome> {
    const key = recordingKey(request, idempotencyKey);
    const fingerprint = requestFingerprint(request);
    const begun = this.keyed.begin({ key, fingerprint, origin, lifetimeMs: this.#lifetimeMs });
    if (begun.kind !== 'first' || !this.#shared) return keyedOutcome(begun);
    return claimed(this.#shared, begun.recorder, begun.reader);
  }

  #beginCached(request: ReplayRequest, ttlS: number, origin: Origin): Outcome | undefined {
    const key = cacheKey(request);
    if (key === undefined) return undefined;
    const begun = this.cached.begin({ key, fingerprint: key, origin, lifetimeMs: ttlS * 1000 });
    // Whatever is in the way, a call without a key can always be made.
    if (begun.kind === 'first') return { ...begun, headers: MISS };
    return begun.kind === 'follow' ? { ...begun, headers: HIT } : undefined;
  }
}

async function claimed(shared: SharedRecordings, recording: Recording, reader: Reader): Promise<Outcome> {
  try {
    const claim = await shared.claim(recording);
    if (claim === 'ours') return { kind: 'first', recorder: recording, reader, headers: NONE };
    if (claim === 'played') return { kind: 'follow', reader, headers: REPLAYED };
    reader.cancel();
    return { kind: 'refused', error: claim };
  } catch (error) {
    // Those who follow must not wait for an answer that nobody asks for.
    recording.fail(error as Error);
    throw error;
  }
}

/** Whether a repetition of the call would be answered the same. */
function isFinal(status: number, headers: readonly string[]): boolean {
  if (status >= 200 && status < 300) return true;
  if (status < 400 || status >= 500 || PASSING_ERRORS.has(status)) return false;
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'x-should-retry');
  return at === -1 || headers[at + 1] !== 'true';
}

function keyedOutcome(begun: Begun): Outcome {
  switch (begun.kind) {
    case 'first':
      return { ...begun, headers: NONE };
    case 'follow':
      return { ...begun, headers: REPLAYED };
    case 'mismatch':
      return { kind: 'refused', error: mismatch() };
    case 'in_flight':
      return { kind: 'refused', error: inFlight() };
    case 'full':
      return { kind: 'refused', error: full() };
  }
}
