import { z } from 'zod';

const usd = z.number().min(0);

/** A price of the user's own, for a model that the public list does not know, or has at another price. */
export const PriceSettings = z.strictObject({
  /** Name of a provider in the settings; any without it. */
  provider: z.string().min(1).optional(),
  /** The model as it is served or asked for; `*` stands for any characters. */
  model: z.string().min(1).max(200),
  /** A tier that calls are served by, such as `flex`; without it the standard one. */
  service_tier: z.string().min(1).optional(),
  input_usd_per_mtok: usd,
  output_usd_per_mtok: usd,
  /** Of the tokens above, those read from a cache, written to one, written for an hour, and those of reasoning. */
  cached_input_usd_per_mtok: usd.optional(),
  cache_write_usd_per_mtok: usd.optional(),
  cache_write_1h_usd_per_mtok: usd.optional(),
  reasoning_usd_per_mtok: usd.optional(),
});

export type PriceSettings = z.infer<typeof PriceSettings>;
