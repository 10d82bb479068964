import { asCount, asObject, asString, type Json, type Usage } from '../protocol.ts';

/** Token counts of chat completions and what is like them, as OpenAI and those compatible with it give them. */
export function readUsage(value: unknown, serviceTier: unknown): Usage {
  const usage = asObject(value) ?? {};
  const input = asObject(usage['prompt_tokens_details']) ?? {};
  const output = asObject(usage['completion_tokens_details']) ?? {};
  const reasoningTokens = asCount(output['reasoning_tokens']);
  return {
    inputTokens: asCount(usage['prompt_tokens']),
    outputTokens: outputTokens(usage, reasoningTokens),
    // DeepSeek and Moonshot AI say it where OpenAI does not.
    cacheReadTokens:
      asCount(input['cached_tokens']) ??
      asCount(usage['prompt_cache_hit_tokens']) ??
      asCount(usage['cached_tokens']),
    cacheWriteTokens: asCount(input['cache_write_tokens']),
    reasoningTokens,
    inputAudioTokens: asCount(input['audio_tokens']),
    outputAudioTokens: asCount(output['audio_tokens']),
    serviceTier: readTier(serviceTier),
  };
}

/**
 * OpenAI counts reasoning as part of the completion. xAI and Gemini's compatible endpoint count it beside: there the
 * total is larger than prompt and completion together, and what is between them was paid for as output.
 */
function outputTokens(usage: Json, reasoningTokens: number | undefined): number | undefined {
  const completion = asCount(usage['completion_tokens']);
  if (completion === undefined) return undefined;
  const prompt = asCount(usage['prompt_tokens']) ?? 0;
  const beside = (asCount(usage['total_tokens']) ?? 0) - prompt - completion;
  if (beside <= 0) return completion;
  return completion + Math.min(beside, reasoningTokens ?? beside);
}

const STANDARD_TIERS = new Set(['default', 'standard', 'auto', 'on_demand']);

/** A tier whose prices are not those of the list. */
export function readTier(value: unknown): string | undefined {
  const tier = asString(value);
  return tier === undefined || STANDARD_TIERS.has(tier) ? undefined : tier;
}
