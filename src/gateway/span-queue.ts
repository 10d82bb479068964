import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { LIMITS } from '../span/limits.ts';

/**
 * Finished spans on their way to the collector.
 *
 *     onEnd ──► waiting (≤ spansMax, ≤ bytesMax) ──► one batch at a time ──► exporter
 *
 * - Order is kept: a batch is tried until the collector takes it, and none overtakes it.
 * - A span is lost in three ways only, each counted: it came while the queue was full (`queue_full`), the
 *   collector calls it bad (`rejected`; its batch is halved until it stands alone, so it takes no other with it),
 *   or the process had to go while the collector was away (`shutdown`).
 * - A batch leaves when it is full or its oldest span has waited `delayMs`.
 */
export interface SpanQueueOptions {
  exporter: SpanExporter;
  clock: Clock;
  log: Logger;
  spansMax?: number;
  bytesMax?: number;
  batchMax?: number;
  delayMs?: number;
}

export type DropReason = 'queue_full' | 'rejected' | 'shutdown';

/** Content makes spans big: this many bytes of attributes wait at most, however few the spans are. */
const BYTES_MAX = 256 * 1024 * 1024;
/** The collector takes 64 MiB; a batch stays well below. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
const BATCH_MAX = 512;
const DELAY_MS = 200;
const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 5_000;

interface Waiting {
  span: ReadableSpan;
  bytes: number;
}

export class SpanQueue implements SpanProcessor {
  readonly #options: Required<SpanQueueOptions>;
  #waiting: Waiting[] = [];
  #bytes = 0;
  /** Spans of the batch that is under way. */
  #sending = 0;
  #wake: (() => void) | undefined;
  #wakeAt = 1;
  readonly #closing = new AbortController();
  readonly #abandoned = new AbortController();
  readonly #worker: Promise<void>;
  readonly dropped: Record<DropReason, number> = { queue_full: 0, rejected: 0, shutdown: 0 };
  exported = 0;
  exportsFailed = 0;

  constructor(options: SpanQueueOptions) {
    this.#options = {
      spansMax: LIMITS.spanQueueMax,
      bytesMax: BYTES_MAX,
      batchMax: BATCH_MAX,
      delayMs: DELAY_MS,
      ...options,
    };
    this.#worker = this.#work();
  }

  /** Spans not yet accepted. */
  get depth(): number {
    return this.#waiting.length + this.#sending;
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    const bytes = attributeBytes(span);
    const { spansMax, bytesMax } = this.#options;
    if (this.#closing.signal.aborted) {
      this.dropped.shutdown++;
      return;
    }
    if (this.depth >= spansMax || this.#bytes + bytes > bytesMax) {
      if (this.dropped.queue_full++ === 0)
        this.#options.log.error({ spans: this.depth }, 'span queue full: spans are being dropped');
      return;
    }
    this.#waiting.push({ span, bytes });
    this.#bytes += bytes;
    if (this.#waiting.length >= this.#wakeAt) this.#wake?.();
  }

  /** Resolves when everything that was queued is accepted or given up. */
  async forceFlush(): Promise<void> {
    while (this.depth > 0 && !this.#abandoned.signal.aborted) {
      this.#wake?.();
      await this.#options.clock.sleep(5);
    }
  }

  /** Sends what is left, for at most `deadlineMs`; then counts the rest as dropped. */
  async close(deadlineMs: number): Promise<void> {
    if (this.#closing.signal.aborted) return this.#worker;
    this.#closing.abort();
    this.#wake?.();
    const drained = new AbortController();
    const deadline = this.#options.clock
      .sleep(deadlineMs, drained.signal)
      .then(() => this.#abandoned.abort())
      .catch(() => {}); // drained in time
    await this.#worker;
    drained.abort();
    await deadline;
    this.dropped.shutdown += this.#waiting.length;
    if (this.#waiting.length > 0)
      this.#options.log.error({ spans: this.#waiting.length }, 'spans lost: collector away at shutdown');
    this.#waiting = [];
    this.#bytes = 0;
  }

  shutdown(): Promise<void> {
    return this.close(0);
  }

  async #work(): Promise<void> {
    for (;;) {
      await this.#until(1);
      if (this.#waiting.length === 0 || this.#abandoned.signal.aborted) return;
      await this.#until(this.#options.batchMax, this.#options.delayMs);
      const batch = this.#next();
      this.#sending = batch.length;
      await this.#deliver(batch);
      this.#sending = 0;
    }
  }

  /** Waits until so many spans are there, or `ms` are over, or the queue closes. */
  async #until(spans: number, ms?: number): Promise<void> {
    if (this.#waiting.length >= spans || this.#closing.signal.aborted) return;
    const woken = Promise.withResolvers<void>();
    this.#wake = woken.resolve;
    this.#wakeAt = spans;
    const timer = new AbortController();
    const timeout = ms === undefined ? [] : [this.#options.clock.sleep(ms, timer.signal).catch(() => {})];
    await Promise.race([woken.promise, ...timeout]);
    timer.abort();
    this.#wake = undefined;
  }

  #next(): Waiting[] {
    let bytes = 0;
    let n = 0;
    while (n < this.#waiting.length && n < this.#options.batchMax) {
      bytes += this.#waiting[n]!.bytes;
      if (n > 0 && bytes > BATCH_BYTES_MAX) break;
      n++;
    }
    return this.#waiting.splice(0, n);
  }

  /** Returns once the batch is accepted, or what is bad in it is dropped, or there is no time left. */
  async #deliver(batch: Waiting[]): Promise<void> {
    const { clock, log } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const { code, error } = await this.#export(batch.map((waiting) => waiting.span));
      if (code === ExportResultCode.SUCCESS) {
        this.exported += batch.length;
        if (attempt > 0) log.info({ attempt, spans: batch.length }, 'collector is back: spans delivered');
        return this.#forget(batch);
      }
      this.exportsFailed++;
      if (isRejection(error)) {
        if (batch.length > 1) {
          await this.#deliver(batch.slice(0, batch.length >> 1));
          return this.#deliver(batch.slice(batch.length >> 1));
        }
        this.dropped.rejected++;
        log.error({ span: batch[0]!.span.name, reason: error?.message }, 'collector refused a span: dropped');
        return this.#forget(batch);
      }
      if (attempt === 0)
        log.warn({ reason: error?.message, spans: this.depth }, 'spans not delivered: trying again');
      const delayMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(attempt, 16));
      await clock.sleep(delayMs * (0.5 + clock.random() / 2), this.#abandoned.signal).catch(() => {});
      if (this.#abandoned.signal.aborted) {
        this.#waiting.unshift(...batch);
        return;
      }
    }
  }

  #forget(batch: Waiting[]): void {
    for (const { bytes } of batch) this.#bytes -= bytes;
  }

  #export(spans: ReadableSpan[]): Promise<ExportResult> {
    const given = Promise.withResolvers<ExportResult>();
    // The exporter has a deadline of its own for each try, so this waits for it only until time is up for us.
    const giveUp = () => given.resolve({ code: ExportResultCode.FAILED, error: new Error('out of time') });
    this.#abandoned.signal.addEventListener('abort', giveUp, { once: true });
    try {
      this.#options.exporter.export(spans, given.resolve);
    } catch (error) {
      given.resolve({ code: ExportResultCode.FAILED, error: error as Error });
    }
    return given.promise.finally(() => this.#abandoned.signal.removeEventListener('abort', giveUp));
  }
}

/** Bad data, or too much of it in one request: the same bytes will never be taken. */
const isRejection = (error: Error | undefined): boolean =>
  error !== undefined && 'code' in error && (error.code === 400 || error.code === 413);

function attributeBytes({ attributes }: ReadableSpan): number {
  let bytes = 512; // names, ids, times
  for (const key in attributes) {
    const value = attributes[key];
    bytes += key.length + (typeof value === 'string' ? value.length : 16);
  }
  return bytes;
}
