import type { Redis } from 'ioredis';
import type { AnswerHead } from './reader.ts';
import type { Claim, Lease, SharedStore, StoredAnswer } from './shared.ts';

/**
 * Recordings in Redis, one hash for each key, with an expiry: the lease's while the answer comes, then the answer's.
 *
 * | field    | holds |
 * |----------|-------|
 * | `fp`     | fingerprint of the request |
 * | `owner`  | who leased the key |
 * | `origin` | JSON: the span of the call |
 * | `head`   | JSON: status and headers; with it the answer is complete |
 * | `body`   | the bytes |
 *
 * Redis runs a script whole, so no other gateway comes between its check and its change. How much all of it may take
 * is for Redis' `maxmemory` to say, with a policy that evicts keys with an expiry.
 */
export interface RedisAccess {
  readonly redis: Pick<Redis, 'callBuffer'>;
  /** What `operation` gives; `away` where it cannot be had in time. */
  run<T>(operation: () => Promise<T>): Promise<T | 'away'>;
}

const PREFIX = 'loopscope:idempotency:';

/** ARGV: fingerprint, owner, origin, lease in ms. */
const CLAIM = `
local is = redis.call('HMGET', KEYS[1], 'fp', 'owner', 'origin', 'head')
if is[1] and is[1] ~= ARGV[1] then return {'mismatch'} end
if is[4] then
  return {'complete', is[3], is[4], redis.call('HGET', KEYS[1], 'body'), tostring(redis.call('PTTL', KEYS[1]))}
end
if is[1] and is[2] ~= ARGV[2] then return {'held'} end
redis.call('HSET', KEYS[1], 'fp', ARGV[1], 'owner', ARGV[2], 'origin', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'ours'}
`;

/** ARGV: owner, lease in ms. */
const RENEW = `
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
`;

/** ARGV: owner, head, body, lifetime in ms. */
const COMPLETE = `
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'head', ARGV[2], 'body', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`;

/** ARGV: owner. */
const RELEASE = `
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then redis.call('DEL', KEYS[1]) end
`;

export class RedisRecordings implements SharedStore {
  readonly #access: RedisAccess;

  constructor(access: RedisAccess) {
    this.#access = access;
  }

  async claim({ key, fingerprint, owner, origin, leaseMs }: Lease): Promise<Claim> {
    const reply = await this.#eval(CLAIM, key, [fingerprint, owner, JSON.stringify(origin), leaseMs]);
    if (reply === 'away') return { kind: 'away' };
    const [kind, storedOrigin, head, body, lifetimeMs] = reply as Buffer[];
    const name = String(kind) as Claim['kind'];
    if (name !== 'complete') return { kind: name };
    return {
      kind: 'complete',
      answer: {
        head: JSON.parse(String(head)) as AnswerHead,
        body: body!,
        origin: JSON.parse(String(storedOrigin)) as StoredAnswer['origin'],
        lifetimeMs: Number(lifetimeMs),
      },
    };
  }

  async renew(leases: readonly Lease[]): Promise<void> {
    await Promise.all(leases.map(({ key, owner, leaseMs }) => this.#eval(RENEW, key, [owner, leaseMs])));
  }

  async complete(
    { key, owner }: Lease,
    { head, body, lifetimeMs }: StoredAnswer,
  ): Promise<'stored' | 'lost' | 'away'> {
    const reply = await this.#eval(COMPLETE, key, [owner, JSON.stringify(head), body, Math.ceil(lifetimeMs)]);
    if (reply === 'away') return 'away';
    return reply === 1 ? 'stored' : 'lost';
  }

  async release({ key, owner }: Lease): Promise<void> {
    await this.#eval(RELEASE, key, [owner]);
  }

  #eval(script: string, key: string, args: (string | number | Buffer)[]): Promise<unknown> {
    const { redis } = this.#access;
    return this.#access.run(() => redis.callBuffer('EVAL', script, 1, PREFIX + key, ...args));
  }
}
