import { calcPrice, findProvider, type ModelPrice, type PriceCalculation } from '@pydantic/genai-prices';
import type { Usage } from '../protocol.ts';
import { telemetryName } from '../provider-api.ts';
import type { Rate, Rates } from './rates.ts';

/** The public list of prices, `@pydantic/genai-prices`. To look something up in it takes a tenth of a millisecond. */

export interface ListedModel {
  rates: Rates;
  /** The most tokens that the model takes in, where the list says. */
  contextWindow: number | undefined;
  /** Whether its rates change with the day or the hour. */
  varies: boolean;
}

/** A model's rates at a time; `undefined` where the list has none. */
export function listedModel(providerId: string, model: string, atMs: number): ListedModel | undefined {
  const found = lookUp(providerId, model, { input_tokens: 0, output_tokens: 0 }, atMs);
  // Models stand in the list whose price nobody knows.
  if (!found || Object.keys(found.model_price).length === 0) return undefined;
  return {
    rates: toRates(found.model_price),
    contextWindow: found.model.context_window,
    varies: Array.isArray(found.model.prices),
  };
}

/** What a call cost of which a part was audio, which few models have a price for. */
export const listedAudioCost = (
  providerId: string,
  model: string,
  usage: Usage,
  atMs: number,
): number | undefined =>
  lookUp(
    providerId,
    model,
    {
      input_tokens: usage.inputTokens,
      output_tokens: usage.outputTokens,
      cache_read_tokens: usage.cacheReadTokens,
      cache_write_tokens: usage.cacheWriteTokens,
      input_audio_tokens: usage.inputAudioTokens,
      output_audio_tokens: usage.outputAudioTokens,
    },
    atMs,
  )?.total_price;

function lookUp(
  providerId: string,
  model: string,
  usage: Record<string, number | undefined>,
  atMs: number,
): PriceCalculation | null {
  try {
    return calcPrice(usage, model, { providerId, timestamp: new Date(atMs) });
  } catch {
    // It throws on counts that contradict each other, and on those it would have to guess: the cost is unknown then.
    return null;
  }
}

function toRates(price: ModelPrice): Rates {
  return {
    input: toRate(price['input_mtok']),
    cacheRead: toRate(price['cache_read_mtok']),
    cacheWrite: toRate(price['cache_write_mtok']),
    cacheWrite1h: toRate(price['cache_write_1h_mtok']),
    output: toRate(price['output_mtok']),
    reasoning: toRate(price['output_reasoning_mtok']),
    webSearches: toNumber(price['web_searches_kcount']),
    fileSearches: toNumber(price['storage_searches_kcount']),
    requests: toNumber(price['requests_kcount']),
  };
}

type ListPrice = ModelPrice[string];

const toNumber = (price: ListPrice) => (typeof price === 'number' ? price : undefined);

const toRate = (price: ListPrice): Rate | undefined =>
  typeof price === 'object'
    ? { base: price.base, tiers: price.tiers.toSorted((a, b) => a.start - b.start) }
    : price;

/** The conventions' names of providers that the list has under other ones. */
const LIST_IDS = new Map([
  ['aws.bedrock', 'aws'],
  ['azure.ai.inference', 'azure'],
  ['azure.ai.openai', 'azure'],
  ['gcp.gemini', 'google'],
  ['gcp.vertex_ai', 'google'],
  ['mistral_ai', 'mistral'],
  ['moonshot_ai', 'moonshotai'],
  ['x_ai', 'x-ai'],
]);

/**
 * A provider's name in the list, by its base URL or its exact name. `undefined` for one that is not in it: what a
 * model of the same name costs elsewhere says nothing of a server of one's own.
 */
export function listId(name: string, baseUrl: string): string | undefined {
  const known = LIST_IDS.get(telemetryName(name, baseUrl));
  if (known !== undefined) return known;
  const byUrl = findProvider({ providerApiUrl: baseUrl })?.id;
  return byUrl ?? (findProvider({ providerId: name })?.id === name ? name : undefined);
}
