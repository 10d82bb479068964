import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { pino } from 'pino';
import { loadConfig } from '../../src/config.ts';
import { LimitRule } from '../../src/gateway/limits/settings.ts';
import { ModelSettings } from '../../src/gateway/routing/settings.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import { type CliResult, runCli } from '../support/cli.ts';
import {
  registryOf,
  startTestGateway,
  type TestGateway,
  type TestGatewayOptions,
} from '../support/gateway.ts';
import { redisMissing, TestRedis } from '../support/redis.ts';
import {
  anthropicMessage,
  chatCompletion,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import { until } from '../support/until.ts';

/** Budgets, rates and the kill switch on the way of real calls, as the official clients meet them. */
const CALLERS = 200;
/** Output costs a dollar a hundred thousand tokens, input nothing: a call of 100 tokens at most reserves $0.001. */
const PRICE = { model: 'm', input_usd_per_mtok: 0, output_usd_per_mtok: 10 };
const TOKENS_MAX = 100;
const question = (content = 'hi') => ({
  model: 'm',
  max_tokens: TOKENS_MAX,
  messages: [{ role: 'user' as const, content }],
});
/** As many as the gateway reckons with: a token for four bytes. */
const INPUT_TOKENS = Math.ceil(Buffer.byteLength(JSON.stringify(question())) / 4);
const answerOf = (outputTokens: number, inputTokens = INPUT_TOKENS) =>
  json(
    chatCompletion('four', {
      model: 'm',
      usage: {
        prompt_tokens: inputTokens,
        completion_tokens: outputTokens,
        total_tokens: inputTokens + outputTokens,
      },
    }),
  );

let provider: ScriptedProvider;
let gateways: TestGateway[] = [];

before(async () => {
  provider = await startScriptedProvider(answerOf(TOKENS_MAX));
});
beforeEach(() => {
  provider.requests.length = 0;
  provider.fallback = answerOf(TOKENS_MAX);
});
afterEach(async () => {
  await Promise.all(gateways.map((gateway) => gateway.close()));
  gateways = [];
});
after(() => provider.close());

const { routing } = loadConfig(undefined, {});

type Written = Record<string, unknown>;
const rules = (...written: Written[]) => written.map((rule) => LimitRule.parse(rule));

async function start(limits: Written[], options: Partial<TestGatewayOptions> = {}): Promise<TestGateway> {
  const gateway = await startTestGateway({
    providerUrl: provider.url,
    ...options,
    config: { prices: [PRICE], limits: rules(...limits), ...options.config },
  });
  gateways.push(gateway);
  return gateway;
}

/** With the client's own retries: what is tried again in vain would be seen. */
const client = ({ url }: { url: string }, loop: string, headers: Record<string, string> = {}) =>
  new OpenAI({ apiKey: 'sk-own', baseURL: `${url}/loops/${loop}/v1`, defaultHeaders: headers });
const impatient = (gateway: { url: string }, loop: string, headers?: Record<string, string>) =>
  client(gateway, loop, headers).withOptions({ maxRetries: 0 });

type Refusal = InstanceType<typeof OpenAI.APIError>;
/** What a call comes to: nothing where it was answered. */
const ask = (openai: OpenAI, content?: string): Promise<Refusal | undefined> =>
  openai.chat.completions.create(question(content)).then(
    () => undefined,
    (error: unknown) => {
      assert.ok(error instanceof OpenAI.APIError, String(error));
      return error;
    },
  );

async function askAtOnce(clients: OpenAI[], n = CALLERS): Promise<{ answered: number; refusals: Refusal[] }> {
  const outcomes = await Promise.all(Array.from({ length: n }, (_, i) => ask(clients[i % clients.length]!)));
  const refusals = outcomes.filter((outcome) => outcome !== undefined);
  return { answered: n - refusals.length, refusals };
}

async function figure({ url }: { url: string }, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => new RegExp(`^loopscope_${name}(\\{.*\\})? `).test(line));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Budgets of ten calls, and how they say that they are used up. */
const TENS: readonly [what: string, max: Written, says: RegExp][] = [
  ['calls', { calls: 10 }, /may use 10 calls a month; 10 are used or reserved, and this call may take 1\b/],
  [
    'cost',
    { cost_usd: 0.01 },
    /may use \$0\.01 a month; \$0\.01 is used or reserved, and this call may take \$0\.001/,
  ],
  [
    'tokens',
    { tokens: 10 * (INPUT_TOKENS + TOKENS_MAX) + TOKENS_MAX },
    /may use \d+ tokens a month; \d+ are used or reserved, and this call may take \d+/,
  ],
];

function checkRefusal(refusal: Refusal, says: RegExp): void {
  assert.ok(refusal instanceof OpenAI.RateLimitError);
  assert.equal(refusal.status, 429);
  assert.equal(refusal.code, 'budget_exceeded');
  assert.match(refusal.message, says);
  assert.match(refusal.message, /It begins anew at \d{4}-\d\d-01T00:00:00\.000Z; or raise the limit/);
  assert.equal(refusal.headers!.get('x-should-retry'), 'false');
  assert.ok(Number(refusal.headers!.get('retry-after')) > 0);
}

for (const [what, max, says] of TENS) {
  test(`of ${CALLERS} callers at once ten pass a budget of ten calls, counted in ${what}`, async () => {
    const gateway = await start([{ scope: 'loop', window: 'month', max }]);
    const { answered, refusals } = await askAtOnce([client(gateway, 'ten')]);
    assert.equal(answered, 10);
    assert.equal(provider.requests.length, 10);
    assert.equal(refusals.length, CALLERS - 10);
    for (const refusal of refusals) checkRefusal(refusal, says);
    // None came back: a budget that is used up is not worth a second try.
    assert.equal(await figure(gateway, 'limits_refused_total'), CALLERS - 10);
    assert.equal(await figure(gateway, 'limits_under_way'), 0);
    const spans = await gateway.spansOf('ten', CALLERS, 'call');
    assert.equal(spans.filter((s) => s.attributes[A.errorType] === 'budget_exceeded').length, CALLERS - 10);
    assert.equal(await ask(client(gateway, 'another')), undefined, 'another loop has a budget of its own');
  });
}

test('Anthropic’s client understands a budget that is used up', async () => {
  provider.fallback = json(anthropicMessage('four'));
  const gateway = await start([{ scope: 'loop', window: 'month', max: { calls: 1 } }]);
  const anthropic = new Anthropic({ apiKey: 'sk-own', baseURL: `${gateway.url}/loops/claude/anthropic` });
  await anthropic.messages.create(question());
  const refusal = await anthropic.messages.create(question()).then(
    () => assert.fail('expected a refusal'),
    (error: unknown) => error,
  );
  assert.ok(refusal instanceof Anthropic.RateLimitError);
  assert.match(refusal.message, /may use 1 calls? a month/);
  assert.equal(refusal.headers!.get('x-should-retry'), 'false');
  assert.equal(await figure(gateway, 'limits_refused_total'), 1);
});

test('what a call took less than it might have is there for others', async () => {
  provider.fallback = answerOf(TOKENS_MAX / 2);
  const gateway = await start([{ scope: 'loop', window: 'month', max: { cost_usd: 0.01 } }]);
  let answered = 0;
  while ((await ask(impatient(gateway, 'half'))) === undefined) answered++;
  // After 18 calls of half a tenth of a cent each, one more that may take a whole one still fits.
  assert.equal(answered, 19);
});

test('a caller that hangs up is counted as it was reserved, one that a provider refuses costs nothing', async () => {
  const gateway = await start([{ scope: 'loop', window: 'month', max: { cost_usd: 0.002 } }]);
  provider.next(json({ error: { message: 'no', type: 'invalid_request_error' } }, 400), () => {});
  assert.equal((await ask(impatient(gateway, 'left')))?.status, 400);
  const leaving = new AbortController();
  const left = impatient(gateway, 'left').chat.completions.create(question(), { signal: leaving.signal });
  await until('the call to be made', () => provider.requests.length === 2);
  leaving.abort();
  await assert.rejects(left);
  await until('it to be settled', async () => (await figure(gateway, 'limits_unknown_total')) === 1);
  assert.equal(await ask(impatient(gateway, 'left')), undefined);
  assert.equal((await ask(impatient(gateway, 'left')))?.code, 'budget_exceeded');
});

test('in audit mode all pass, and what would have been refused is counted', async () => {
  const gateway = await start([{ scope: 'loop', window: 'month', max: { calls: 10 }, mode: 'audit' }]);
  const { answered } = await askAtOnce([client(gateway, 'audited')], 30);
  assert.equal(answered, 30);
  assert.equal(await figure(gateway, 'limits_audited_total'), 20);
  assert.equal(await figure(gateway, 'limits_refused_total'), 0);
});

test('a limit that is nearly used up is in the log at 50, 75 and 90 %, once each', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const gateway = await start([{ scope: 'loop', window: 'month', max: { calls: 20 } }], { log });
  await askAtOnce([client(gateway, 'warned')], 20);
  const warnings = lines.map((line) => JSON.parse(line)).filter(({ percent }) => percent !== undefined);
  assert.deepEqual(
    warnings.map(({ subject, what, percent, used, max }) => [subject, what, percent, used, max]),
    [
      ['warned', 'calls', 50, 10, 20],
      ['warned', 'calls', 75, 15, 20],
      ['warned', 'calls', 90, 18, 20],
    ],
  );
});

