import { z } from 'zod';
import { cron, regex } from '../src/registry/loop.ts';

/** A suite as `suites/*.yaml` has it: which loop is held against which golden data, how, and how often. */

const name = z.string().min(1).max(200);

export const ScorerDefinition = z.union([
  z.literal('exact'),
  z.literal('text'),
  z.strictObject({ regex, flags: z.string().default(''), group: z.number().int().min(0).default(1) }),
  z.strictObject({ json: z.string().regex(/^\$(\.[A-Za-z0-9_-]+)*$/, 'expected a path such as $.answer') }),
  z.strictObject({
    numeric: z.strictObject({
      /** Largest difference that still counts as right. */
      absolute: z.number().min(0).default(0),
      /** The same, as a share of the expected value. */
      relative: z.number().min(0).default(0),
    }),
  }),
  z.strictObject({
    /** A TypeScript module beside the suite whose default export scores an answer. */
    module: z.string().min(1),
  }),
]);

export const SuiteDefinition = z.strictObject({
  suite: name,
  loop: name,
  dataset: name,
  scorer: ScorerDefinition.default('text'),
  schedule: cron.default('*/15 * * * *'),
  sample: z.strictObject({ runs_per_day: z.number().int().positive().default(200) }).prefault({}),
  detector: z.strictObject({ arl: z.number().min(100).max(1e12).default(10_000) }).prefault({}),
});

export type ScorerDefinition = z.infer<typeof ScorerDefinition>;
export type SuiteDefinition = z.infer<typeof SuiteDefinition>;
