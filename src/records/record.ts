import { z } from 'zod';

/** A run as one JSON object: the format of `import`, `backtest` and the recorded provider. */
export const RunRecord = z.object({
  loop: z.string().min(1).max(200),
  run: z.string().min(1).max(200),
  ts: z.iso.datetime({ offset: true }),
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
  effects: z.array(z.string()).optional(),
  input_tokens: z.number().int().min(0).optional(),
  output_tokens: z.number().int().min(0).optional(),
  cost_usd: z.number().min(0).optional(),
  latency_ms: z.number().min(0).optional(),
});

export type RunRecord = z.infer<typeof RunRecord>;