test('a rate is a limit that can be tried again', async () => {
  const gateway = await start([{ scope: 'loop', window: 'minute', max: { calls: 3 } }]);
  const { answered, refusals } = await askAtOnce([impatient(gateway, 'rated')], 20);
  // As many again where a minute began meanwhile.
  assert.ok(answered === 3 || answered === 6, `${answered} answered`);
  const refusal = refusals[0]!;
  assert.equal(refusal.code, 'rate_limited');
  assert.match(refusal.message, /loop "rated" may use 3 calls a minute; 3 are used or reserved/);
  assert.equal(refusal.headers!.get('x-should-retry'), 'true');
  const afterS = Number(refusal.headers!.get('retry-after'));
  assert.ok(afterS >= 1 && afterS <= 60);
});

const virtual = (...models: string[]) => ({
  models: { quick: ModelSettings.parse({ targets: models.map((model) => ({ provider: 'openai', model })) }) },
});
const askQuick = (openai: OpenAI) =>
  openai.chat.completions.create({ ...question(), model: 'quick' }).then(
    () => undefined,
    (error: unknown) => error as Refusal,
  );
const modelsAsked = () => provider.requests.map(({ body }) => JSON.parse(body.toString()).model);

test('a virtual model goes on to the next target where the limit of the first is reached', async () => {
  const limit = (name: string, calls: number) => ({ scope: 'model', name, window: 'month', max: { calls } });
  const gateway = await start([limit('openai/m', 2), limit('openai/n', 1)], { config: virtual('m', 'n') });
  for (let i = 0; i < 3; i++) assert.equal(await askQuick(impatient(gateway, 'quick')), undefined);
  assert.deepEqual(modelsAsked(), ['m', 'm', 'n']);
  const refusal = await askQuick(impatient(gateway, 'quick'));
  assert.equal(refusal?.code, 'budget_exceeded');
  assert.match(refusal!.message, /model "openai\/n" may use 1 calls? a month/);
  assert.ok(Number(refusal!.headers!.get('retry-after')) > 0);
  assert.equal(provider.requests.length, 3);
  assert.equal(await figure(gateway, 'limits_under_way'), 0);
});

