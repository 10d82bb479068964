import type { Clock } from '../../src/clock.ts';
import type { Chunk, Message } from '../../src/span/batch.ts';
import { bySize } from './chunks.ts';
import { RecentSet } from './recent.ts';

/** Contents kept this recently are not kept again: an agent resends its history with every call. */
const MESSAGES_REMEMBERED_MAX = 100_000;
const MESSAGES_REMEMBERED_MS = 3_600_000;

/** Makes the contents of requests into rows of `messages`, each once: with the trace that it first came in. */
export class MessageRows {
  private readonly remembered: RecentSet;

  constructor(clock: Clock) {
    this.remembered = new RecentSet(MESSAGES_REMEMBERED_MAX, MESSAGES_REMEMBERED_MS, clock);
  }

  prepare(messages: readonly Message[]): Chunk[] {
    const fresh = new Map<string, Message>();
    for (const message of messages)
      if (!this.remembered.has(message.hash) && !fresh.has(message.hash)) fresh.set(message.hash, message);
    return bySize([...fresh.values()], (m) => m.content.length + 100).map((some) => ({
      table: 'messages',
      format: 'JSONEachRow',
      rows: some.length,
      partitions: [],
      bytes: Buffer.from(some.map(line).join('')),
    }));
  }

  /** They are durable, before any span that comes after: later requests need not bring them. */
  kept(messages: readonly Message[]): void {
    // Not those that are remembered: what is sent without end must be inserted again one day, or its lifetime ends.
    for (const { hash } of messages) if (!this.remembered.has(hash)) this.remembered.add(hash);
  }
}

/** Texts out of JSON may have half a character (a lone surrogate), for which ClickHouse refuses all rows of an insert. */
const line = ({ traceId, hash, role, content }: Message): string =>
  `${JSON.stringify({ trace_id: traceId, hash, role: role.toWellFormed(), content: content.toWellFormed() })}\n`;
