import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/clock.ts';
import type { Withheld } from '../../src/gateway/routing/figures.ts';
import { type Further, firstTarget, nextTarget } from '../../src/gateway/routing/next-target.ts';
import { type Plan, type PlanRequest, Router } from '../../src/gateway/routing/plan.ts';
import { ModelsSettings, modelComplaints, RoutingSettings } from '../../src/gateway/routing/settings.ts';
import type { Target } from '../../src/gateway/routing/target.ts';

const NOW = 1_700_000_000_000;
const endpoint = (name: string, apiKey: string | undefined = `key-${name}`) => ({
  origin: `https://${name}.test`,
  basePath: '',
  address: `${name}.test`,
  port: 443,
  apiKey,
  apiKeyEnv: `${name.toUpperCase()}_KEY`,
});
const providers = new Map([
  ['openai', { api: 'openai', endpoint: endpoint('openai') }],
  ['groq', { api: 'openai', endpoint: endpoint('groq') }],
  ['ollama', { api: 'openai', endpoint: { ...endpoint('ollama'), apiKey: undefined } }],
  ['anthropic', { api: 'anthropic', endpoint: endpoint('anthropic') }],
]);

const router = (models: unknown, routing: unknown = {}, random = seededRandom(1)) =>
  new Router({
    routing: RoutingSettings.parse(routing),
    models: ModelsSettings.parse(models),
    providers,
    key: (variable) => (variable === 'SECOND_KEY' ? 'second' : undefined),
    random,
  });
const ask = (model: string | undefined, more: Partial<PlanRequest> = {}): PlanRequest => ({
  model,
  loopModels: undefined,
  provider: 'openai',
  gatewayKey: true,
  ...more,
});
const names = (plan: { targets: readonly Target[] }) => plan.targets.map((t) => t.name);

test('a model that is no virtual one goes to the provider that was called, under its own name', () => {
  const r = router({ fast: { targets: [{ provider: 'groq' }] } });
  for (const model of ['gpt-4o', undefined, '__proto__', 'constructor', 'toString']) {
    const plan = r.plan(ask(model));
    assert.deepEqual(names(plan), ['openai']);
    assert.equal(plan.model, undefined);
    assert.equal(plan.targets[0]!.model, undefined);
  }
  assert.equal(r.plan(ask('a')), r.plan(ask('b')));
  assert.throws(() => r.plan(ask('a', { provider: 'nobody' })), { code: 'provider_unknown' });
});

test('without priorities, the list is the chain of fallbacks', () => {
  const r = router({
    fast: {
      targets: [
        { provider: 'groq', model: 'llama' },
        { provider: 'openai', model: 'gpt-4o' },
      ],
    },
    other: {
      targets: [
        { provider: 'groq', priority: 2 },
        { provider: 'openai', priority: 1 },
      ],
    },
  });
  const plan = r.plan(ask('fast'));
  assert.deepEqual(names(plan), ['groq/llama', 'openai/gpt-4o']);
  assert.equal(plan.model, 'fast');
  assert.deepEqual(names(r.plan(ask('other'))), ['openai', 'groq']);
});

test('calls are shared by weight, and weight 0 only takes over', () => {
  const r = router({
    m: {
      pick: 'weight',
      targets: [
        { provider: 'openai', model: 'a', weight: 3 },
        { provider: 'openai', model: 'b', weight: 1 },
        { provider: 'openai', model: 'c', weight: 0 },
      ],
    },
  });
  const plans = Array.from({ length: 4_000 }, () => names(r.plan(ask('m'))));
  assert.ok(plans.every((p) => p.length === 3 && p[2] === 'openai/c'));
  const share = plans.filter((p) => p[0] === 'openai/a').length / plans.length;
  assert.ok(Math.abs(share - 0.75) < 0.03, `share ${share}`);
});