test('after a failure the limit of the target that answers is used, and that of the other given back', async () => {
  const limit = (name: string) => ({ scope: 'model', name, window: 'month', max: { cost_usd: 0.001 } });
  const gateway = await start([limit('openai/m'), limit('openai/n')], {
    config: {
      ...virtual('m', 'n'),
      prices: [PRICE, { ...PRICE, model: 'n' }],
      routing: { ...routing, retries: { max: 1 } },
    },
  });
  provider.next(json({ error: { message: 'down' } }, 503));
  assert.equal(await askQuick(impatient(gateway, 'failed-over')), undefined);
  assert.deepEqual(modelsAsked(), ['m', 'n']);
  assert.equal(await ask(impatient(gateway, 'failed-over')), undefined, 'm was given back');
  assert.equal((await ask(impatient(gateway, 'failed-over')))?.code, 'budget_exceeded');
});

test(`${CALLERS} callers of a virtual model do not overshoot a budget, whichever target they get`, async () => {
  const prices = [PRICE, { ...PRICE, model: 'n', output_usd_per_mtok: 1 }];
  const gateway = await start([{ scope: 'loop', window: 'month', max: { cost_usd: 0.01 } }], {
    config: { ...virtual('m', 'n'), prices },
  });
  const openai = client(gateway, 'dear');
  const outcomes = await Promise.all(Array.from({ length: CALLERS }, () => askQuick(openai)));
  const answered = outcomes.filter((refusal) => refusal === undefined).length;
  const count = (model: string) => modelsAsked().filter((asked) => asked === model).length;
  assert.equal(answered, count('m') + count('n'));
  const spentNano = count('m') * 1_000_000 + count('n') * 100_000;
  assert.ok(spentNano <= 10_000_000, `${spentNano} nano-dollars`);
  assert.ok(answered >= 10, `${answered} answered`);
});

