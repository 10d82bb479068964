import { z } from 'zod';

/** A model that judges answers, and how it is reached. */
const judge = {
  model: z.string().min(1).max(200),
  /** Whose API it is called by; Anthropic's where the model's name is one of theirs. */
  api: z.enum(['openai', 'anthropic']).optional(),
  /** Our own gateway where it is not set, so that judging is traced, limited and paid like any call. */
  base_url: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ''))
    .optional(),
  /** Names the variable with the key; for our own gateway LOOPSCOPE_JUDGE_KEY, a virtual key. */
  api_key_env: z.string().min(1).optional(),
  /** Lets a model judge what one of its own family made. Models prefer what reads like themselves. */
  same_family: z.boolean().default(false),
  /** `null` leaves it to the model: some refuse any other than their own. */
  temperature: z.number().min(0).max(2).nullable().default(0),
};

const rubric = z.string().trim().min(1).max(20_000);

export const JudgeSettings = z.strictObject({
  ...judge,
  /** What makes an answer right, and what each level of the score stands for. */
  rubric,
});

export const PairwiseSettings = z.strictObject({
  ...judge,
  /** What makes one answer better than another. */
  rubric: rubric.default(
    'Which answer serves whoever asked better: is it correct, complete and to the point?',
  ),
});

export type JudgeSettings = z.output<typeof JudgeSettings>;
export type PairwiseSettings = z.output<typeof PairwiseSettings>;
/** What both have of the model itself. */
export type JudgeModel = Omit<JudgeSettings, 'rubric'>;
