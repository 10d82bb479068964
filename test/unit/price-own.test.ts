import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PriceSettings } from '../../src/gateway/price/settings.ts';
import { Prices } from '../../src/gateway/price.ts';

const PROVIDERS = {
  openai: { base_url: 'https://api.openai.com/v1' },
  vllm: { base_url: 'http://10.0.0.1:8000/v1' },
};
const NOW = Date.UTC(2026, 5);
const withOwn = (...own: object[]) =>
  new Prices(
    PROVIDERS,
    own.map((price) => PriceSettings.parse(price)),
  );

test('own prices come before the list, in their order, by name or pattern and provider', () => {
  const prices = withOwn(
    { model: 'gpt-4o', provider: 'openai', input_usd_per_mtok: 1, output_usd_per_mtok: 2 },
    { model: 'llama-*-instruct', input_usd_per_mtok: 0, output_usd_per_mtok: 0 },
    { model: '*', provider: 'vllm', input_usd_per_mtok: 3, output_usd_per_mtok: 3 },
  );
  const million = { inputTokens: 1_000_000, outputTokens: 1_000_000 };
  const cost = (provider: string, model: string) => prices.costUsd(provider, model, million, NOW);
  assert.equal(cost('openai', 'gpt-4o'), 3);
  assert.notEqual(cost('openai', 'gpt-4o-2024-08-06'), 3);
  assert.equal(cost('vllm', 'llama-3.3-instruct'), 0);
  assert.equal(cost('vllm', 'llama-3x3-instruct-fp8'), 6);
  assert.equal(cost('openai', 'llama-3.3-instruct'), 0);
});

test('a part without a price of its own costs what its whole costs', () => {
  const usage = {
    inputTokens: 1_000_000,
    cacheReadTokens: 200_000,
    cacheWriteTokens: 300_000,
    cacheWrite1hTokens: 100_000,
    outputTokens: 1_000_000,
    reasoningTokens: 400_000,
  };
  const plain = { model: 'm', input_usd_per_mtok: 10, output_usd_per_mtok: 20 };
  const cost = (more: object) => withOwn({ ...plain, ...more }).costUsd('vllm', 'm', usage, NOW)!;
  const close = (got: number, expected: number) => assert.ok(Math.abs(got - expected) < 1e-9, `${got}`);
  close(cost({}), 30);
  close(cost({ cached_input_usd_per_mtok: 1 }), 30 - 0.2 * 9);
  close(cost({ cache_write_usd_per_mtok: 15 }), 30 + 0.3 * 5);
  close(cost({ cache_write_usd_per_mtok: 15, cache_write_1h_usd_per_mtok: 20 }), 30 + 0.2 * 5 + 0.1 * 10);
  close(cost({ reasoning_usd_per_mtok: 5 }), 30 - 0.4 * 15);
});

test('a tier has the price that is given for it', () => {
  const prices = withOwn({
    model: 'gpt-5*',
    service_tier: 'flex',
    input_usd_per_mtok: 0.625,
    output_usd_per_mtok: 5,
  });
  const cost = (serviceTier?: string) =>
    prices.costUsd('openai', 'gpt-5', { inputTokens: 1_000_000, outputTokens: 0, serviceTier }, NOW);
  assert.equal(cost('flex'), 0.625);
  assert.equal(cost('priority'), undefined);
  assert.equal(cost(), 1.25);
});

test('what a call may take is estimated from its bytes and what it asks for', () => {
  const prices = withOwn();
  const estimate = (model: string, asked: object, bytes: number) =>
    prices.estimate('openai', model, asked, bytes, NOW);
  assert.deepEqual(estimate('gpt-4-0613', { maxTokens: 100 }, 4_001), {
    inputTokens: 1_001,
    outputTokensMax: 100,
    costUsd: (1_001 * 30 + 100 * 60) / 1e6,
  });
  assert.equal(estimate('gpt-4-0613', { maxTokens: 100, choices: 3 }, 4).outputTokensMax, 300);
  assert.equal(estimate('gpt-4-0613', {}, 4).outputTokensMax, 4_096);
  assert.deepEqual(estimate('made-up', { maxTokens: 5 }, 40), {
    inputTokens: 10,
    outputTokensMax: 5,
    costUsd: undefined,
  });
  assert.equal(estimate('text-embedding-3-small', {}, 4_000_000).outputTokensMax, 0);
});

test('no estimate is larger than what a model can take, whatever was sent along', () => {
  const { inputTokens, outputTokensMax } = withOwn().estimate(
    'openai',
    'gpt-4o',
    { maxTokens: Number.MAX_SAFE_INTEGER },
    32_000_000,
    NOW,
  );
  assert.equal(inputTokens, 128_000);
  assert.equal(outputTokensMax, 128_000);
});

test('prices in the settings are checked', () => {
  const good = { model: 'm', input_usd_per_mtok: 1, output_usd_per_mtok: 1 };
  assert.ok(PriceSettings.safeParse(good).success);
  for (const bad of [
    { ...good, input_usd_per_mtok: -1 },
    { ...good, model: '' },
    { ...good, input: 1 },
    { model: 'm', input_usd_per_mtok: 1 },
    { ...good, output_usd_per_mtok: Number.NaN },
  ])
    assert.ok(!PriceSettings.safeParse(bad).success, JSON.stringify(bad));
});