/** One call at a time fits, and what calls really take does not use the minute up. */
const ONE_AT_A_TIME = INPUT_TOKENS + TOKENS_MAX * 1.8;

test('calls wait for their turn, and a loop with many of them does not starve one with few', async () => {
  provider.fallback = answerOf(1, 1);
  const gateway = await start([
    { scope: 'provider', window: 'minute', max: { tokens: Math.floor(ONE_AT_A_TIME) }, wait_s: 60 },
  ]);
  const many = Array.from({ length: 20 }, () => ask(impatient(gateway, 'many'), 'many'));
  await until('many to wait', async () => (await figure(gateway, 'limits_waiting')) >= 15);
  const few = Array.from({ length: 3 }, () => ask(impatient(gateway, 'few'), 'few'));
  const outcomes = await Promise.all([...many, ...few]);
  assert.deepEqual(
    outcomes.filter((outcome) => outcome !== undefined),
    [],
  );
  const order = provider.requests.map(({ body }) => (body.includes('few') ? 'few' : 'many'));
  assert.equal(order.length, 23);
  const lastFew = order.lastIndexOf('few');
  const manyAfter = order.slice(lastFew).filter((loop) => loop === 'many').length;
  assert.ok(manyAfter >= 5, `in the order ${order.join(' ')}`);
  assert.ok((await figure(gateway, 'limits_waited_total')) >= 15);
});

test('a caller that hangs up while it waits is out of the queue, and no provider hears of it', async () => {
  const held = Promise.withResolvers<void>();
  provider.next(async (response, asked) => {
    await held.promise;
    await answerOf(1, 1)(response, asked);
  });
  const gateway = await start([
    { scope: 'loop', window: 'minute', max: { tokens: Math.floor(ONE_AT_A_TIME) }, wait_s: 60 },
  ]);
  const first = ask(impatient(gateway, 'queue'));
  await until('the first call to be made', () => provider.requests.length === 1);
  const leaving = new AbortController();
  const second = impatient(gateway, 'queue').chat.completions.create(question(), { signal: leaving.signal });
  await until('the second to wait', async () => (await figure(gateway, 'limits_waiting')) === 1);
  leaving.abort();
  await assert.rejects(second);
  await until('the queue to be empty', async () => (await figure(gateway, 'limits_waiting')) === 0);
  held.resolve();
  assert.equal(await first, undefined);
  const spans = await gateway.spansOf('queue', 2, 'call');
  assert.ok(spans.some((s) => s.attributes[A.errorType] === 'client_disconnected'));
  assert.equal(provider.requests.length, 1);
  assert.equal(await figure(gateway, 'limits_under_way'), 0);
});