test('the target that answers fastest comes first, one that was never measured before it', () => {
  const r = router({
    m: {
      pick: 'latency',
      targets: [
        { provider: 'openai', model: 'a' },
        { provider: 'openai', model: 'b' },
        { provider: 'openai', model: 'c' },
      ],
    },
  });
  const health = (name: string) => r.plan(ask('m')).targets.find((t) => t.name === name)!.health;
  health('openai/a').measured(100);
  health('openai/b').measured(50);
  const firsts = () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 1_000; i++) {
      const first = names(r.plan(ask('m')))[0]!;
      counts.set(first, (counts.get(first) ?? 0) + 1);
    }
    return counts;
  };
  assert.ok(firsts().get('openai/c')! > 900);
  health('openai/c').measured(200);
  const counts = firsts();
  assert.ok(counts.get('openai/b')! > 900, JSON.stringify([...counts]));
  assert.ok(counts.size === 3, 'a target that was slow is looked at again now and then');
  for (let i = 0; i < 50; i++) health('openai/b').measured(150);
  assert.ok(firsts().get('openai/a')! > 900);
});

test("a loop's own model comes before that of all, as a whole", () => {
  const r = router({ m: { targets: [{ provider: 'openai' }], retries: { max: 5 } } });
  const loopModels = ModelsSettings.parse({ m: { targets: [{ provider: 'groq' }] } });
  const plan = r.plan(ask('m', { loopModels }));
  assert.deepEqual(names(plan), ['groq']);
  assert.equal(plan.policy.retriesMax, 2);
  assert.equal(r.plan(ask('m')).policy.retriesMax, 5);
});

test("a model's settings come before those of all, and these before the defaults", () => {
  const r = router(
    { m: { targets: [{ provider: 'openai' }], timeouts: { total_s: 9 }, retries: { max: 0 } } },
    { timeouts: { total_s: 7, connect_s: 3 } },
  );
  const { policy } = r.plan(ask('m'));
  assert.equal(policy.totalMs, 9_000);
  assert.equal(policy.connectMs, 3_000);
  assert.equal(policy.betweenTokensMs, 300_000);
  assert.equal(policy.retriesMax, 0);
  assert.equal(r.plan(ask('x')).policy.totalMs, 7_000);
});

test('only targets that speak the API of the call are taken', () => {
  const r = router({ m: { targets: [{ provider: 'anthropic' }, { provider: 'groq' }] } });
  assert.deepEqual(names(r.plan(ask('m'))), ['groq']);
  assert.deepEqual(names(r.plan(ask('m', { provider: 'anthropic' }))), ['anthropic']);
  const one = router({ m: { targets: [{ provider: 'anthropic' }] } });
  assert.throws(() => one.plan(ask('m')), { code: 'model_not_served' });
});

test("a caller's own key goes to no other provider", () => {
  const r = router({
    m: { targets: [{ provider: 'groq' }, { provider: 'openai', model: 'x' }] },
    elsewhere: { targets: [{ provider: 'groq' }] },
  });
  assert.deepEqual(names(r.plan(ask('m', { gatewayKey: false }))), ['openai/x']);
  assert.throws(() => r.plan(ask('elsewhere', { gatewayKey: false })), { code: 'model_not_served' });
});

test('a target has its own key where it names one, and is judged by itself', () => {
  const r = router({
    m: { targets: [{ provider: 'openai' }, { provider: 'openai', api_key_env: 'SECOND_KEY' }] },
  });
  const [first, second] = r.plan(ask('m')).targets as [Target, Target];
  assert.equal(first.endpoint.apiKey, 'key-openai');
  assert.equal(second.endpoint.apiKey, 'second');
  assert.notEqual(first.health, second.health);
  assert.equal(first.budget, second.budget);
});

test('new settings keep what was seen of the targets', () => {
  const models = { m: { targets: [{ provider: 'openai' }] } };
  const r = router(models);
  const before = r.plan(ask('m')).targets[0]!;
  const routing = RoutingSettings.parse({});
  const options = { routing, models: {}, providers, key: () => undefined, random: () => 0 };
  r.reload(options);
  assert.equal(r.plan(ask('m')).model, undefined);
  assert.equal(r.plan(ask('m')).targets[0]!.health, before.health);
  r.reload({ ...options, routing: RoutingSettings.parse({ breaker: { window_s: 5 } }) });
  assert.notEqual(r.plan(ask('m')).targets[0]!.health, before.health);
});

test('a target whose provider is not in the settings is complained of', () => {
  const models = ModelsSettings.parse({ m: { targets: [{ provider: 'openai' }, { provider: 'opnai' }] } });
  const [complaint, ...others] = modelComplaints(models, new Set(providers.keys()));
  assert.match(complaint!, /^models\.m\.targets\.1\.provider: .*"opnai".*anthropic, groq, ollama, openai/);
  assert.deepEqual(others, []);
});

