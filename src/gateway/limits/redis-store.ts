import type { Amounts } from './amounts.ts';
import type { RedisLink } from './redis-link.ts';
import { PREFIX } from './redis-scripts.ts';
import { type Answer, type Claim, LEASE_MS, type LimitStore, type Spent } from './store.ts';

/**
 * Counts in Redis, for all gateways that share it. While Redis is away claims are answered with `away`, and what
 * calls spent waits in `#owed`, at most `OWED_MAX` of them in the order in which they came, until Redis is back:
 * what was spent is not forgotten. Settling twice changes nothing, so one whose fate is unknown is sent again.
 */
interface Owed {
  claim: Claim;
  /** `undefined` for a claim that is given back. */
  spent: Amounts | undefined;
  settled: (spent: Spent) => void;
}

const OWED_MAX = 50_000;
const PAID_AT_ONCE_MAX = 1_000;
const RENEWED_AT_ONCE_MAX = 1_000;
const LEASES = `${PREFIX}leases`;
const HOLDS = `${PREFIX}holds`;

export class RedisStore implements LimitStore {
  readonly #link: RedisLink;
  readonly #leaseMs: number;
  #owed: Owed[] = [];
  #closed = false;
  /** Settlements that could not be kept until Redis came back, because there were too many. */
  lost = 0;

  constructor(link: RedisLink, { leaseMs = LEASE_MS }: { leaseMs?: number } = {}) {
    this.#link = link;
    this.#leaseMs = leaseMs;
    link.everyBeat(() => this.#payOff());
  }

  /** Settlements that wait for Redis to be back. */
  get owed(): number {
    return this.#owed.length;
  }

  async reserve(claim: Claim): Promise<Answer> {
    const { id, amounts, counters } = claim;
    const keys = [LEASES, HOLDS];
    const args: (string | number)[] = [id, this.#leaseMs, ...amounts];
    for (const { key, max, keepMs } of counters) {
      keys.push(counterKey(key));
      for (const m of max) args.push(m === Number.POSITIVE_INFINITY ? '' : m);
      args.push(keepMs);
    }
    const wasAway = this.#link.away;
    const reply = await this.#link.run(() => this.#link.redis.limitsReserve(keys.length, ...keys, ...args));
    if (reply !== 'away') return { granted: reply[0] === 1, used: reply.slice(1) };
    // It may have been done all the same.
    if (!wasAway) this.#owe({ claim, spent: undefined, settled: () => {} });
    return 'away';
  }

  async settle(claim: Claim, spent: Amounts): Promise<Spent> {
    const reply = await this.#link.run(() => this.#settle(claim, spent));
    if (reply !== 'away') return reply;
    return new Promise((settled) => this.#owe({ claim, spent, settled }));
  }

  async release(claim: Claim): Promise<void> {
    const reply = await this.#link.run(() => this.#release(claim));
    if (reply === 'away') this.#owe({ claim, spent: undefined, settled: () => {} });
  }

  async renew(claims: Iterable<Claim>): Promise<void> {
    const ids = [...claims].map(({ id }) => id);
    for (let from = 0; from < ids.length; from += RENEWED_AT_ONCE_MAX) {
      const some = ids.slice(from, from + RENEWED_AT_ONCE_MAX);
      const { redis } = this.#link;
      await this.#link.run(() => redis.limitsRenew(LEASES, HOLDS, this.#leaseMs, ...some));
    }
  }

  /** Says what is owed while Redis takes it; what is left then is lost, and its leases end by themselves. */
  async close(): Promise<void> {
    // Redis answers in order: when it answers this, it has answered all that came before.
    await this.#link.run(() => this.#link.redis.ping());
    while (this.#owed.length > 0 && (await this.#link.run(() => this.#payOff())) !== 'away');
    this.#closed = true;
    for (const { settled } of this.#owed) settled(undefined);
    this.lost += this.#owed.length;
    this.#owed = [];
  }

  async #settle({ id, counters, unheld }: Claim, spent: Amounts): Promise<Spent> {
    const keys = [LEASES, HOLDS, `${PREFIX}end:${id}`];
    const args: (string | number)[] = [id, unheld ? 1 : 0, ...spent];
    for (const { key, keepMs } of counters) {
      keys.push(counterKey(key));
      args.push(keepMs);
    }
    const reply = await this.#link.redis.limitsSettle(keys.length, ...keys, ...args);
    return reply.length > 0 ? reply : undefined;
  }

  async #release({ id }: Claim): Promise<undefined> {
    await this.#link.redis.limitsRelease(LEASES, HOLDS, id);
  }

  #owe(owed: Owed): void {
    if (this.#owed.length < OWED_MAX && !this.#closed) this.#owed.push(owed);
    else {
      this.lost++;
      owed.settled(undefined);
    }
  }

  /** Says some of what is owed, all at once; throws when Redis did not take all of it. */
  async #payOff(): Promise<void> {
    const owed = this.#owed.splice(0, PAID_AT_ONCE_MAX);
    const paid = await Promise.allSettled(
      owed.map(({ claim, spent }) => (spent ? this.#settle(claim, spent) : this.#release(claim))),
    );
    const failed: Owed[] = [];
    let reason: unknown;
    paid.forEach((result, i) => {
      const one = owed[i]!;
      if (result.status === 'fulfilled') one.settled(result.value);
      else {
        failed.push(one);
        reason = result.reason;
      }
    });
    this.#owed.unshift(...failed);
    if (failed.length > 0) throw reason;
  }
}

const counterKey = (key: string): string => `${PREFIX}c:${key}`;