const loopWith = (loop: string, calls: number) =>
  LoopDefinition.parse({ loop, owner: 'us', limits: [{ window: 'month', max: { calls } }] });

test('a loop’s own file limits that loop; when it changes, what was used stays used', async () => {
  let current = registryOf([loopWith('filed', 3)]);
  const gateway = await start([], { registry: () => current });
  const passes = async (n: number) => {
    const { answered } = await askAtOnce([impatient(gateway, 'filed')], n);
    return answered;
  };
  assert.equal(await passes(10), 3);
  assert.equal((await askAtOnce([impatient(gateway, 'free')], 10)).answered, 10);
  current = registryOf([loopWith('filed', 5)]);
  assert.equal(await passes(10), 2);
  current = registryOf([]);
  assert.equal(await passes(10), 10);
  current = registryOf([loopWith('filed', 15)]);
  assert.equal(await passes(20), 15 - 5, 'calls without a limit are not counted');
});

test('settings that change hold for the next calls', async () => {
  const gateway = await start([{ scope: 'loop', window: 'month', max: { calls: 1 } }]);
  assert.equal((await askAtOnce([impatient(gateway, 'set')], 5)).answered, 1);
  const settings = loadConfig(undefined, {});
  const providers = {
    ...settings.providers,
    openai: { ...settings.providers['openai']!, base_url: `${provider.url}/v1` },
  };
  gateway.reload({
    ...settings,
    providers,
    limits: rules({ scope: 'loop', window: 'month', max: { calls: 3 } }),
  });
  assert.equal((await askAtOnce([impatient(gateway, 'set')], 5)).answered, 2);
});

describe('on gateways that share Redis', { skip: redisMissing }, () => {
  let redis: TestRedis;
  before(async () => {
    redis = await TestRedis.start();
  });
  beforeEach(async () => {
    if (!redis.isRunning) await redis.restart();
    await redis.flush();
  });
  after(() => redis.close());

  const sharing = (limits: Written[], config: TestGatewayOptions['config'] = {}) =>
    start(limits, { config: { redis_url: redis.url, ...config } });

  for (const [what, max, says] of TENS) {
    test(`of ${CALLERS} callers at two of them ten pass a budget of ten calls, counted in ${what}`, async () => {
      const limits = [{ scope: 'loop', window: 'month', max }];
      const both = [await sharing(limits), await sharing(limits)];
      const { answered, refusals } = await askAtOnce(both.map((gateway) => client(gateway, 'ten')));
      assert.equal(answered, 10);
      assert.equal(provider.requests.length, 10);
      for (const refusal of refusals) checkRefusal(refusal, says);
    });
  }

  const TEN = [{ scope: 'loop', window: 'month', max: { calls: 10 } }];

  test('while Redis is away calls are denied so that they can be tried again; its counts survive', async () => {
    const gateway = await sharing(TEN);
    assert.equal((await askAtOnce([impatient(gateway, 'away')], 4)).answered, 4);
    await redis.kill();
    const refusal = await until('a refusal', () => ask(impatient(gateway, 'away')));
    assert.ok(refusal instanceof OpenAI.InternalServerError);
    assert.equal(refusal.status, 503);
    assert.equal(refusal.code, 'limits_unavailable');
    assert.equal(refusal.headers!.get('x-should-retry'), 'true');
    await redis.restart();
    await until('a call to pass', async () => (await ask(impatient(gateway, 'away'))) === undefined);
    const { answered } = await askAtOnce([impatient(gateway, 'away')], 20);
    assert.equal(answered, 10 - 4 - 1);
  });

  test('while Redis is away calls are allowed where that was chosen, and count once it is back', async () => {
    const gateway = await sharing(TEN, { limits_when_store_away: 'allow' });
    assert.equal((await askAtOnce([impatient(gateway, 'open')], 4)).answered, 4);
    await redis.kill();
    assert.equal((await askAtOnce([impatient(gateway, 'open')], 3)).answered, 3);
    assert.equal(await figure(gateway, 'limits_allowed_away_total'), 3);
    await redis.restart();
    await until('calls to be counted again', async () => {
      const allowed = await figure(gateway, 'limits_allowed_away_total');
      await ask(impatient(gateway, 'other'));
      return (await figure(gateway, 'limits_allowed_away_total')) === allowed;
    });
    await until('what is owed to be settled', async () => (await figure(gateway, 'limits_owed')) === 0);
    assert.equal((await askAtOnce([impatient(gateway, 'open')], 20)).answered, 10 - 4 - 3);
  });

  test('`loopscope kill` reaches both, and both know when they are started anew', async () => {
    const loopscope = cliIn({ LOOPSCOPE_REDIS_URL: redis.url });
    const both = [await sharing([]), await sharing([])];
    assert.equal((await loopscope('kill', 'bad')).code, 0);
    for (const gateway of both) await refusedAsKilled(gateway, 'bad');
    assert.equal(await ask(impatient(both[0]!, 'good')), undefined);
    await refusedAsKilled(await sharing([]), 'bad');
    assert.deepEqual(JSON.parse((await loopscope('kill', '--list', '--json')).stdout), {
      kills: [{ loop: 'bad', run: null }],
    });
    assert.equal((await loopscope('revive', 'bad')).code, 0);
    for (const gateway of both)
      await until('it to be revived', async () => (await ask(impatient(gateway, 'bad'))) === undefined);
  });

  test('without Redis `loopscope kill` fails, and says so', async () => {
    await redis.kill();
    const { code, stderr } = await cliIn({ LOOPSCOPE_REDIS_URL: redis.url })('kill', 'bad');
    assert.equal(code, 1);
    assert.match(stderr, /redis_url.*does not answer/);
  });
});

