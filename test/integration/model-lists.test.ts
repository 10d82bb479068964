import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import pino from 'pino';
import { createMetrics } from '../../evals/metrics.ts';
import type { Retirement } from '../../evals/models/calendar.ts';
import { modelListOf } from '../../evals/models/model-list.ts';
import { openSources } from '../../evals/models/sources.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { buffer } from '../support/cli.ts';
import { type ListAnswer, startModelList } from '../support/model-list.ts';

const KEYS = { OPENAI_API_KEY: 'sk-openai', ANTHROPIC_API_KEY: 'sk-anthropic' };

const list = async (t: TestContext, answer: (url: URL, n: number) => ListAnswer) => {
  const server = await startModelList(answer);
  t.after(() => server.close());
  return server;
};

/** Sources of the given settings; `logged` is what was written to the log. */
function sources(
  t: TestContext,
  settings: string,
  { env = KEYS, remembered = [] }: { env?: Record<string, string>; remembered?: Retirement[] } = {},
) {
  const directory = mkdtempSync(join(tmpdir(), 'loopscope-models-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const write = (file: string, text: string) => writeFileSync(join(directory, file), text);
  write('loopscope.yaml', settings);
  const config = loadConfig(join(directory, 'loopscope.yaml'), env);
  const log = buffer();
  const metrics = createMetrics();
  const { signal } = new AbortController();
  const opened = openSources(
    { config, clock: systemClock(), metrics, log: pino({}, log), signal },
    remembered,
  );
  const find = (provider: string, model: string) => opened.current().find(provider, model);
  return { ...opened, find, write, metrics: () => metrics.render(), logged: () => log.text() };
}

/** Both providers of the defaults at the same server, Anthropic below a path of its own. */
const providers = (url: string) => `providers:
  openai: { base_url: "${url}/v1", api_key_env: OPENAI_API_KEY }
  anthropic: { base_url: "${url}/anthropic", api_key_env: ANTHROPIC_API_KEY }
`;

const model = (id: string, shutdown_date?: string | null) => ({ id, object: 'model', shutdown_date });
const openaiList = (...models: ReturnType<typeof model>[]) => ({ object: 'list', data: models });
const NONE = { data: [], has_more: false, first_id: null, last_id: null };

test('dates come out of a provider’s list, each provider asked in its own way and with its own key', async (t) => {
  const server = await list(t, ({ pathname }) => ({
    body:
      pathname === '/v1/models'
        ? openaiList(model('gpt-x', '2027-03-01'), model('gpt-y', null), model('gpt-z'), model('odd', 'soon'))
        : NONE,
  }));
  const { refresh, find, metrics } = sources(t, providers(server.url));
  await refresh();
  assert.equal(find('openai', 'gpt-x')!.retires_at, '2027-03-01');
  assert.equal(find('openai', 'gpt-x')!.source, `${server.url}/v1/models`);
  for (const undated of ['gpt-y', 'gpt-z', 'odd']) assert.equal(find('openai', undated), undefined);
  const [openai, anthropic] = server.requests.toSorted((a, b) => (a.url < b.url ? 1 : -1));
  assert.equal(openai!.url, '/v1/models');
  assert.equal(openai!.headers.authorization, 'Bearer sk-openai');
  assert.equal(anthropic!.url, '/anthropic/v1/models?limit=1000');
  assert.equal(anthropic!.headers['x-api-key'], 'sk-anthropic');
  assert.equal(anthropic!.headers['anthropic-version'], '2023-06-01');
  assert.equal(anthropic!.headers.authorization, undefined);
  assert.match(metrics(), /model_polls_total\{provider="openai",outcome="read"\} 1/);
});

test('a list in pages is read to its end', async (t) => {
  const pages: Record<string, unknown> = {
    '': { data: [model('claude-a', '2027-01-01')], has_more: true, last_id: 'claude-a' },
    'claude-a': { data: [model('claude-b', '2027-02-01')], has_more: false, last_id: 'claude-b' },
  };
  const server = await list(t, ({ pathname, searchParams }) => ({
    body: pathname === '/v1/models' ? openaiList() : pages[searchParams.get('after_id') ?? ''],
  }));
  const { refresh, find } = sources(t, providers(server.url));
  await refresh();
  assert.equal(find('anthropic', 'claude-a')!.retires_at, '2027-01-01');
  assert.equal(find('anthropic', 'claude-b')!.retires_at, '2027-02-01');
});

const failures: [what: string, answer: ListAnswer][] = [
  ['an error', { status: 500, body: 'oops' }],
  ['a redirect', { status: 302, headers: { location: 'http://127.0.0.1:1/' }, body: '' }],
  ['what is no JSON', { body: '<html>' }],
  ['JSON of another shape', { body: { data: 'none' } }],
  ['an answer without an end', { body: ' '.repeat(9_000_000) }],
];
for (const [what, failure] of failures)
  test(`${what} is counted, and takes back no date that was said before`, async (t) => {
    const server = await list(t, (_, n) => ({
      ...(n === 0 ? { body: openaiList(model('gpt-x', '2027-03-01')) } : failure),
    }));
    const { refresh, find, metrics, logged } = sources(t, providers(server.url), {
      env: { OPENAI_API_KEY: 'sk-openai' },
    });
    await refresh();
    await refresh();
    assert.equal(find('openai', 'gpt-x')!.retires_at, '2027-03-01');
    assert.match(metrics(), /model_polls_total\{provider="openai",outcome="failed"\} 1/);
    assert.doesNotMatch(logged(), /sk-openai/);
    assert.ok(server.requests.every(({ url }) => url.startsWith('/v1/models')));
  });

const remembered = (facts: Partial<Retirement>): Retirement => ({
  origin: 'list',
  provider: 'openai',
  model: 'gpt-x',
  retires_at: '2027-03-01',
  replacement: '',
  source: 'https://example.com/v1/models',
  checked_at: '2026-11-01',
  ...facts,
});

test('what a list said before the start holds until the list is read again', async (t) => {
  let answer: ListAnswer = { status: 503, body: '' };
  const server = await list(t, () => answer);
  const { refresh, find } = sources(t, providers(server.url), {
    remembered: [remembered({}), remembered({ provider: 'gone', model: 'z' })],
  });
  assert.equal(find('gone', 'z'), undefined);
  await refresh();
  assert.equal(find('openai', 'gpt-x')!.retires_at, '2027-03-01');
  answer = { body: openaiList() };
  await refresh();
  assert.equal(find('openai', 'gpt-x'), undefined);
});

test('what the operator’s calendar said before the start holds while it cannot be read, and while it is in the settings', async (t) => {
  const before = { env: {}, remembered: [remembered({ origin: 'settings' })] };
  const { refresh, find } = sources(t, 'model_watch: { calendar: mine.json }', before);
  await refresh();
  assert.equal(find('openai', 'gpt-x')!.retires_at, '2027-03-01');
  assert.equal(sources(t, '', before).find('openai', 'gpt-x'), undefined);
});

test('a provider without a key is not asked, which is said once', async (t) => {
  const server = await list(t, () => ({ body: openaiList() }));
  const { refresh, logged } = sources(t, providers(server.url), { env: {} });
  await refresh();
  await refresh();
  assert.equal(server.requests.length, 0);
  assert.equal(logged().match(/"provider":"openai"/g)!.length, 1);
  assert.equal(logged().match(/"provider":"anthropic"/g)!.length, 1);
});

test('pages that do not end are given up', async (t) => {
  const pages: [reason: RegExp, last_id: (n: number) => string][] = [
    [/malformed/, () => 'same'],
    [/too_many_pages/, (n) => `model-${n}`],
  ];
  for (const [reason, lastId] of pages) {
    const server = await list(t, (_, n) => ({ body: { data: [], has_more: true, last_id: lastId(n) } }));
    const { refresh, logged } = sources(t, providers(server.url), {
      env: { ANTHROPIC_API_KEY: 'sk-anthropic' },
    });
    await refresh();
    assert.ok(server.requests.length <= 20);
    assert.match(logged(), reason);
  }
});

test('a list is asked for as the provider’s settings say, under the name that its calls have', () => {
  const settings = { api_key: 'k', api_key_env: 'K' };
  assert.deepEqual(modelListOf('work', { ...settings, base_url: 'https://api.openai.com/v1' }), {
    provider: 'openai',
    url: 'https://api.openai.com/v1/models',
    query: {},
    headers: { authorization: 'Bearer k' },
    isPaged: false,
  });
  const azure = modelListOf('azure', {
    ...settings,
    base_url: 'https://n.openai.azure.com/openai/v1',
    api_key_header: 'api-key',
    query: { 'api-version': '1' },
  })!;
  assert.deepEqual([azure.headers, azure.query], [{ 'api-key': 'k' }, { 'api-version': '1' }]);
  const zai = modelListOf('zai', { ...settings, base_url: 'https://z.example', api: 'anthropic' })!;
  assert.deepEqual([zai.provider, zai.url, zai.isPaged], ['zai', 'https://z.example/v1/models', true]);
  assert.equal(modelListOf('x', { ...settings, api_key: '', base_url: 'https://x.example' }), undefined);
});

const entry = (retires_at: string) => ({
  models: [
    {
      provider: 'openai',
      model: 'gpt-x',
      retires_at,
      replacement: 'gpt-y',
      source: 'https://example.com/deprecations',
      checked_at: '2026-11-26',
    },
  ],
});

test('the operator’s calendar is read from a file and kept as it was while it is not valid', async (t) => {
  const { refresh, find, write, metrics, logged } = sources(t, 'model_watch: { calendar: mine.json }', {
    env: {},
  });
  await refresh();
  assert.equal(find('openai', 'gpt-x'), undefined);
  write('mine.json', JSON.stringify(entry('2027-03-01')));
  await refresh();
  assert.deepEqual(
    [find('openai', 'gpt-x')!.retires_at, find('openai', 'gpt-x')!.origin],
    ['2027-03-01', 'settings'],
  );
  write('mine.json', JSON.stringify(entry('next year')));
  await refresh();
  assert.equal(find('openai', 'gpt-x')!.retires_at, '2027-03-01');
  assert.match(metrics(), /model_calendar_failures_total 2/);
  assert.match(logged(), /models\.0\.retires_at/);
});

test('the operator’s calendar is read from a URL, and no redirect is followed', async (t) => {
  let answer: ListAnswer = { body: entry('2027-03-01') };
  const server = await list(t, () => answer);
  const { refresh, find, metrics } = sources(t, `model_watch: { calendar: "${server.url}/calendar.json" }`, {
    env: {},
  });
  await refresh();
  assert.equal(find('openai', 'gpt-x')!.replacement, 'gpt-y');
  answer = { status: 301, headers: { location: `${server.url}/other.json` }, body: '' };
  await refresh();
  assert.deepEqual(
    server.requests.map(({ url }) => url),
    ['/calendar.json', '/calendar.json'],
  );
  assert.match(metrics(), /model_calendar_failures_total 1/);
});

test('a calendar comes from where nobody can change it on the way, or the settings are refused', (t) => {
  for (const calendar of ['http://example.com/c.json', 'ftp://example.com/c.json', 'http://localhost.evil/c'])
    assert.throws(
      () => sources(t, `model_watch: { calendar: "${calendar}" }`),
      /expected a file, an https URL/,
    );
  for (const calendar of ['https://example.com/c.json', 'http://[::1]:8080/c.json', 'deploy/calendar.json'])
    sources(t, `model_watch: { calendar: "${calendar}" }`);
});
