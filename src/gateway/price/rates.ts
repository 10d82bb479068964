import type { Usage } from '../protocol.ts';

/**
 * What a model's tokens cost, in US dollars per million, and what a provider charges besides, in dollars per thousand.
 * A part that has no rate of its own costs what its whole does: a cached token an input token, one written for an
 * hour a cache write, one of reasoning an output token.
 */
export interface Rates {
  input?: Rate;
  cacheRead?: Rate;
  cacheWrite?: Rate;
  cacheWrite1h?: Rate;
  output?: Rate;
  reasoning?: Rate;
  webSearches?: number;
  fileSearches?: number;
  requests?: number;
}

/** One price, or one that changes for the whole call where its input is longer than `start` tokens. */
export type Rate = number | { base: number; tiers: readonly { start: number; price: number }[] };

/** What usage costs; `undefined` where a count is missing, or is more than that which it is a part of. */
export function costOf(rates: Rates, usage: Usage): number | undefined {
  const { inputTokens, cacheReadTokens = 0, cacheWriteTokens = 0, cacheWrite1hTokens = 0 } = usage;
  const { reasoningTokens = 0 } = usage;
  // A model whose output has no price, as of embeddings, has none to count.
  const outputTokens = usage.outputTokens ?? (rates.output === undefined ? 0 : undefined);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;

  const write = rates.cacheWrite ?? rates.input;
  const parts = cacheReadTokens + cacheWriteTokens;
  if (parts > inputTokens || cacheWrite1hTokens > cacheWriteTokens) return undefined;
  // Only a price of its own makes it matter how much of the output it was.
  const reasoned = rates.reasoning === undefined ? 0 : reasoningTokens;
  if (reasoned > outputTokens) return undefined;

  const of = (tokens: number, rate: Rate | undefined) =>
    tokens === 0 || rate === undefined ? 0 : (tokens * priceAt(rate, inputTokens)) / 1e6;
  const tokens =
    of(inputTokens - parts, rates.input) +
    of(cacheReadTokens, rates.cacheRead ?? rates.input) +
    of(cacheWriteTokens - cacheWrite1hTokens, write) +
    of(cacheWrite1hTokens, rates.cacheWrite1h ?? write) +
    of(outputTokens - reasoned, rates.output) +
    of(reasoned, rates.reasoning);
  const thousands =
    (rates.requests ?? 0) +
    (usage.webSearches ?? 0) * (rates.webSearches ?? 0) +
    (usage.fileSearches ?? 0) * (rates.fileSearches ?? 0);
  return tokens + thousands / 1e3;
}

function priceAt(rate: Rate, inputTokens: number): number {
  if (typeof rate === 'number') return rate;
  let price = rate.base;
  for (const tier of rate.tiers) if (inputTokens > tier.start) price = tier.price;
  return price;
}