function cliIn(env: Record<string, string>) {
  return (...argv: string[]): Promise<CliResult> =>
    runCli(argv, { env: { LOOPSCOPE_LOG_LEVEL: 'silent', ...env } });
}

/** Within a second, and its run is in the message where it is one. */
async function refusedAsKilled(gateway: TestGateway, loop: string, run?: string): Promise<void> {
  const openai = client(gateway, loop, run === undefined ? {} : { 'x-loop-run': run });
  const refusal = await until(`${loop} to be refused`, () => ask(openai));
  assert.ok(refusal instanceof OpenAI.PermissionDeniedError);
  assert.equal(refusal.code, 'loop_killed');
  assert.match(
    refusal.message,
    run === undefined ? /^403 Loop "/ : new RegExp(`Run "${run}" of loop "${loop}"`),
  );
  assert.equal(refusal.headers!.get('x-should-retry'), 'false');
}

test('`loopscope kill` stops a loop within a second, others go on, and a restart changes nothing', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'loopscope-kill-'));
  const folder = join(dataDir, 'gateway');
  const loopscope = cliIn({ LOOPSCOPE_DATA_DIR: dataDir });
  try {
    const gateway = await start([], { folder });
    assert.equal(await ask(impatient(gateway, 'bad')), undefined);
    const killed = await loopscope('kill', 'bad');
    assert.equal(killed.code, 0);
    assert.equal(killed.stdout, 'killed loop bad; `loopscope revive bad` lets it go on\n');
    assert.match(killed.stderr, /"bad" is not in loops\//);
    await refusedAsKilled(gateway, 'bad');
    assert.equal(await figure(gateway, 'limits_killed'), 1);
    assert.equal(await ask(impatient(gateway, 'good')), undefined);

    await loopscope('kill', 'good', '--run', 'r1');
    await refusedAsKilled(gateway, 'good', 'r1');
    assert.equal(await ask(impatient(gateway, 'good', { 'x-loop-run': 'r2' })), undefined);

    await gateway.close();
    const restarted = await start([], { folder });
    const { requests } = provider;
    const before = requests.length;
    for (const [loop, run] of [['bad'], ['good', 'r1']] as const) await refusedAsKilled(restarted, loop, run);
    assert.equal(requests.length, before, 'from its first call on');
    assert.deepEqual(JSON.parse((await loopscope('kill', '--list', '--json')).stdout).kills, [
      { loop: 'bad', run: null },
      { loop: 'good', run: 'r1' },
    ]);
    assert.equal((await loopscope('kill', '--list')).stdout, 'loop bad\nrun r1 of good\n');

    assert.equal((await loopscope('revive', 'bad')).stdout, 'loop bad may call\n');
    await loopscope('revive', 'good', '--run', 'r1');
    for (const [loop, run] of [
      ['bad', 'r9'],
      ['good', 'r1'],
    ] as const)
      await until(
        `${loop} to be revived`,
        async () => (await ask(impatient(restarted, loop, { 'x-loop-run': run }))) === undefined,
      );
    assert.match((await loopscope('revive', 'bad')).stderr, /loop bad was not killed/);
    assert.equal((await loopscope('kill')).code, 2);
    assert.equal((await loopscope('kill', 'no/name')).code, 2);
    assert.equal((await loopscope('kill', 'bad', '--run', 'a b')).code, 2);
  } finally {
    for (const gateway of gateways) await gateway.close();
    gateways = [];
    rmSync(dataDir, { recursive: true, force: true });
  }
});

