import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  collectRules,
  LimitRule,
  LimitsWhenStoreAway,
  LoopLimitRule,
} from '../../src/gateway/limits/settings.ts';
import { parseYaml } from '../../src/yaml-file.ts';

const complaint = (schema: z.ZodType, rule: unknown): string => {
  const parsed = schema.safeParse(rule);
  return parsed.success ? '' : parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('\n');
};

test('rules are read with their defaults', () => {
  const text = 'limits:\n  - { scope: model, name: gpt-5, window: minute, max: { calls: 60 }, wait_s: 20 }\n';
  const { limits } = parseYaml('loopscope.yaml', text, z.strictObject({ limits: z.array(LimitRule) }));
  assert.deepEqual(limits, [
    { scope: 'model', name: 'gpt-5', window: 'minute', max: { calls: 60 }, mode: 'enforce', wait_s: 20 },
  ]);
  assert.equal(LimitsWhenStoreAway.parse(undefined), 'deny');
});

test('a rule in a file of a loop is for that loop', () => {
  const limits = [LoopLimitRule.parse({ window: 'day', max: { cost_usd: 10 } })];
  assert.deepEqual(collectRules([], [{ loop: 'primes', limits }]), [
    { loop: 'primes', scope: 'loop', window: 'day', max: { cost_usd: 10 }, mode: 'enforce', wait_s: 0 },
  ]);
  assert.match(complaint(LoopLimitRule, { scope: 'model', window: 'day', max: { calls: 1 } }), /^scope/);
});

test('what cannot be meant is refused, and said why', () => {
  const day = { scope: 'loop', window: 'day', max: { calls: 1 } };
  assert.equal(complaint(LimitRule, day), '');
  assert.match(complaint(LimitRule, { ...day, max: {} }), /max: expected at least one of cost_usd/);
  assert.match(complaint(LimitRule, { ...day, max: { calls: 0 } }), /^max\.calls/);
  assert.match(complaint(LimitRule, { ...day, max: { cost_usd: 1e7 } }), /^max\.cost_usd/);
  assert.match(complaint(LimitRule, { ...day, max: { call: 1 } }), /Unrecognized key/);
  assert.match(complaint(LimitRule, { ...day, wait_s: 1 }), /wait_s: only limits with window: minute/);
  assert.match(complaint(LimitRule, { ...day, scope: 'run', name: 'r' }), /name: with scope: run/);
  assert.match(complaint(LoopLimitRule, { ...day, name: 'other' }), /name: only a rule with scope: agent/);
  assert.match(complaint(LimitRule, { ...day, window: 'year' }), /^window/);
});
