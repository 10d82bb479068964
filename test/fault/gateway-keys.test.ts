import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AzureOpenAI } from 'openai';
import { type Config, loadConfig } from '../../src/config.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { answer, type FaultyProvider, failure, startFaultyProvider } from '../support/faulty-provider.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { chatCompletion } from '../support/scripted-provider.ts';
import { until } from '../support/until.ts';

/** A key goes to the provider whose it is, and nowhere else: not by failover, by reload, or by what a caller asks for. */

let first: FaultyProvider;
let second: FaultyProvider;
let gateway: TestGateway;
let config: Partial<Config>;

const provider = (base_url: string, api_key: string) => ({ base_url, api_key, api_key_env: 'KEY' });
const routing = (initial_ms: number): Config['routing'] => ({
  retries: { max: 1, initial_ms, max_ms: initial_ms },
  timeouts: {},
  breaker: {
    window_s: 1,
    calls_min: 100_000,
    failure_share: 1,
    consecutive_failures: 100_000,
    cool_down_s: 1,
    probes_max: 1,
  },
  retry_budget: { share: 1, per_s: 100 },
});

before(async () => {
  first = await startFaultyProvider(answer({ body: JSON.stringify(chatCompletion('first')) }));
  second = await startFaultyProvider(answer({ body: JSON.stringify(chatCompletion('second')) }));
  config = {
    providers: {
      openai: provider(`${first.url}/v1`, 'sk-first'),
      anthropic: provider(first.url, 'sk-ant-first'),
      azure: { ...provider(`${second.url}/openai/v1`, 'azure-second'), api_key_header: 'api-key' },
      odd: { ...provider(second.url, 'odd-second'), api_key_header: 'x-odd-token' },
      keyless: { base_url: second.url, api_key: undefined },
    },
    models: {
      azured: { targets: [{ provider: 'openai' }, { provider: 'azure' }], pick: 'priority' },
      local: { targets: [{ provider: 'openai' }, { provider: 'keyless' }], pick: 'priority' },
      elsewhere: { targets: [{ provider: 'azure' }], pick: 'priority' },
    },
    routing: routing(1),
  };
  gateway = await startTestGateway({ providerUrl: first.url, keys: { lsk_mine: { loop: 'mine' } }, config });
});
after(async () => {
  await gateway.close();
  await Promise.all([first.close(), second.close()]);
});