test('a loop that is killed gets nothing: no list of models, and no answer that was kept', async () => {
  const loops = [LoopDefinition.parse({ loop: 'stopped', owner: 'us', cache: { ttl_s: 3_600 } })];
  const gateway = await start([], { loops });
  const openai = impatient(gateway, 'stopped');
  for (const cache of ['miss', 'hit']) {
    const { response } = await openai.chat.completions.create(question()).withResponse();
    assert.equal(response.headers.get('x-loopscope-cache'), cache);
  }
  await gateway.kills.kill({ loop: 'stopped' });
  await assert.rejects(openai.chat.completions.create(question()), { code: 'loop_killed' });
  await assert.rejects(openai.models.list(), { code: 'loop_killed' });
  await assert.rejects(openai.chat.completions.create(question(), { headers: { 'idempotency-key': 'k' } }), {
    code: 'loop_killed',
  });
  assert.equal(provider.requests.length, 1);
  await gateway.kills.revive({ loop: 'stopped' });
  assert.equal(await ask(openai), undefined);
});

test('of many kills at once none is lost, and a file that is damaged revives nobody', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'loopscope-kill-'));
  const folder = join(dataDir, 'gateway');
  const file = join(folder, 'kills.json');
  const loopscope = cliIn({ LOOPSCOPE_DATA_DIR: dataDir });
  const lines: string[] = [];
  try {
    const log = pino({ level: 'error' }, { write: (line: string) => void lines.push(line) });
    const gateway = await start([], { folder, log });
    const loops = Array.from({ length: 12 }, (_, i) => `loop-${i}`);
    await Promise.all(loops.map((loop) => loopscope('kill', loop)));
    await until('all to be known', async () => (await figure(gateway, 'limits_killed')) === loops.length);

    writeFileSync(file, '{"kills":[{"lo');
    await until('the damage to be found', () =>
      lines.some((line) => line.includes('what was killed before stays so')),
    );
    await refusedAsKilled(gateway, 'loop-3');
    const { code, stderr } = await loopscope('kill', 'another');
    assert.equal(code, 2);
    assert.match(stderr, /kills\.json: expected the loops and runs that are killed/);
    await gateway.close();
    await assert.rejects(start([], { folder }), { code: 'config_invalid' });

    rmSync(file);
    assert.equal(await ask(impatient(await start([], { folder }), 'loop-3')), undefined);
  } finally {
    for (const gateway of gateways) await gateway.close();
    gateways = [];
    rmSync(dataDir, { recursive: true, force: true });
  }
});
