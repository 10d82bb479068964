import type { ProviderCall, ProviderListener } from '../provider.ts';
import { type Answer, type AnswerHead, type Origin, Reader } from './reader.ts';
import type { Linked } from './recency.ts';

/**
 * The answer to one call, as it comes from the provider and for all who asked the same:
 *
 *     provider ──► recording ──► reader (the first caller)
 *                            └─► reader (a follower), …
 *
 * - Each reader gets every byte in order, whenever it came and however slow it is; none holds another back.
 * - While it is kept, the recording takes what comes as fast as it comes.
 * - Past `recordingBytesMax`, or when the store has no room, it *passes*: it is no longer kept and nobody new may
 *   follow, chunks are let go once every reader has them, and the provider waits while no reader wants more. A
 *   reader that is then more than `recordingBytesMax` behind a faster one is cut off, since keeping its part would
 *   have no bound; a lone reader never is.
 * - When the last reader hangs up in mid-flight the call to the provider is cancelled, unless it is to be finished
 *   for the caller who comes back with the same key.
 * - `set-cookie` reaches the first caller only and is not kept.
 */
export interface RecordingLimits {
  recordingBytesMax: number;
  /** What happens to a call under way that nobody listens to any more. */
  whenAlone: 'cancel' | 'finish';
}

/** What of all recordings together a recording has to ask for and report to. */
export interface RecordingHost {
  take(bytes: number): void;
  release(bytes: number): void;
  /** Whether what is taken fits, after all that can go has gone. */
  hasRoom(): boolean;
  /** The recording can no longer be kept. */
  passing(why: 'too_large' | 'no_room'): void;
  settled(recording: Recording): void;
  /** The caller of `discard` knows better: the recording, kept or not yet, must not be played to anyone new. */
  discarded(recording: Recording): void;
  readerCutOff(): void;
}

/** The side of a recording that the provider's answer goes into. */
export interface AnswerRecorder extends ProviderListener {
  /** Names what is paced, and cancelled when nobody is left; at once if that was so before. */
  drivenBy(call: ProviderCall): void;
  /** This answer is not to be repeated, although its status says nothing: a stream without its end, say. */
  discard(): void;
}

/** An object and an array slot for each chunk, beside its bytes. */
const CHUNK_OVERHEAD_BYTES = 256;
const RECORDING_OVERHEAD_BYTES = 1024;
const NOT_KEPT_HEADERS = new Set(['set-cookie', 'set-cookie2']);

export class Recording implements Answer, AnswerRecorder, Linked<Recording> {
  readonly key: string;
  readonly fingerprint: string;
  origin: Origin;
  /** How long it may be repeated once it is whole. */
  lifetimeMs: number;
  expiresAtMs = 0;
  older: Recording | undefined;
  newer: Recording | undefined;
  outcome: 'open' | 'ended' | Error = 'open';
  passing = false;
  isDiscarded = false;
  readonly #host: RecordingHost;
  readonly #limits: RecordingLimits;
  readonly #readers = new Set<Reader>();
  #head: AnswerHead | undefined;
  /** As they came, for the first caller, while it is being told. */
  #headersAsCame: string[] | undefined;
  #chunks: Buffer[] = [];
  /** Chunks let go from the front. */
  #gone = 0;
  #bytes = 0;
  #source: ProviderCall | undefined;
  #sourceWaits = false;
  #isAbandoned = false;
  #isForgotten = false;

  constructor(
    what: { key: string; fingerprint: string; origin: Origin; lifetimeMs: number },
    host: RecordingHost,
    limits: RecordingLimits,
  ) {
    this.key = what.key;
    this.fingerprint = what.fingerprint;
    this.origin = what.origin;
    this.lifetimeMs = what.lifetimeMs;
    this.#host = host;
    this.#limits = limits;
    this.#grow(RECORDING_OVERHEAD_BYTES);
  }

  read(first: boolean): Reader {
    const reader = new Reader(this, first);
    this.#readers.add(reader);
    return reader;
  }

  get isRead(): boolean {
    return this.#readers.size > 0;
  }

  /** The whole body in one piece; for a recording that has ended and was kept. */
  body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  // ── what comes in ──

