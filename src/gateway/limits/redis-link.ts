import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import { SCRIPTS, type ScriptCommands } from './redis-scripts.ts';

/**
 * The connection to the Redis that gateways share, and whether it can be relied on just now.
 *
 * - No operation takes longer than `OPERATION_MS_MAX`, and none waits for a connection.
 * - One that fails makes the link `away`: from then on nobody tries, so that a Redis that hangs holds up the calls
 *   of a moment and not all of them. Every `BEAT_MS` the link tries for itself; the first success ends it.
 * - Nothing is sent a second time by the client: whether a lost operation was done is not known.
 */
export class RedisLink {
  readonly redis: Redis & ScriptCommands;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  readonly #tasks: (() => Promise<void>)[] = [];
  readonly #beating: Promise<void>;
  #away = true;
  /** How often it went away, for `/metrics`. */
  outages = 0;

  constructor(url: string, { clock, log }: { clock: Clock; log: Logger }) {
    this.#clock = clock;
    this.#log = log;
    this.redis = new Redis(url, {
      scripts: SCRIPTS,
      commandTimeout: OPERATION_MS_MAX,
      connectTimeout: CONNECT_MS_MAX,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      socketTimeout: SILENT_MS_MAX,
      retryStrategy: (times) =>
        Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(times, 10)) * (0.5 + clock.random() / 2),
    }) as Redis & ScriptCommands;
    // Without a listener an error would end the process; what it means for us shows at the next operation.
    this.redis.on('error', () => {});
    this.#beating = this.#beat();
  }

  get away(): boolean {
    return this.#away;
  }

  /** Has `task` done at every beat while Redis answers; where it fails, Redis counts as away. */
  everyBeat(task: () => Promise<void>): void {
    this.#tasks.push(task);
  }

  /** What `operation` gives; `away` where it cannot be had in time. */
  async run<T>(operation: () => Promise<T>): Promise<T | 'away'> {
    if (this.#away) return 'away';
    try {
      return await operation();
    } catch (error) {
      this.#failed(error as Error);
      return 'away';
    }
  }

  /** Resolves when Redis answered for the first time, or after `ms`. */
  async ready(ms: number): Promise<void> {
    const deadlineMs = this.#clock.now() + ms;
    while (this.#away && this.#clock.now() < deadlineMs && !this.#closing.signal.aborted)
      await this.#clock.sleep(READY_POLL_MS, this.#closing.signal).catch(() => {});
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.redis.disconnect();
    await this.#beating;
  }

  #failed(error: Error): void {
    if (this.#away || this.#closing.signal.aborted) return;
    this.#away = true;
    this.outages++;
    this.#log.warn({ reason: error.message }, 'limits: Redis is away');
  }

  async #beat(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        await this.redis.ping();
        for (const task of this.#tasks) await task();
        if (this.#away) this.#log.info('limits: Redis answers');
        this.#away = false;
      } catch (error) {
        this.#failed(error as Error);
        // A connection that is there and silent may be one that the network has forgotten.
        if (this.redis.status === 'ready') this.redis.disconnect(true);
      }
      const waitMs = this.redis.status === 'ready' ? BEAT_MS : READY_POLL_MS;
      await this.#clock.sleep(waitMs, signal).catch(() => {});
    }
  }
}

/** Long enough for a busy machine: one that is late counts as away. */
export const OPERATION_MS_MAX = 1_000;
const CONNECT_MS_MAX = 1_000;
/** A connection that owes an answer this long is given up. */
const SILENT_MS_MAX = 2_000;
/** A kill must be known everywhere within a second. */
const BEAT_MS = 250;
const READY_POLL_MS = 20;
const RECONNECT_MS_MIN = 25;
const RECONNECT_MS_MAX = 500;
