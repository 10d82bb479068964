import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalError } from '../../src/gateway/limits/refusal.ts';
import type { LimitWarning } from '../../src/gateway/limits/warnings.ts';
import { call, granted, limiterOf, refused, rule } from '../support/limits.ts';

const known = { costUsd: 0.02, inputTokens: 100, outputTokens: 20 };
const dayOf = (cost_usd: number) => rule({ scope: 'loop', window: 'day', max: { cost_usd } });

test('calls at once cannot overshoot: what each may cost is held until it is known', async () => {
  const { limiter } = limiterOf([dayOf(1)]);
  const outcomes = Array.from({ length: 200 }, () => limiter.reserve(call()));
  const open = outcomes.filter((o) => !(o instanceof Promise) && o.granted).map(granted);
  assert.equal(open.length, 10);
  for (const reservation of open) limiter.settle(reservation, known);
  // 10 × $0.02 are spent; of what is left 8 more may cost $0.10 at once.
  const more = Array.from({ length: 200 }, () => limiter.reserve(call()));
  assert.equal(more.filter((o) => !(o instanceof Promise) && o.granted).length, 8);
  await limiter.close();
});

test('a refusal says which limit, how much is used of how much, and when it begins anew', async () => {
  const { limiter, figure } = limiterOf([dayOf(0.25)]);
  granted(limiter.reserve(call()));
  granted(limiter.reserve(call()));
  const refusal = refused(limiter.reserve(call()));
  assert.equal(
    refusal.message,
    'Limit reached: loop "primes" may use $0.25 a day; $0.2 is used or reserved, and this call may take $0.1. ' +
      'It begins anew at 2026-11-27T00:00:00.000Z; or raise the limit.',
  );
  assert.equal(refusal.retryAfterS, (60 + 44) * 60 + 20);
  const error = refusalError(refusal);
  assert.deepEqual([error.code, error.status, error.retryable], ['budget_exceeded', 429, false]);
  assert.equal(figure('refused_total', { scope: 'loop', what: 'cost' }), 1);
  await limiter.close();
});

test('windows begin anew, and a call counts in the one in which it was made', async () => {
  const { limiter, clock } = limiterOf([rule({ scope: 'loop', window: 'hour', max: { calls: 1 } })]);
  const first = granted(limiter.reserve(call()));
  refused(limiter.reserve(call()));
  await clock.pass(45 * 60_000);
  const second = granted(limiter.reserve(call()));
  limiter.settle(first, known);
  limiter.release(second);
  granted(limiter.reserve(call()));
  await limiter.close();
});

test('each subject of a scope has its own share, unless the rule names one', async () => {
  const { limiter } = limiterOf([
    rule({ scope: 'agent', window: 'run', max: { steps: 1 } }),
    rule({ scope: 'model', name: 'gpt-5', window: 'day', max: { calls: 3 } }),
    { ...rule({ scope: 'run', window: 'run', max: { calls: 2 } }), loop: 'primes' },
  ]);
  granted(limiter.reserve(call()));
  assert.equal(refused(limiter.reserve(call())).what, 'steps');
  granted(limiter.reserve(call({ agent: 'reviewer' })));
  const third = refused(limiter.reserve(call({ agent: 'helper' })));
  assert.deepEqual([third.scope, third.what, third.retryAfterS], ['run', 'calls', undefined]);
  assert.match(third.message, /run "primes\/r1" may use 2 calls in all.* Start a new run/);
  granted(limiter.reserve(call({ loop: 'other', runId: 'r2' })));
  const other = refused(limiter.reserve(call({ loop: 'other', runId: 'r3' })));
  assert.match(other.message, /model "openai\/gpt-5" may use 3 calls a day/);
  granted(limiter.reserve(call({ loop: 'other', runId: 'r3', provider: 'azure' })));
  granted(limiter.reserve(call({ loop: 'other', runId: 'r3', agent: 'b', model: 'gpt-5-mini' })));
  await limiter.close();
});

