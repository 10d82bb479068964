import { calcPrice } from '@pydantic/genai-prices';
import type { Usage } from './protocol.ts';

/**
 * What a call cost in US dollars at list prices. `undefined` when the model's price or a token count is unknown:
 * an unknown cost is not 0. The count of input tokens includes cached ones, as genai-prices expects it.
 */
export function costUsd(
  provider: string,
  model: string | undefined,
  usage: Usage,
  atMs: number,
): number | undefined {
  if (model === undefined || usage.inputTokens === undefined || usage.outputTokens === undefined)
    return undefined;
  try {
    const price = calcPrice(
      {
        input_tokens: usage.inputTokens,
        output_tokens: usage.outputTokens,
        cache_read_tokens: usage.cacheReadTokens,
        cache_write_tokens: usage.cacheWriteTokens,
        cache_write_1h_tokens: usage.cacheWrite1hTokens,
      },
      model,
      { providerId: provider, timestamp: new Date(atMs) },
    );
    return price?.total_price;
  } catch {
    // It throws on counts that contradict each other (more cached than input tokens): the cost is unknown then.
    return undefined;
  }
}
