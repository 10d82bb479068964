import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calcPrice, findProvider } from '@pydantic/genai-prices';
import fc from 'fast-check';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { listId } from '../../src/gateway/price/list.ts';
import { Prices } from '../../src/gateway/price.ts';
import type { Usage } from '../../src/gateway/protocol.ts';

const PROVIDERS = {
  openai: { base_url: 'https://api.openai.com/v1' },
  anthropic: { base_url: 'https://api.anthropic.com' },
  groq: { base_url: 'https://api.groq.com/openai/v1' },
  azure: { base_url: 'https://name.openai.azure.com/openai/v1' },
  gemini: { base_url: 'https://generativelanguage.googleapis.com/v1beta/openai' },
  mistral: { base_url: 'https://api.mistral.ai/v1' },
  deepseek: { base_url: 'https://api.deepseek.com' },
  grok: { base_url: 'https://api.x.ai/v1' },
  openrouter: { base_url: 'https://openrouter.ai/api/v1' },
  perplexity: { base_url: 'https://api.perplexity.ai' },
  ollama: { base_url: 'http://localhost:11434/v1' },
};
const prices = new Prices(PROVIDERS);
const JANUARY = Date.UTC(2026, 0);

const cost = (model: string | undefined, usage: Usage, provider = 'openai') =>
  prices.costUsd(provider, model, usage, JANUARY);

test('a cost is unknown when the model, a count or sense is missing, and never 0 for that', () => {
  assert.equal(cost('gpt-4-0613', { inputTokens: 1000, outputTokens: 100 }), 0.036);
  const unknown: [string | undefined, Usage, string?][] = [
    ['made-up-model', { inputTokens: 1, outputTokens: 1 }],
    [undefined, { inputTokens: 1, outputTokens: 1 }],
    ['gpt-4o', { outputTokens: 1 }],
    ['gpt-4o', { inputTokens: 1 }],
    ['gpt-4o', { inputTokens: 10, cacheReadTokens: 400, outputTokens: 1 }],
    ['gpt-4o', { inputTokens: 10, cacheReadTokens: 6, cacheWriteTokens: 6, outputTokens: 1 }],
    ['claude-sonnet-4-20250514', { inputTokens: 10, cacheWrite1hTokens: 6, outputTokens: 1 }, 'anthropic'],
    ['x'.repeat(10_000), { inputTokens: 1, outputTokens: 1 }],
    ['__proto__', { inputTokens: 1, outputTokens: 1 }],
  ];
  for (const [model, usage, provider] of unknown)
    assert.equal(cost(model, usage, provider), undefined, `${model?.slice(0, 30)} ${JSON.stringify(usage)}`);
});

test("a model of the same name on a server of one's own has no list price, nor has a provider nobody set up", () => {
  assert.equal(cost('gpt-4o', { inputTokens: 1, outputTokens: 1 }, 'ollama'), undefined);
  assert.equal(cost('gpt-4o', { inputTokens: 1, outputTokens: 1 }, 'nobody'), undefined);
});

test('a model that stands in the list without a price is unknown, one that is free costs 0', () => {
  const models = (id: string) => findProvider({ providerId: id })!.models;
  const unpriced = models('google').find(
    ({ prices: p, match }) => !Array.isArray(p) && Object.keys(p).length === 0 && 'equals' in match,
  )!;
  assert.equal(cost(unpriced.id, { inputTokens: 5, outputTokens: 5 }, 'gemini'), undefined);
  const free = models('openrouter').find(
    ({ prices: p, match }) =>
      !Array.isArray(p) && p['input_mtok'] === 0 && p['output_mtok'] === 0 && 'equals' in match,
  );
  if (free) assert.equal(cost(free.id, { inputTokens: 5, outputTokens: 5 }, 'openrouter'), 0);
});

test('tokens written to the cache for an hour cost what that costs', () => {
  const { usage } = anthropic.operation('POST', '/v1/messages')!.readAnswer({
    usage: {
      input_tokens: 0,
      cache_creation_input_tokens: 1_000_000,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 1_000_000 },
      output_tokens: 0,
    },
  });
  assert.equal(cost('claude-sonnet-4-20250514', usage, 'anthropic'), 6);
});

test('embeddings have no output to pay for', () => {
  assert.equal(cost('text-embedding-3-small', { inputTokens: 1_000_000 }), 0.02);
});

test('searches are paid one by one', () => {
  const usage = { inputTokens: 0, outputTokens: 0, webSearches: 3 };
  assert.equal(cost('claude-sonnet-4-5', usage, 'anthropic'), 0.03);
});