test('limits of runs and teams do not apply to calls without one, and such a call is no step', async () => {
  const { limiter } = limiterOf([
    rule({ scope: 'run', window: 'day', max: { calls: 1 } }),
    rule({ scope: 'team', window: 'day', max: { calls: 1 } }),
    rule({ scope: 'loop', window: 'day', max: { steps: 1 } }),
  ]);
  for (let i = 0; i < 3; i++) granted(limiter.reserve(call({ runId: undefined, team: undefined })));
  granted(limiter.reserve(call()));
  refused(limiter.reserve(call()));
  await limiter.close();
});

test('of several rules on one counter each holds, and it is counted once', async () => {
  const { limiter, figure } = limiterOf([
    rule({ scope: 'loop', window: 'day', max: { calls: 5 } }),
    rule({ scope: 'loop', name: 'primes', window: 'day', max: { calls: 3 } }),
    rule({ scope: 'loop', window: 'day', max: { calls: 2 }, mode: 'audit' }),
  ]);
  for (let i = 0; i < 3; i++) granted(limiter.reserve(call()));
  assert.match(refused(limiter.reserve(call())).message, /may use 3 calls a day; 3 are used/);
  for (let i = 0; i < 5; i++) granted(limiter.reserve(call({ loop: 'other' })));
  refused(limiter.reserve(call({ loop: 'other' })));
  assert.equal(figure('audited_total', { scope: 'loop', what: 'calls' }), 1 + 3);
  await limiter.close();
});

test('a rule in audit mode lets everything pass and counts what it would have refused', async () => {
  const { limiter, figure } = limiterOf([
    rule({ scope: 'team', window: 'day', max: { tokens: 500 }, mode: 'audit' }),
  ]);
  for (let i = 0; i < 5; i++) granted(limiter.reserve(call()));
  assert.equal(figure('audited_total', { scope: 'team', what: 'tokens' }), 3);
  assert.equal(figure('refused_total'), 0);
  await limiter.close();
});

test('what is unknown counts as it was reserved, and is counted as unknown', async () => {
  const { limiter, figure } = limiterOf([dayOf(0.3)]);
  const unknown = { costUsd: undefined, inputTokens: undefined, outputTokens: undefined };
  for (let i = 0; i < 3; i++) limiter.settle(granted(limiter.reserve(call())), unknown);
  refused(limiter.reserve(call()));
  assert.equal(figure('unknown_total'), 3);
  await limiter.close();
});

test('a call is over once: to settle or release it again changes nothing', async () => {
  const { limiter } = limiterOf([rule({ scope: 'loop', window: 'day', max: { calls: 2 } })]);
  const one = granted(limiter.reserve(call()));
  limiter.settle(one, known);
  limiter.release(one);
  limiter.settle(one, known);
  granted(limiter.reserve(call()));
  refused(limiter.reserve(call()));
  await limiter.close();
});

test('each mark is told once for each subject, by what was spent and not by what is held', async () => {
  const told: LimitWarning[] = [];
  const rules = [rule({ scope: 'loop', window: 'day', max: { calls: 10 }, mode: 'audit' })];
  const { limiter, figure } = limiterOf(rules, { onWarning: (warning) => told.push(warning) });
  const open = Array.from({ length: 10 }, () => granted(limiter.reserve(call())));
  assert.deepEqual(told, []);
  for (const reservation of open) limiter.settle(reservation, known);
  for (let i = 0; i < 5; i++) limiter.settle(granted(limiter.reserve(call())), known);
  assert.deepEqual(
    told.map(({ subject, what, percent, used, max }) => [subject, what, percent, used, max]),
    [
      ['primes', 'calls', 50, 5, 10],
      ['primes', 'calls', 75, 8, 10],
      ['primes', 'calls', 90, 9, 10],
    ],
  );
  assert.equal(figure('warnings_total', { percent: '90' }), 1);
  await limiter.close();
});