  drivenBy(call: ProviderCall): void {
    this.#source = call;
    if (this.#isAbandoned) call.cancel();
  }

  start(status: number, statusText: string, headers: string[]): void {
    if (this.outcome !== 'open' || this.#head) return;
    this.#head = { status, statusText, headers: keptHeaders(headers) };
    this.#headersAsCame = headers;
    let bytes = statusText.length;
    for (const part of headers) bytes += part.length;
    this.#grow(bytes);
    for (const reader of this.#readers) reader.pump();
    this.#headersAsCame = undefined;
  }

  data(chunk: Buffer): boolean {
    if (this.outcome !== 'open') return true;
    this.#chunks.push(chunk);
    this.#grow(chunk.length + CHUNK_OVERHEAD_BYTES);
    for (const reader of this.#readers) reader.pump();
    if (!this.passing) return true;
    this.#trim();
    this.#cutOffStragglers();
    this.#sourceWaits = !this.#readers.values().some((reader) => reader.wantsMore) && this.#isHeard();
    return !this.#sourceWaits;
  }

  end(): void {
    this.#settle('ended');
  }

  fail(error: Error): void {
    this.#settle(error);
  }

  discard(): void {
    if (this.isDiscarded) return;
    this.isDiscarded = true;
    this.#host.discarded(this);
  }

  /** Nobody new will read it; its bytes are free once the last reader is done. */
  forget(): void {
    this.#isForgotten = true;
    this.#free();
  }

  // ── what goes out ──

  head(first: boolean): AnswerHead | undefined {
    return first && this.#head && this.#headersAsCame
      ? { ...this.#head, headers: this.#headersAsCame }
      : this.#head;
  }

  chunk(n: number): Buffer | undefined {
    return this.#chunks[n - this.#gone];
  }

  advanced(reader: Reader): void {
    if (!this.passing) return;
    this.#trim();
    if (!this.#sourceWaits || !reader.wantsMore) return;
    this.#sourceWaits = false;
    this.#source?.resume();
  }

  left(reader: Reader): void {
    if (reader.isOver) this.#readers.delete(reader);
    const isToBeFinished = this.#limits.whenAlone === 'finish' && !this.passing;
    if (this.outcome === 'open' && !isToBeFinished && !this.#isHeard()) this.#abandon();
    this.#free();
  }

  #settle(outcome: 'ended' | Error): void {
    if (this.outcome !== 'open') return;
    this.outcome = outcome;
    // First, so that whoever asks again as soon as the answer is over finds it settled.
    this.#host.settled(this);
    for (const reader of this.#readers) reader.pump();
  }

  #grow(bytes: number): void {
    this.#bytes += bytes;
    this.#host.take(bytes);
    if (this.passing) return;
    const why = this.#bytes > this.#limits.recordingBytesMax ? 'too_large' : 'no_room';
    if (why === 'no_room' && this.#host.hasRoom()) return;
    this.passing = true;
    this.#host.passing(why);
    // It was to be finished for a later caller, who could not have it now.
    if (this.#head && !this.#isHeard()) this.#abandon();
  }

  #isHeard(): boolean {
    return this.#readers.values().some((reader) => !reader.isSilent);
  }

  #abandon(): void {
    this.#isAbandoned = true;
    this.#settle(new Error('all callers hung up'));
    this.#source?.cancel();
  }

  /** Lets go of what every reader has. */
  #trim(): void {
    let least = this.#gone + this.#chunks.length;
    for (const { position } of this.#readers) least = Math.min(least, position);
    if (least > this.#gone) this.#drop(least - this.#gone);
  }

  #drop(chunks: number): void {
    let bytes = 0;
    for (const { length } of this.#chunks.splice(0, chunks)) bytes += length + CHUNK_OVERHEAD_BYTES;
    this.#gone += chunks;
    this.#bytes -= bytes;
    this.#host.release(bytes);
  }

  #cutOffStragglers(): void {
    // Without room anywhere, only what a caller that sets the pace has still to get may wait.
    while (
      this.#chunks.length > 0 &&
      (this.#bytes > this.#limits.recordingBytesMax || !this.#host.hasRoom())
    ) {
      let slowest: Reader | undefined;
      let furthest = 0;
      for (const reader of this.#readers) {
        if (!slowest || reader.position < slowest.position) slowest = reader;
        if (!reader.isSilent) furthest = Math.max(furthest, reader.position);
      }
      if (!slowest || slowest.position >= furthest) return;
      // One that does not play yet hears of it when it does.
      this.#readers.delete(slowest);
      this.#host.readerCutOff();
      slowest.cutOff(new Error('the caller was too slow for an answer too large to be kept'));
      this.#trim();
    }
  }

  #free(): void {
    if (!this.#isForgotten || this.#readers.size > 0 || this.#bytes === 0) return;
    this.#chunks = [];
    this.#host.release(this.#bytes);
    this.#bytes = 0;
  }
}

function keptHeaders(raw: string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2)
    if (!NOT_KEPT_HEADERS.has(raw[i]!.toLowerCase())) kept.push(raw[i]!, raw[i + 1]!);
  return kept;
}
