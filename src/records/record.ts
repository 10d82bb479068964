import { z } from 'zod';

/** Times that a span can have: from 1970 to 2262, where 63 bits of nanoseconds end. */
const inRange = (ts: string) => {
  const ms = Date.parse(ts);
  return ms >= 0 && ms < 9_223_372_036_000;
};
const LATENCY_MS_MAX = 10 * 366 * 86_400_000;

/** A run as one JSON object: the format of `import`, `backtest` and the recorded provider. */
export const RunRecord = z.object({
  loop: z.string().min(1).max(200),
  run: z.string().min(1).max(200),
  ts: z.iso
    .datetime({
      offset: true,
      error: 'expected an ISO 8601 time with seconds and a zone, such as 2023-06-27T09:00:00Z',
    })
    .refine(inRange, 'expected a time from 1970 to 2262'),
  agent: z.string().min(1).max(200).optional(),
  parent_agent: z.string().min(1).max(200).optional(),
  model: z.string().optional(),
  served_model: z.string().optional(),
  prompt_version: z.string().optional(),
  tools_version: z.string().optional(),
  checker: z
    .object({
      name: z.string().min(1).default('checker'),
      version: z.string().default(''),
      pass: z.boolean(),
    })
    .optional(),
  input: z.string().optional(),
  output: z.string().optional(),
  golden: z
    .object({ expected: z.string().optional(), score: z.number().min(0).max(1).optional() })
    .optional(),
  item: z.string().optional(),
  /** What kind of task it was: scores are compared within it. Without one, the input's shape stands for it. */
  task: z.string().max(200).optional(),
  /** Of the golden data that the score was made with. */
  dataset_version: z.string().max(200).optional(),
  effects: z.array(z.string()).optional(),
  input_tokens: z.number().int().min(0).optional(),
  output_tokens: z.number().int().min(0).optional(),
  cost_usd: z.number().min(0).optional(),
  latency_ms: z.number().min(0).max(LATENCY_MS_MAX).optional(),
});

export type RunRecord = z.infer<typeof RunRecord>;
