import { randomFillSync } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Everything that differs from one execution to the next: time, waiting and randomness. It is passed in,
 * never reached for, so that a test can hold it still and a seed can reproduce a failure.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Nanoseconds since the Unix epoch, strictly increasing within a process. */
  nowNs(): bigint;
  /** Resolves after `ms`; rejects with an `AbortError` when `signal` fires first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Uniform in [0, 1). */
  random(): number;
  /** `n` random bytes in lower-case hexadecimal. */
  randomHex(n: number): string;
}

/** Random bytes are asked for by the thousand: a question costs as much as many of them. */
const pool = Buffer.alloc(8192);
let poolAt = pool.length;

function randomHex(n: number): string {
  if (poolAt + n > pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  poolAt += n;
  return pool.toString('hex', poolAt - n, poolAt);
}

const DRIFT_NS_MAX = 5_000_000n;
/** To look at both clocks takes twice as long, and calls are timed by the hundred in this. */
const COMPARE_NS = 1_000_000n;

/** The clock of a running program: wall time refined by the monotonic clock, the operating system's randomness. */
export function systemClock(): Clock {
  // Wall time moves in milliseconds and may be set back; spans need an order. So read it once and let the
  // monotonic clock carry it on, and anchor again when the two drift apart (sleep, a clock being set).
  let anchorNs = 0n;
  let anchorTick = 0n;
  let compareTick = 0n;
  let last = 0n;
  const compare = (tick: bigint) => {
    compareTick = tick + COMPARE_NS;
    const wallNs = BigInt(Date.now()) * 1_000_000n;
    const drift = wallNs - (anchorNs + tick - anchorTick);
    if (drift <= DRIFT_NS_MAX && drift >= -DRIFT_NS_MAX) return;
    anchorNs = wallNs;
    anchorTick = tick;
  };
  const nowNs = () => {
    const tick = process.hrtime.bigint();
    if (tick >= compareTick) compare(tick);
    const t = anchorNs + (tick - anchorTick);
    last = t > last ? t : last + 1n;
    return last;
  };
  return {
    now: () => Date.now(),
    nowNs,
    sleep: async (ms, signal) => {
      await delay(ms, undefined, { signal });
    },
    random: Math.random,
    randomHex,
  };
}

/**
 * A reproducible stream of uniform numbers in [0, 1) from a 32-bit seed.
 * Generator: sfc32 (Chris Doty-Humphrey, PractRand), state filled from the seed by splitmix32.
 */
export function seededRandom(seed: number): () => number {
  let s = seed >>> 0;
  const split = () => {
    s = (s + 0x9e3779b9) >>> 0;
    let z = s;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let a = split();
  let b = split();
  let c = split();
  let d = 1;
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}
