import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { Message, SpanBatch, StoreOutcome } from '../../src/span/batch.ts';
import type { Span } from '../../src/span/span.ts';
import type { Store } from '../../src/store/client.ts';
import { bySize, spanChunks } from './chunks.ts';
import { unknownSpans } from './known.ts';
import { RecentSet } from './recent.ts';
import { spanRow } from './row.ts';
import { takesRows } from './takes-rows.ts';

/** Tries of one insert before its requests are told to come again, the pauses between them, and an end to trying. */
const TRIES_MAX = 3;
const PAUSES_MS = [100, 400];
const TRYING_MS_MAX = 8_000;

/** Contents stored this recently are not sent again: an agent resends its history with every call. */
const MESSAGES_REMEMBERED_MAX = 100_000;
const MESSAGES_REMEMBERED_MS = 3_600_000;

export interface WriterOptions {
  store: Store;
  clock: Clock;
  log: Logger;
  /** Told of every insert that was stored. */
  onInsert: (table: 'messages' | 'otel_traces', rows: number, seconds: number) => void;
}

/**
 * Writes groups of batches: contents first, then the spans that refer to them. One insert has one token from first
 * try to last, so that a try whose answer was lost is not stored twice.
 */
export class Writer {
  private readonly options: WriterOptions;
  private readonly storedMessages: RecentSet;

  constructor(options: WriterOptions) {
    this.options = options;
    this.storedMessages = new RecentSet(MESSAGES_REMEMBERED_MAX, MESSAGES_REMEMBERED_MS, options.clock);
  }

  /** Stores a group; the outcomes are in the order of the batches. `checked`: leave out spans that are stored. */
  async write(batches: readonly SpanBatch[], checked: boolean): Promise<StoreOutcome[]> {
    const outcome = await this.attempt(batches, checked);
    if (outcome.kind !== 'rejected') return batches.map(() => outcome);
    // One request's data must not cost the others theirs.
    if (batches.length > 1) {
      const outcomes: StoreOutcome[] = [];
      for (const batch of batches) outcomes.push(...(await this.write([batch], true)));
      return outcomes;
    }
    // Refused for its data, or for what a table that is missing or may not be written refuses everything?
    return [
      (await takesRows(this.options.store)) ? outcome : { kind: 'unavailable', message: outcome.message },
    ];
  }

  private async attempt(batches: readonly SpanBatch[], checked: boolean): Promise<StoreOutcome> {
    const { store, clock, log } = this.options;
    const stopAt = clock.now() + TRYING_MS_MAX;
    try {
      const all = batches.flatMap((batch) => batch.spans);
      const spans = checked ? await retried(() => unknownSpans(store, all)) : all;
      await this.storeMessages(batches, retried);
      for (const chunk of spanChunks(spans)) {
        const token = spansToken(batches, chunk);
        await this.insert('otel_traces', chunk.map(spanRow), token, retried);
      }
      return { kind: 'stored', repeatedSpans: all.length - spans.length };
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      log.warn({ code: error.code, error: error.message, requests: batches.length }, 'spans were not stored');
      return {
        kind: error.code === 'store_unavailable' ? 'unavailable' : 'rejected',
        message: error.message,
      };
    }

    async function retried<T>(work: () => Promise<T>): Promise<T> {
      for (let tries = 1; ; tries++) {
        try {
          return await work();
        } catch (error) {
          const again = error instanceof LoopscopeError && error.code === 'store_unavailable';
          if (!again || tries >= TRIES_MAX || clock.now() >= stopAt) throw error;
          await clock.sleep(PAUSES_MS[tries - 1]! * (0.5 + clock.random()));
        }
      }
    }
  }

  private async storeMessages(batches: readonly SpanBatch[], retried: Retried): Promise<void> {
    const fresh = new Map<string, Message>();
    for (const batch of batches) {
      for (const message of batch.messages) {
        if (!this.storedMessages.has(message.hash)) fresh.set(message.hash, message);
      }
    }
    for (const chunk of bySize([...fresh.values()], (m) => m.content.length + 100)) {
      const token = sha256(['messages', ...chunk.map((m) => m.hash)]);
      await this.insert('messages', chunk, token, retried);
      for (const message of chunk) this.storedMessages.add(message.hash);
    }
  }

  private async insert(
    table: 'messages' | 'otel_traces',
    rows: readonly object[],
    token: string,
    retried: Retried,
  ): Promise<void> {
    const { store, clock, onInsert } = this.options;
    const start = clock.nowNs();
    await retried(() => store.insert(table, rows, token));
    onInsert(table, rows.length, Number(clock.nowNs() - start) / 1e9);
  }
}

type Retried = <T>(work: () => Promise<T>) => Promise<T>;

const spansToken = (batches: readonly SpanBatch[], chunk: readonly Span[]) =>
  sha256(['spans', ...batches.map((b) => b.digest), ...chunk.map((s) => s.spanId)]);

function sha256(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}
