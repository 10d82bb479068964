import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { importGolden } from '../../evals/golden.ts';
import { checkerQuality } from '../../evals/probe/checker.ts';
import { probeAlertText } from '../../evals/probe/message.ts';
import { systemClock } from '../../src/clock.ts';
import { listAlerts } from '../../src/store/alerts.ts';
import { appendModelEvent } from '../../src/store/model-events.ts';
import { probeJobs, probesOf } from '../../src/store/probes.ts';
import { latestRuns } from '../../src/store/runs.ts';
import { runCli } from '../support/cli.ts';
import { suiteFolder } from '../support/eval-runs.ts';
import { startProbed } from '../support/probed.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import {
  type Answer,
  anthropicMessage,
  chatCompletion,
  json,
  type ProviderRequest,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/** Probes of a maker and of a checker through a real gateway, to a provider that does as the test says. */
const CAPITALS: Record<string, string> = {
  Austria: 'Vienna',
  Chile: 'Santiago',
  Ghana: 'Accra',
  Japan: 'Tokyo',
  Kenya: 'Nairobi',
  Norway: 'Oslo',
};
const DAY_MS = 86_400_000;
const RULES = 'Answer with the name of the city alone.';
const clock = systemClock();

const loopFile = (loop: string) => `loop: ${loop}
owner: platform
cache: { ttl_s: 3600 }
agents: [{ name: maker, role: maker }, { name: reviewer, role: checker, verdict: { json: $.pass } }]
`;
const suiteFile = (loop: string, probe: string) => `suite: ${loop}-golden
loop: ${loop}
dataset: capitals
detector: { arl: 100 }
probe: { schedule: "0 0 * * *", ${probe} }
`;
const explicit = 'request: { model: m, messages: [{ role: user, content: "{{input}}" }] }';
const SUITES = {
  capitals:
    'from: recorded, checker: { agent: reviewer, from: recorded }, key_env: PROBE_KEY, items_per_day: 12',
  'never-ran': 'from: recorded',
  failing: `${explicit}, items_per_day: 5`,
  'cut-off': `${explicit}, items_per_day: 40`,
  shared: `${explicit}, items_per_day: 20`,
  anthropic: `${explicit.replace('m,', 'claude, max_tokens: 9,')}, path: /v1/messages, key_env: OWN_KEY, items_per_day: 3`,
  slow: `${explicit}, items_per_day: 6, deadline_s: 1`,
};

interface Said {
  model: string;
  messages: { role: string; content: string }[];
}
const saidIn = (request: ProviderRequest) => JSON.parse(request.body.toString()) as Said;
const userText = (request: ProviderRequest) => saidIn(request).messages.at(-1)!.content;
const answerTo = (text: string) => CAPITALS[/of (\w+)\?/.exec(text)?.[1] ?? ''] ?? 'nowhere';
const question = (country: string) => `What is the capital of ${country}?`;
const toReview = (input: string, output: string) => `Question: ${input}\nAnswer: ${output}\nIs that right?`;

/** A maker that knows the capitals, and a checker that does unless it passes everything. */
const capitals =
  (passesAll = false): Answer =>
  (response, request) => {
    const text = userText(request);
    const shown = /Answer: (.*)/.exec(text)?.[1];
    const said =
      shown === undefined ? answerTo(text) : JSON.stringify({ pass: passesAll || shown === answerTo(text) });
    return json(chatCompletion(said))(response, request);
  };

let server: Awaited<ReturnType<typeof startTestStore>>;
let provider: ScriptedProvider;
let probed: Awaited<ReturnType<typeof startProbed>>;
let at: ReturnType<typeof suiteFolder>;

before(async () => {
  server = await startTestStore();
  provider = await startScriptedProvider(capitals());
  at = suiteFolder(
    Object.fromEntries(
      Object.entries(SUITES).map(([loop, probe]) => [`${loop}.yaml`, suiteFile(loop, probe)]),
    ),
    { env: { PROBE_KEY: 'lsk_probes', OPENAI_API_KEY: 'sk-configured', OWN_KEY: 'sk-ant-own' } },
  );
  mkdirSync(join(at.directory, 'loops'));
  for (const loop of Object.keys(SUITES)) at.write(`loops/${loop}.yaml`, loopFile(loop));
  const items = Object.entries(CAPITALS).map(([country, expected]) =>
    JSON.stringify({ input: question(country), expected }),
  );
  at.write('golden.jsonl', items.join('\n'));
  const { store } = server;
  await importGolden({ store, clock }, { path: join(at.directory, 'golden.jsonl'), dataset: 'capitals' });
  probed = await startProbed({
    store,
    config: at.config,
    keys: { lsk_probes: 'capitals' },
    providerUrl: provider.url,
  });
});
after(async () => {
  await probed.close();
  await provider.close();
  await server.close();
  at.remove();
});

