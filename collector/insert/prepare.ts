import type { Clock } from '../../src/clock.ts';
import type { Chunk, Message } from '../../src/span/batch.ts';
import type { Span } from '../../src/span/span.ts';
import { bySize, spanChunks } from './chunks.ts';
import { RecentSet } from './recent.ts';
import { spanDay, spanRow } from './row.ts';

/** Contents kept this recently are not kept again: an agent resends its history with every call. */
const MESSAGES_REMEMBERED_MAX = 100_000;
const MESSAGES_REMEMBERED_MS = 3_600_000;

/** Makes requests into rows ready to be inserted: contents first, each once, then the spans that refer to them. */
export class Preparation {
  private readonly keptMessages: RecentSet;

  constructor(clock: Clock) {
    this.keptMessages = new RecentSet(MESSAGES_REMEMBERED_MAX, MESSAGES_REMEMBERED_MS, clock);
  }

  prepare(spans: readonly Span[], messages: readonly Message[]): Chunk[] {
    const fresh = new Map<string, Message>();
    for (const message of messages)
      if (!this.keptMessages.has(message.hash)) fresh.set(message.hash, message);
    return [
      ...bySize([...fresh.values()], (m) => m.content.length + 100).map((some) =>
        chunk('messages', some, []),
      ),
      ...spanChunks(spans).map((some) =>
        chunk('otel_traces', some.map(spanRow), [...new Set(some.map(spanDay))]),
      ),
    ];
  }

  /** They are durable, before any span that comes after: later requests need not bring them. */
  kept(messages: readonly Message[]): void {
    for (const { hash } of messages) this.keptMessages.add(hash);
  }
}

const chunk = (table: Chunk['table'], rows: readonly object[], partitions: number[]): Chunk => ({
  table,
  format: 'JSONEachRow',
  rows: rows.length,
  partitions,
  bytes: Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join('')),
});
