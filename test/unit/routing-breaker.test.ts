import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Breaker } from '../../src/gateway/routing/breaker.ts';
import { RetryBudget } from '../../src/gateway/routing/retry-budget.ts';
import { RollingCounts } from '../../src/gateway/routing/rolling-counts.ts';
import { BreakerSettings } from '../../src/gateway/routing/settings.ts';

const T0 = 1_700_000_000_000;
const open = (more: Partial<BreakerSettings> = {}) => new Breaker(BreakerSettings.parse(more));
const fail = (breaker: Breaker, n: number, at = T0) => {
  for (let i = 0; i < n; i++) breaker.failed(breaker.begin(), at);
};

test('so many failures in a row open it; a success among them begins the count again', () => {
  const breaker = open();
  fail(breaker, 4);
  breaker.succeeded(breaker.begin(), T0);
  fail(breaker, 4);
  assert.equal(breaker.state(T0), 'closed');
  fail(breaker, 1);
  assert.equal(breaker.state(T0), 'open');
  assert.equal(breaker.isAvailable(T0), false);
});

test('a share of failures opens it, but not of a few calls, and not of calls long ago', () => {
  const settings = { calls_min: 10, failure_share: 0.5, consecutive_failures: 1_000 };
  const half = (breaker: Breaker, n: number, at = T0) => {
    for (let i = 0; i < n; i++) {
      breaker.succeeded(breaker.begin(), at);
      breaker.failed(breaker.begin(), at);
    }
  };
  const breaker = open(settings);
  half(breaker, 4);
  assert.equal(breaker.state(T0), 'closed');
  half(breaker, 4, T0 + 31_000);
  assert.equal(breaker.state(T0 + 31_000), 'closed');
  half(breaker, 1, T0 + 31_000);
  assert.equal(breaker.state(T0 + 31_000), 'open');
});

test('after the cool-down a bounded number of calls try it, and the first answer closes it', () => {
  const breaker = open({ probes_max: 2 });
  fail(breaker, 5);
  const later = T0 + 15_000;
  assert.equal(breaker.state(later - 1), 'open');
  assert.equal(breaker.state(later), 'half_open');
  const first = breaker.begin();
  assert.equal(breaker.isAvailable(later), true);
  breaker.begin();
  assert.equal(breaker.isAvailable(later), false);
  breaker.answered(first);
  assert.equal(breaker.state(later), 'closed');
  breaker.succeeded(first, later);
  fail(breaker, 4, later);
  assert.equal(breaker.state(later), 'closed');
});

test('a probe that fails opens it for another cool-down; one that its caller left gives its place back', () => {
  const breaker = open();
  fail(breaker, 5);
  const later = T0 + 15_000;
  const left = breaker.begin();
  assert.equal(breaker.isAvailable(later), false);
  breaker.released(left);
  assert.equal(breaker.isAvailable(later), true);
  breaker.failed(breaker.begin(), later);
  assert.equal(breaker.state(later + 14_999), 'open');
  assert.equal(breaker.state(later + 15_000), 'half_open');
  assert.equal(breaker.isAvailable(later + 15_000), true);
});

test('what began before it opened neither closes it nor opens it for longer', () => {
  const breaker = open();
  const older = [breaker.begin(), breaker.begin()] as const;
  fail(breaker, 5);
  breaker.answered(older[0]);
  breaker.succeeded(older[0], T0 + 1);
  breaker.failed(older[1], T0 + 14_999);
  assert.equal(breaker.state(T0 + 14_999), 'open');
  assert.equal(breaker.state(T0 + 15_000), 'half_open');
});

test('a call that was made although it was open closes it when it is answered', () => {
  const breaker = open();
  fail(breaker, 5);
  breaker.failed(breaker.begin(), T0 + 1);
  assert.equal(breaker.state(T0 + 15_000), 'half_open');
  breaker.answered(breaker.begin());
  assert.equal(breaker.state(T0 + 2), 'closed');
});

test('a rate limit opens it until its time and counts for nothing else', () => {
  const breaker = open();
  for (let i = 0; i < 10; i++) {
    breaker.rateLimited(2_000, T0);
    breaker.released(breaker.begin());
  }
  assert.equal(breaker.state(T0 + 1_999), 'rate_limited');
  assert.equal(breaker.isAvailable(T0 + 1_999), false);
  assert.equal(breaker.state(T0 + 2_000), 'closed');
  breaker.rateLimited(10 ** 12, T0);
  assert.equal(breaker.isAvailable(T0 + 15 * 60_000), true);
});

test('a clock that is set back does not keep it open for ever', () => {
  const breaker = open();
  fail(breaker, 5);
  const before = T0 - 3_600_000;
  assert.equal(breaker.state(before), 'open');
  assert.equal(breaker.state(before + 15_000), 'half_open');
});

test('rolling counts forget slot by slot, and all at once after a long silence', () => {
  const counts = new RollingCounts(10_000);
  for (let s = 0; s < 10; s++) {
    counts.count(T0 + s * 1_000);
    counts.mark(T0 + s * 1_000);
  }
  assert.equal(counts.counted(T0 + 9_999), 10);
  assert.equal(counts.marked(T0 + 12_000), 7);
  assert.equal(counts.counted(T0 + 12_000), 7);
  assert.equal(counts.counted(T0 + 10 ** 9), 0);
  counts.count(T0);
  assert.equal(counts.counted(T0), 1);
});

test('retries are a share of the calls, and a few a second where there are few calls', () => {
  const budget = new RetryBudget({ share: 0.1, per_s: 0 });
  assert.equal(budget.takeRetry(T0), false);
  for (let i = 0; i < 100; i++) budget.call(T0);
  const taken = Array.from({ length: 30 }, () => budget.takeRetry(T0)).filter(Boolean);
  assert.equal(taken.length, 10);
  assert.equal(budget.takeRetry(T0 + 11_000), false);

  const quiet = new RetryBudget({ share: 0.1, per_s: 2 });
  assert.equal(Array.from({ length: 50 }, () => quiet.takeRetry(T0)).filter(Boolean).length, 20);
  assert.equal(quiet.takeRetry(T0 + 11_000), true);
});