const ask = (headers: Record<string, string>, { path = '/v1', model = 'gpt-4o', more = {} } = {}) =>
  fetch(`${gateway.url}/loops/mine${path}/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ model, messages: [], ...more }),
  });
const last = ({ requests }: FaultyProvider) => JSON.stringify(requests.at(-1)!.headers);

for (const [header, path, at, key] of [
  ['authorization', '/v1', () => first, 'Bearer sk-first'],
  ['x-api-key', '/v1', () => first, 'Bearer sk-first'],
  ['api-key', '/v1', () => first, 'Bearer sk-first'],
  ['api-key', '/azure', () => second, 'azure-second'],
  ['x-goog-api-key', '/azure', () => second, 'azure-second'],
  ['x-odd-token', '/odd', () => second, 'odd-second'],
  ['authorization', '/keyless', () => second, undefined],
] as const)
  test(`a Loopscope key in ${header} at ${path} is exchanged, and goes no further`, async () => {
    const value = header === 'authorization' ? 'Bearer lsk_mine' : 'lsk_mine';
    const response = await ask({ [header]: value, 'x-note': 'lsk_mine' }, { path });
    assert.equal(response.status, 200);
    const sent = last(at());
    assert.ok(!sent.includes('lsk_'), sent);
    if (key !== undefined) assert.ok(sent.includes(`"${key}"`), sent);
    else assert.ok(!/first|second/.test(sent.replaceAll(/"host":"[^"]*"/g, '')), sent);
  });

test("Azure's own client may come with a Loopscope key", async () => {
  const azure = new AzureOpenAI({
    apiKey: 'lsk_mine',
    apiVersion: '1',
    baseURL: `${gateway.url}/loops/mine/azure`,
    maxRetries: 0,
  });
  const { choices } = await azure.chat.completions.create({ model: 'm', messages: [] });
  assert.equal(choices[0]!.message.content, 'second');
  assert.ok(last(second).includes('"azure-second"'));
  const unknown = new AzureOpenAI({
    apiKey: 'lsk_nobody',
    apiVersion: '1',
    baseURL: `${gateway.url}/loops/mine/azure`,
    maxRetries: 0,
  });
  await assert.rejects(unknown.chat.completions.create({ model: 'm', messages: [] }), { status: 401 });
});

test('a call that fails over takes no key along, whosever and in whichever header', async () => {
  const keys = {
    authorization: 'Bearer lsk_mine',
    'api-key': 'caller-1',
    'x-api-key': 'caller-2',
    'x-goog-api-key': 'caller-3',
  };
  for (const [model, key] of [
    ['azured', 'azure-second'],
    ['local', undefined],
  ] as const) {
    first.next(failure(500));
    const before = second.requests.length;
    assert.equal((await ask(keys, { model })).status, 200);
    assert.equal(second.requests.length, before + 1);
    const sent = last(second);
    assert.ok(!/caller-|sk-first|lsk_/.test(sent), sent);
    if (key !== undefined) assert.ok(sent.includes(`"${key}"`), sent);
  }
});

test("a caller's own key goes to the provider of the path only", async () => {
  const before = second.requests.length;
  first.next(failure(500), failure(500));
  const failed = await ask({ authorization: 'Bearer sk-own' }, { model: 'azured' });
  assert.equal(failed.status, 500);
  assert.ok(last(first).includes('sk-own') && !last(first).includes('sk-first'));
  const refused = await ask({ authorization: 'Bearer sk-own' }, { model: 'elsewhere' });
  assert.equal(refused.status, 404);
  assert.equal(second.requests.length, before);
});

test('no caller and no loop can say where a key is sent', async () => {
  const before = second.requests.length;
  for (const name of [
    'x-base-url',
    'x-loop-base-url',
    'x-portkey-custom-host',
    'x-forwarded-host',
    'openai-base-url',
  ])
    assert.equal((await ask({ authorization: 'Bearer lsk_mine', [name]: second.url })).status, 200);
  for (const field of ['base_url', 'api_base', 'provider'])
    await ask({ authorization: 'Bearer lsk_mine' }, { more: { [field]: second.url } });
  assert.equal(second.requests.length, before);
  const target = { provider: 'openai', base_url: second.url };
  const said = LoopDefinition.safeParse({ loop: 'mine', owner: 'us', models: { m: { targets: [target] } } });
  assert.equal(said.success, false);
});

test('the default key of a provider does not follow it to another base URL', () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-keys-'));
  try {
    const file = join(folder, 'loopscope.yaml');
    writeFileSync(file, 'providers: { openai: { base_url: "http://127.0.0.1:1/v1" } }\n');
    const { providers } = loadConfig(file, { OPENAI_API_KEY: 'sk-real', ANTHROPIC_API_KEY: 'sk-ant-real' });
    assert.equal(providers['openai']!.api_key, undefined);
    assert.equal(providers['anthropic']!.api_key, 'sk-ant-real');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a call that is under way while the settings change keeps key and origin together', async () => {
  const defaults = loadConfig(undefined, {});
  const settings = (at: FaultyProvider, key: string): Config => ({
    ...defaults,
    ...config,
    providers: { openai: provider(`${at.url}/v1`, key), anthropic: provider(at.url, key) },
    models: {},
    routing: routing(300),
  });
  gateway.reload(settings(first, 'sk-old'));
  const [ofFirst, ofSecond] = [first.requests.length, second.requests.length];
  first.next(failure(500));
  const asked = ask({ authorization: 'Bearer lsk_mine' });
  await until('the first attempt', () => first.requests.length === ofFirst + 1);
  gateway.reload(settings(second, 'sk-new'));
  assert.equal((await asked).status, 200);
  assert.equal(first.requests.length, ofFirst + 2);
  assert.ok(
    first.requests.slice(ofFirst).every(({ headers }) => headers['authorization'] === 'Bearer sk-old'),
  );
  assert.equal(second.requests.length, ofSecond);
  await ask({ authorization: 'Bearer lsk_mine' });
  assert.equal(second.requests.at(-1)!.headers['authorization'], 'Bearer sk-new');
  assert.equal(first.requests.length, ofFirst + 2);
});
