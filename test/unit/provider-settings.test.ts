import assert from 'node:assert/strict';
import { test } from 'node:test';
import { providerApi, telemetryName } from '../../src/gateway/provider-api.ts';
import { ProviderSettings } from '../../src/gateway/provider-settings.ts';

const api = (name: string, settings: object) => providerApi(name, ProviderSettings.parse(settings));

test("a provider speaks OpenAI's API unless it is said, or is Anthropic", () => {
  const base_url = 'https://example.com';
  assert.equal(api('groq', { base_url }).protocol.api, 'openai');
  assert.equal(api('zai', { base_url, api: 'anthropic' }).protocol.api, 'anthropic');
  assert.equal(api('anthropic', { base_url }).protocol.api, 'anthropic');
  // Paths know these two, and what they speak.
  assert.equal(api('openai', { base_url, api: 'anthropic' }).protocol.api, 'openai');
});

test('a key goes into the header that is said, as it is, and else where the API wants it', () => {
  const base_url = 'https://example.com';
  const azure = api('azure', { base_url, api_key_header: 'Api-Key' });
  assert.deepEqual([azure.keyHeaders, azure.keyHeaderValue('k')], [['api-key', 'authorization'], 'k']);
  const groq = api('groq', { base_url });
  assert.deepEqual([groq.keyHeaders, groq.keyHeaderValue('k')], [['authorization'], 'Bearer k']);
  const usual = api('groq', { base_url, api_key_header: 'Authorization' });
  assert.deepEqual([usual.keyHeaders, usual.keyHeaderValue('k')], [['authorization'], 'Bearer k']);
  const zai = api('zai', { base_url, api: 'anthropic', api_key_header: 'authorization' });
  assert.deepEqual([zai.keyHeaders, zai.keyHeaderValue('k')], [['authorization', 'x-api-key'], 'Bearer k']);
});

test('parameters are added where a request does not set them', () => {
  const { query } = api('azure', {
    base_url: 'https://e.com',
    query: { 'api-version': '2024-10-21', 'a b': 'c&d' },
  });
  assert.equal(query(''), '?api-version=2024-10-21&a%20b=c%26d');
  assert.equal(query('?'), '?api-version=2024-10-21&a%20b=c%26d');
  assert.equal(query('?x=%2F'), '?x=%2F&api-version=2024-10-21&a%20b=c%26d');
  assert.equal(query('?api-version=1&a%20b='), '?api-version=1&a%20b=');
  assert.equal(api('groq', { base_url: 'https://e.com' }).query('?x=1'), '?x=1');
});

test("gen_ai.provider.name is the conventions' word where there is one", () => {
  const cases: [string, string, string][] = [
    ['openai', 'http://127.0.0.1:1/v1', 'openai'],
    ['work', 'https://api.openai.com/v1', 'openai'],
    ['azure', 'https://n.openai.azure.com/openai/v1', 'azure.ai.openai'],
    ['az', 'https://n.cognitiveservices.azure.com', 'azure.ai.openai'],
    ['foundry', 'https://n.services.ai.azure.com/models', 'azure.ai.inference'],
    ['gemini', 'https://generativelanguage.googleapis.com/v1beta/openai', 'gcp.gemini'],
    ['v', 'https://us-central1-aiplatform.googleapis.com/v1', 'gcp.vertex_ai'],
    ['b', 'https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1', 'aws.bedrock'],
    ['m', 'https://api.mistral.ai/v1', 'mistral_ai'],
    ['g', 'https://api.groq.com/openai/v1', 'groq'],
    ['x', 'https://api.x.ai/v1', 'x_ai'],
    ['mistral', 'http://proxy.local', 'mistral_ai'],
    ['ollama', 'http://localhost:11434/v1', 'ollama'],
    ['openrouter', 'https://openrouter.ai/api/v1', 'openrouter'],
    ['evil', 'https://api.openai.com.evil.example', 'evil'],
  ];
  for (const [name, url, expected] of cases) assert.equal(telemetryName(name, url), expected, url);
});

test('settings of a provider are checked', () => {
  const good = { base_url: 'https://e.com/v1/' };
  assert.equal(ProviderSettings.parse(good).base_url, 'https://e.com/v1');
  for (const bad of [
    { base_url: 'ftp://e.com' },
    { ...good, api: 'gemini' },
    { ...good, api_key_header: 'a b' },
    { ...good, api_key_header: 'a\r\nb' },
    { ...good, query: { '': 'x' } },
    { ...good, key: 'sk' },
  ])
    assert.ok(!ProviderSettings.safeParse(bad).success, JSON.stringify(bad));
});