/** Probes of one suite alone, after `days`. */
const look = (loop: string, { days = 0, signal }: { days?: number; signal?: AbortSignal } = {}) =>
  probed.probes({ only: `${loop}-golden`, now: clock.now() + days * DAY_MS, signal }).look();
const probesIn = (loop: string, kind: 'maker' | 'checker') =>
  probesOf(server.store, { suite: `${loop}-golden`, loop, kind });
const cli = (...argv: string[]) =>
  runCli([...argv, '--config', join(at.directory, 'loopscope.yaml')], {
    env: { LOOPSCOPE_CLICKHOUSE_URL: server.url },
  });
const jobsOf = (loop: string) => probeJobs(server.store, { suite: `${loop}-golden` });

async function call(agent: string, messages: Said['messages']) {
  const answer = await fetch(`${probed.gateway.url}/loops/capitals/agents/${agent}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-loop-run': 'run-1', authorization: 'Bearer sk-own' },
    body: JSON.stringify({ model: 'gpt-4o', temperature: 0, max_tokens: 50, messages }),
  });
  assert.equal(answer.status, 200);
  await answer.bytes();
}

test('a maker and its checker are asked in the words of the newest run, and the checker is caught when it passes all', async () => {
  const input = question('Ghana');
  await call('maker', [
    { role: 'system', content: RULES },
    { role: 'user', content: input },
  ]);
  await call('reviewer', [{ role: 'user', content: toReview(input, 'Accra') }]);
  await fetch(`${probed.gateway.url}/loops/capitals/runs/run-1/end`, { method: 'POST' });
  await probed.stored();
  const runs = await latestRuns(server.store, { loop: 'capitals', limit: 10 });
  assert.equal(runs.length, 1);
  provider.requests.length = 0;

  await look('capitals');
  const [job] = await jobsOf('capitals');
  assert.deepEqual(
    [job!.state, job!.planned, job!.answered, job!.errors, job!.message],
    ['done', 36, 36, 0, ''],
  );
  assert.equal(provider.requests.length, 36, 'not one was answered from the cache');
  const makers = provider.requests.filter((request) => saidIn(request).messages[0]!.role === 'system');
  assert.equal(makers.length, 12);
  for (const request of provider.requests) {
    assert.equal(request.headers.authorization, 'Bearer sk-configured', 'the virtual key went no further');
    assert.equal(request.headers['x-loop-probe'], undefined);
    assert.equal(saidIn(request).model, 'gpt-4o');
  }
  for (const request of makers) {
    assert.equal(saidIn(request).messages[0]!.content, RULES);
    assert.match(userText(request), /^What is the capital of \w+\?$/);
  }
  assert.ok((await probesIn('capitals', 'maker')).every(({ score }) => score === 1));
  const quality = checkerQuality(await probesIn('capitals', 'checker'));
  assert.deepEqual([quality.sensitivity?.rate, quality.specificity?.rate, quality.errors], [1, 1, 0]);
  await probed.stored();
  assert.deepEqual(
    await latestRuns(server.store, { loop: 'capitals', limit: 10 }),
    runs,
    'no run was added or changed',
  );
  assert.deepEqual(await listAlerts(server.store, { loop: 'capitals' }), []);

  const shown = await cli('probes', '--json');
  const [standing] = (JSON.parse(shown.stdout) as { probes: Record<string, unknown>[] }).probes.filter(
    ({ loop }) => loop === 'capitals',
  );
  assert.partialDeepStrictEqual(standing, {
    suite: 'capitals-golden',
    last: { state: 'done', planned: 36, answered: 36, errors: 0, message: '' },
    maker: { agent: 'maker', served_model: 'gpt-4o-2024-08-06', golden: { rate: 1, n: 12 }, errors: 0 },
    checker: { agent: 'reviewer', sensitivity: { rate: 1, n: 12 }, specificity: { rate: 1, n: 12 } },
  });
  assert.ok((standing!['cost_usd'] as number) > 0);

  const [first] = await probesIn('capitals', 'maker');
  const traced = await cli('trace', first!.trace_id);
  assert.equal(traced.code, 0);
  assert.match(traced.stdout, /chat gpt-4o/);

  provider.fallback = capitals(true);
  await look('capitals', { days: 1 });
  const [alert, ...others] = await listAlerts(server.store, { loop: 'capitals' });
  assert.equal(others.length, 0);
  assert.deepEqual(
    [alert!.kind, alert!.state, alert!.evidence['fault'], alert!.evidence['agent']],
    ['checker_drift', 'firing', 'passes_wrong', 'reviewer'],
  );
  assert.match(probeAlertText(alert!), /passes answers that are known to be wrong/);

  provider.fallback = capitals();
  await look('capitals', { days: 2 });
  assert.deepEqual(
    (await listAlerts(server.store, { loop: 'capitals' })).map(({ state }) => state),
    ['resolved'],
  );
});

test('what cannot be asked again is refused in words, and nothing is sent', async () => {
  provider.requests.length = 0;
  await look('never-ran');
  const [job] = await jobsOf('never-ran');
  assert.deepEqual([job!.state, job!.planned], ['failed', 0]);
  assert.match(job!.message, /agent maker of loop never-ran has made no call/);
  assert.equal(provider.requests.length, 0);
});

test('a probe that brings no answer is an error with its reason, and never a score of 0', async () => {
  provider.fallback = json({ error: { message: 'no', type: 'server_error', code: 'exploded' } }, 400);
  await look('failing');
  provider.fallback = capitals();
  const [job] = await jobsOf('failing');
  assert.deepEqual([job!.state, job!.planned, job!.answered, job!.errors], ['done', 5, 0, 5]);
  for (const { score, passed, error, trace_id } of await probesIn('failing', 'maker')) {
    assert.deepEqual([score, passed, error], [null, null, 'http_400: exploded']);
    assert.match(trace_id, /^[0-9a-f]{32}$/);
  }
});

test('a change of a model that no agent asks for asks nobody, and is over', async () => {
  provider.requests.length = 0;
  await appendModelEvent(server.store, {
    event_id: 'e-other',
    at: clock.now() - 1_000,
    kind: 'served_model_changed',
    loop: 'failing',
    provider: 'openai',
    model: 'other-2',
    requested_model: 'other',
    served_model: 'other-2',
    previous_model: 'other-1',
    retires_at: null,
    replacement: '',
    source: '',
    trace_id: '',
  });
  await look('failing');
  await look('failing');
  const changes = (await jobsOf('failing')).filter(({ reason }) => reason === 'model_change');
  assert.deepEqual(
    changes.map(({ state, planned }) => [state, planned]),
    [['done', 0]],
  );
  assert.match(changes[0]!.message, /does not ask for other/);
  assert.equal(provider.requests.length, 0);
});

test('a maker that speaks Anthropic’s API is asked in it, with the key where its SDKs put it', async () => {
  provider.requests.length = 0;
  provider.fallback = (response, request) =>
    json(anthropicMessage(answerTo(userText(request))))(response, request);
  await look('anthropic');
  provider.fallback = capitals();
  const probes = await probesIn('anthropic', 'maker');
  assert.deepEqual(
    probes.map(({ score, error }) => [score, error]),
    [1, 2, 3].map(() => [1, '']),
  );
  for (const { url, headers } of provider.requests)
    assert.deepEqual([url, headers['x-api-key']], ['/v1/messages', 'sk-ant-own']);
});

test('a job that is cut off asks the rest after the next start, and each probe is there once', async () => {
  provider.requests.length = 0;
  const stopping = new AbortController();
  const cut = look('cut-off', { signal: stopping.signal });
  await until('some were asked', () => provider.requests.length > 5);
  stopping.abort();
  await cut;
  const before = (await probesIn('cut-off', 'maker')).length;
  assert.ok(before < 40);
  assert.deepEqual(
    (await jobsOf('cut-off')).map(({ state }) => state),
    ['started'],
  );
  await look('cut-off');
  await look('cut-off');
  const probes = await probesIn('cut-off', 'maker');
  assert.equal(new Set(probes.map(({ run_id }) => run_id)).size, 40);
  const [job] = await jobsOf('cut-off');
  assert.deepEqual([job!.state, job!.planned, job!.answered], ['done', 40, 40]);
  assert.ok(provider.requests.length <= 44, 'at most those that were under way were asked again');
});

test('what is not answered by the deadline is left out, and the job says how many', async () => {
  provider.fallback = () => {};
  await look('slow');
  provider.fallback = capitals();
  const [job] = await jobsOf('slow');
  assert.deepEqual([job!.state, job!.planned, job!.answered, job!.errors], ['done', 6, 0, 0]);
  assert.match(job!.message, /^6 were left out: .* probe\.deadline_s/);
});

test('of several evaluators that share a Redis one asks, and the others do not', {
  skip: redisMissing,
}, async () => {
  const redis = await TestRedis.start();
  const stopping = new AbortController();
  provider.requests.length = 0;
  const { signal } = stopping;
  const evaluators = [1, 2, 3].map(() =>
    probed.probes({ only: 'shared-golden', redisUrl: redis.url, signal }).run(),
  );
  await until(
    'the job is over',
    async () => (await jobsOf('shared')).some(({ state }) => state === 'done'),
    30_000,
  );
  stopping.abort();
  await Promise.all(evaluators);
  await redis.close();
  assert.equal(provider.requests.length, 20);
  assert.equal((await probesIn('shared', 'maker')).length, 20);
});