test('settings that mean nothing are refused', () => {
  for (const models of [
    { m: { targets: [] } },
    { m: { targets: [{ model: 'x' }] } },
    { m: { targets: [{ provider: 'openai' }], pick: 'random' } },
    { m: { targets: [{ provider: 'openai', weight: -1 }] } },
    { m: { targets: Array(31).fill({ provider: 'openai' }) } },
    { m: { targets: [{ provider: 'openai' }], timeouts: { total_s: 0 } } },
  ])
    assert.equal(ModelsSettings.safeParse(models).success, false, JSON.stringify(models));
  assert.equal(RoutingSettings.safeParse({ retry_budget: { share: 2 } }).success, false);
});

const three = (): Plan =>
  router({
    m: {
      targets: [{ provider: 'openai', model: 'a' }, { provider: 'openai', model: 'b' }, { provider: 'groq' }],
    },
  }).plan(ask('m'));
const trip = ({ health }: Target) => {
  for (let i = 0; i < 5; i++) health.breaker.failed(health.breaker.begin(), NOW);
};
const next = ({ targets }: Plan, tried: number, more: Partial<Further> = {}): number | Withheld => {
  const found = nextTarget({
    targets,
    tried,
    passed: 0,
    gatewayKey: true,
    nowMs: NOW,
    waitMs: () => 1_000,
    ...more,
  });
  return typeof found === 'string' ? found : found.place;
};

test('the first attempt passes over targets that are open, unless all are', () => {
  const plan = three();
  assert.equal(firstTarget(plan.targets, true, NOW), 0);
  trip(plan.targets[0]!);
  assert.equal(firstTarget(plan.targets, true, NOW), 1);
  for (const target of plan.targets) trip(target);
  assert.equal(firstTarget(plan.targets, true, NOW), 0);
});

test('a target for which the gateway has no key is passed over, unless the caller brings one', () => {
  const { targets } = router({ m: { targets: [{ provider: 'ollama' }, { provider: 'openai' }] } }).plan(
    ask('m'),
  );
  assert.equal(firstTarget(targets, true, NOW), 1);
  assert.equal(firstTarget(targets, false, NOW), 0);
});

test('after a failure another target comes first, at once; then those that were tried, after a wait', () => {
  const plan = three();
  const { targets } = plan;
  const further = { targets, passed: 0, gatewayKey: true, nowMs: NOW, waitMs: () => 1_000 };
  assert.deepEqual(nextTarget({ ...further, tried: 0b001 }), { place: 1, waitMs: 0 });
  assert.deepEqual(nextTarget({ ...further, tried: 0b011 }), { place: 2, waitMs: 0 });
  assert.deepEqual(nextTarget({ ...further, tried: 0b111 }), { place: 0, waitMs: 1_000 });
});

test('a target whose limits were reached gets no attempt, nor is it come back to', () => {
  const plan = three();
  assert.equal(next(plan, 0b001, { passed: 0b010 }), 2);
  assert.equal(next(plan, 0b001, { passed: 0b110 }), 0);
});

test('a target that is open gets no further attempt', () => {
  const plan = three();
  trip(plan.targets[1]!);
  assert.equal(next(plan, 0b001), 2);
  trip(plan.targets[2]!);
  assert.equal(next(plan, 0b001), 0);
  trip(plan.targets[0]!);
  assert.equal(next(plan, 0b001), 'breaker');
});

test('a target whose rate limit is over by the end of the wait is waited for', () => {
  const plan = router({}).plan(ask('x'));
  plan.targets[0]!.health.breaker.rateLimited(1_000, NOW);
  assert.equal(next(plan, 0b1, { waitMs: () => 999 }), 'breaker');
  assert.equal(next(plan, 0b1, { waitMs: () => 1_000 }), 0);
  assert.equal(next(plan, 0b1, { waitMs: () => undefined }), 'retry_after');
});

test('a budget that is used up stands against retries at its provider, not against going to another', () => {
  const r = router(
    {
      m: {
        targets: [
          { provider: 'openai', model: 'a' },
          { provider: 'openai', model: 'b' },
          { provider: 'groq' },
        ],
      },
    },
    { retry_budget: { share: 0, per_s: 0 } },
  );
  const plan = r.plan(ask('m'));
  assert.equal(next(plan, 0b001), 2);
  assert.equal(next(plan, 0b101), 'budget');
});
