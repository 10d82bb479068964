import { LIMITS } from '../span/limits.ts';
import { type ListedModel, listedAudioCost, listedModel, listId } from './price/list.ts';
import { costOf, type Rates } from './price/rates.ts';
import type { PriceSettings } from './price/settings.ts';
import type { RequestFacts, Usage } from './protocol.ts';

/**
 * What calls cost, in US dollars: by the user's own prices where there is one, else by the public list. A cost that
 * is not known is `undefined`, never 0.
 *
 * Whoever calls names a model, so that what was looked up is kept for the last `MODELS_MAX` of a provider only.
 */
export class Prices {
  readonly #own: readonly OwnPrice[];
  readonly #providers = new Map<string, Provider>();

  /** `providers`: those of the settings by name. Own prices are tried in their order. */
  constructor(providers: Readonly<Record<string, { base_url: string }>>, own: readonly PriceSettings[] = []) {
    this.#own = own.map(toOwnPrice);
    for (const [name, { base_url }] of Object.entries(providers))
      this.#providers.set(name, { listId: listId(name, base_url), models: new Map() });
  }

  /** What a call cost that was over at `atMs`. `provider`: its name in the settings. */
  costUsd(provider: string, model: string | undefined, usage: Usage, atMs: number): number | undefined {
    if (model === undefined) return undefined;
    const known = this.#model(provider, model, atMs);
    if (!known) return undefined;
    const own = known.own.find(({ serviceTier }) => serviceTier === usage.serviceTier);
    if (own) return costOf(own.rates, usage);
    // The list has prices of the standard tier only.
    if (usage.serviceTier !== undefined || !known.listed) return undefined;
    if (usage.inputAudioTokens || usage.outputAudioTokens)
      return listedAudioCost(known.listId!, model, usage, atMs);
    return costOf(known.listed.rates, usage);
  }

  /**
   * What a call is going to take at most, before it is made, for whoever reserves a budget: a quarter of the request's
   * bytes as input tokens, bounded by what the model can take, and as much output as was asked for. An estimate: no
   * tokenizer is asked, and where the call sets no maximum, `OUTPUT_TOKENS_ASSUMED` stands in.
   */
  estimate(
    provider: string,
    model: string | undefined,
    request: Pick<RequestFacts, 'maxTokens' | 'choices'>,
    requestBytes: number,
    atMs: number,
  ): Estimate {
    const known = model === undefined ? undefined : this.#model(provider, model, atMs);
    const rates =
      known?.own.find(({ serviceTier }) => serviceTier === undefined)?.rates ?? known?.listed?.rates;
    const window = known?.listed?.contextWindow ?? Number.MAX_SAFE_INTEGER;
    const inputTokens = Math.min(Math.ceil(requestBytes / BYTES_PER_TOKEN), window);
    const each = Math.min(request.maxTokens ?? OUTPUT_TOKENS_ASSUMED, window);
    const hasOutput = rates === undefined || rates.output !== undefined;
    const outputTokensMax = hasOutput ? each * Math.max(1, request.choices ?? 1) : 0;
    const costUsd = rates && costOf(rates, { inputTokens, outputTokens: outputTokensMax });
    return { inputTokens, outputTokensMax, costUsd };
  }

  #model(name: string, model: string, atMs: number): KnownModel | undefined {
    const provider = this.#providers.get(name);
    if (!provider) return undefined;
    const minute = Math.floor(atMs / 60_000);
    const before = provider.models.get(model);
    if (before && (!before.listed?.varies || before.minute === minute)) return before;
    if (model.length > LIMITS.nameLengthMax) return undefined;
    const { listId, models } = provider;
    const known = {
      own: this.#own.filter((price) => price.matches(name, model)),
      listId,
      listed: listId === undefined ? undefined : listedModel(listId, model, atMs),
      minute,
    };
    models.set(model, known);
    if (models.size > MODELS_MAX) models.delete(models.keys().next().value!);
    return known;
  }
}

export interface Estimate {
  inputTokens: number;
  outputTokensMax: number;
  /** `undefined` where the model's price is unknown. */
  costUsd: number | undefined;
}

/** Models of a provider whose prices are remembered. */
const MODELS_MAX = 1_000;
const BYTES_PER_TOKEN = 4;
const OUTPUT_TOKENS_ASSUMED = 4_096;

interface Provider {
  listId: string | undefined;
  models: Map<string, KnownModel>;
}

interface KnownModel {
  /** Own prices, each for a tier. */
  own: readonly OwnPrice[];
  listId: string | undefined;
  listed: ListedModel | undefined;
  /** When it was looked up. */
  minute: number;
}

interface OwnPrice {
  matches(provider: string, model: string): boolean;
  serviceTier: string | undefined;
  rates: Rates;
}

function toOwnPrice(price: PriceSettings): OwnPrice {
  const literals = price.model.split('*').map((text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const pattern = new RegExp(`^${literals.join('.*')}$`, 's');
  return {
    matches: (provider, model) =>
      (price.provider === undefined || price.provider === provider) && pattern.test(model),
    serviceTier: price.service_tier,
    rates: {
      input: price.input_usd_per_mtok,
      cacheRead: price.cached_input_usd_per_mtok,
      cacheWrite: price.cache_write_usd_per_mtok,
      cacheWrite1h: price.cache_write_1h_usd_per_mtok,
      output: price.output_usd_per_mtok,
      reasoning: price.reasoning_usd_per_mtok,
    },
  };
}
