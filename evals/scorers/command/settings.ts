import { z } from 'zod';

/** A command that tests an answer. */
export const CommandSettings = z.strictObject({
  /** Program and arguments; no shell reads them. One that begins with ./ or ../ is a file beside the suite. */
  run: z.array(z.string().min(1).max(10_000)).min(1).max(100),
  timeout_s: z.number().min(0.1).max(600).default(10),
  memory_mb: z.number().int().min(16).max(65_536).default(512),
  /** Variables of our own environment that the command may see. */
  env: z
    .array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of a variable'))
    .max(50)
    .default([]),
  /** Where the score is: 1 for exit code 0 and else 0, or a number from 0 to 1 in the last line of stdout. */
  score: z.enum(['exit_code', 'last_line']).default('exit_code'),
  /**
   * `required`: no network and processes of its own, or no score. `where_permitted`: what this machine does not permit
   * is left out, and each score says so.
   */
  isolation: z.enum(['required', 'where_permitted']).default('required'),
});

export type CommandSettings = z.output<typeof CommandSettings>;
