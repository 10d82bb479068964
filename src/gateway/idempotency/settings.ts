import { z } from 'zod';

/** What is kept for repetitions: how much, how long. */

const bytes = z.number().int().positive();

export const IdempotencySettings = z
  .strictObject({
    /** How long the answer to an `Idempotency-Key` is repeated, from when it was whole. */
    lifetime_h: z
      .number()
      .positive()
      .max(24 * 30)
      .default(24),
    /** Of all answers together. */
    bytes_max: bytes.default(256 * 1024 * 1024),
    /** An answer larger than this is passed on and not kept. */
    answer_bytes_max: bytes.default(8 * 1024 * 1024),
    answers_max: z.number().int().positive().default(100_000),
    /** A call with a key whose callers all hung up: `finish` it for the one who comes back with the key. */
    when_all_hang_up: z.enum(['cancel', 'finish']).default('cancel'),
  })
  .prefault({});

export const CacheSettings = z
  .strictObject({
    bytes_max: bytes.default(128 * 1024 * 1024),
    answer_bytes_max: bytes.default(4 * 1024 * 1024),
    answers_max: z.number().int().positive().default(50_000),
  })
  .prefault({});

export type IdempotencySettings = z.infer<typeof IdempotencySettings>;
export type CacheSettings = z.infer<typeof CacheSettings>;