test('a call that is more than there ever is says so, and that waiting does not help', async () => {
  const { limiter } = limiterOf([
    rule({ scope: 'provider', window: 'minute', max: { tokens: 150 }, wait_s: 60 }),
  ]);
  const refusal = refused(limiter.reserve(call()));
  assert.deepEqual([refusal.code, refusal.retryAfterS], ['budget_exceeded', undefined]);
  assert.match(refusal.message, /this call may take 200, more than there ever is. Ask for fewer tokens/);
  await limiter.close();
});

test('with other rules what was used stays used', async () => {
  const { limiter } = limiterOf([rule({ scope: 'loop', window: 'day', max: { calls: 5 } })]);
  for (let i = 0; i < 2; i++) limiter.settle(granted(limiter.reserve(call())), known);
  limiter.setRules([rule({ scope: 'loop', name: 'primes', window: 'day', max: { calls: 3 } })]);
  granted(limiter.reserve(call()));
  refused(limiter.reserve(call()));
  await limiter.close();
});

test('a reservation that nobody ends is given up in the end, not before', async () => {
  const { limiter, clock, figure } = limiterOf([rule({ scope: 'run', window: 'run', max: { calls: 1 } })]);
  const stuck = granted(limiter.reserve(call()));
  await clock.pass(59 * 60_000);
  refused(limiter.reserve(call()));
  await clock.pass(3 * 60_000);
  assert.deepEqual([figure('under_way'), figure('unsettled_total')], [0, 1]);
  limiter.release(granted(limiter.reserve(call())));
  limiter.settle(stuck, known);
  refused(limiter.reserve(call()));
  await limiter.close();
});

test('a loop or a run that is killed may call no more until it is revived', async () => {
  const { limiter, kills, figure } = limiterOf([]);
  assert.equal(await kills.kill({ loop: 'primes', runId: 'r1' }), 'everywhere');
  const refusal = refused(limiter.reserve(call()));
  assert.deepEqual([refusal.scope, refusal.what, refusal.code], ['run', 'killed', 'loop_killed']);
  granted(limiter.reserve(call({ runId: 'r2' })));
  await kills.kill({ loop: 'primes' });
  assert.match(refused(limiter.reserve(call({ runId: 'r2' }))).message, /^Loop "primes" was stopped/);
  granted(limiter.reserve(call({ loop: 'primes2' })));
  await kills.revive({ loop: 'primes' });
  granted(limiter.reserve(call({ runId: 'r2' })));
  refused(limiter.reserve(call()));
  assert.deepEqual([figure('refused_total'), figure('killed')], [3, 1]);
  await limiter.close();
});

test('kills are bounded: one too many is refused and none is forgotten', async () => {
  const { limiter, kills } = limiterOf([]);
  for (let i = 0; i < 10_000; i++) await kills.kill({ loop: 'l', runId: `r${i}` });
  await assert.rejects(kills.kill({ loop: 'other' }), { code: 'overloaded' });
  await kills.kill({ loop: 'l', runId: 'r5' });
  assert.equal(kills.isKilled('l', 'r0'), 'run');
  await limiter.close();
});

test('numbers that mean nothing spoil no count', async () => {
  const { limiter } = limiterOf([rule({ scope: 'loop', window: 'day', max: { tokens: 1_000_000_100 } })]);
  for (const nonsense of [Number.NaN, -5, Number.NEGATIVE_INFINITY]) {
    const estimate = { inputTokens: nonsense, outputTokensMax: nonsense, costUsd: nonsense };
    const odd = granted(limiter.reserve(call({ estimate })));
    limiter.settle(odd, { costUsd: nonsense, inputTokens: nonsense, outputTokens: nonsense });
  }
  const estimate = { inputTokens: 1e308, outputTokensMax: 1e308, costUsd: 1e308 };
  const huge = granted(limiter.reserve(call({ estimate })));
  limiter.release(huge);
  limiter.settle(granted(limiter.reserve(call())), known);
  const { message } = refused(
    limiter.reserve(call({ estimate: { inputTokens: 1e9, outputTokensMax: 1, costUsd: 0 } })),
  );
  assert.match(message, /120 are used or reserved/);
  await limiter.close();
});