test('a tier that is not the standard one has prices that the list does not know', () => {
  assert.equal(cost('gpt-5', { inputTokens: 1, outputTokens: 1, serviceTier: 'flex' }), undefined);
});

test('audio costs what audio costs, and is unknown where it is not said how much of the cache was', () => {
  const usage = { inputTokens: 100, outputTokens: 100, inputAudioTokens: 60, outputAudioTokens: 50 };
  const expected = calcPrice(
    { input_tokens: 100, output_tokens: 100, input_audio_tokens: 60, output_audio_tokens: 50 },
    'gpt-4o-audio-preview',
    { providerId: 'openai' },
  );
  assert.ok(expected);
  assert.equal(cost('gpt-4o-audio-preview', usage), expected.total_price);
});

test('every model of the list costs what the list says, in all its parts, tiers, days and hours', () => {
  const names = Object.entries(PROVIDERS).flatMap(([name, { base_url }]) => {
    const id = listId(name, base_url);
    const models = id === undefined ? [] : findProvider({ providerId: id })!.models;
    return models
      .filter(({ id: model }) => model.length <= 200)
      .map((model) => ({ name, id: id!, model: model.id }));
  });
  assert.ok(names.length > 500, String(names.length));
  const tokens = fc.oneof(fc.nat({ max: 3_000 }), fc.nat({ max: 1_500_000 }));
  const call = fc.record({
    of: fc.constantFrom(...names),
    fresh: tokens,
    read: tokens,
    write: tokens,
    hour: fc.nat({ max: 100 }),
    answered: tokens,
    reasoned: tokens,
    webSearches: fc.nat({ max: 3 }),
    atMs: fc.integer({ min: Date.UTC(2025, 0), max: Date.UTC(2027, 5) }),
  });
  fc.assert(
    fc.property(call, ({ of, fresh, read, write, hour, answered, reasoned, webSearches, atMs }) => {
      const write1h = Math.floor((write * hour) / 100);
      const usage: Usage = {
        inputTokens: fresh + read + write,
        cacheReadTokens: read,
        cacheWriteTokens: write,
        cacheWrite1hTokens: write1h,
        outputTokens: answered + reasoned,
        reasoningTokens: reasoned,
        webSearches,
      };
      const listed = calcPrice(
        {
          input_tokens: fresh + read + write,
          cache_read_tokens: read,
          cache_write_tokens: write,
          cache_write_1h_tokens: write1h,
          output_tokens: answered + reasoned,
          output_reasoning_tokens: reasoned,
          web_searches: webSearches,
        },
        of.model,
        { providerId: of.id, timestamp: new Date(atMs) },
      );
      const ours = prices.costUsd(of.name, of.model, usage, atMs);
      if (listed === null || Object.keys(listed.model_price).length === 0) {
        assert.equal(ours, undefined);
        return;
      }
      const difference = Math.abs(ours! - listed.total_price);
      assert.ok(difference <= 1e-9 * Math.max(1, listed.total_price), `${ours} for ${listed.total_price}`);
    }),
    { numRuns: 2_000 },
  );
});

test('a longer input has another price from the token on at which the list says', () => {
  const costOf = (inputTokens: number) =>
    cost('claude-sonnet-4-5', { inputTokens, outputTokens: 0 }, 'anthropic');
  assert.equal(costOf(200_000), 0.6);
  assert.equal(costOf(200_001), (200_001 * 6) / 1e6);
});

test('what strangers name is remembered for so many models only, and prices stay right', () => {
  for (let i = 0; i < 2_500; i++)
    assert.equal(cost(`made-up-${i}`, { inputTokens: 1, outputTokens: 1 }), undefined);
  assert.equal(cost('gpt-4-0613', { inputTokens: 1000, outputTokens: 100 }), 0.036);
});

test('a provider is found in the list by its address, or by its exact name', () => {
  const cases: [string, string, string | undefined][] = [
    ['work', 'https://api.groq.com/openai/v1', 'groq'],
    ['azure', 'http://proxy.local', 'azure'],
    ['eu', 'https://name.openai.azure.com', 'azure'],
    ['openai', 'http://127.0.0.1:9/v1', 'openai'],
    ['not-openai', 'http://127.0.0.1:9/v1', undefined],
    ['vllm', 'http://10.0.0.1:8000/v1', undefined],
    ['gemini', 'https://generativelanguage.googleapis.com/v1beta/openai', 'google'],
    ['or', 'https://openrouter.ai/api/v1', 'openrouter'],
  ];
  for (const [name, url, id] of cases) assert.equal(listId(name, url), id, `${name} ${url}`);
});
