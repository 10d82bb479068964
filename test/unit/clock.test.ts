import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';

const MS = 1_000_000n;
const HOUR_MS = 3_600_000;

/** Until the monotonic clock is a few milliseconds on. */
function wait(): void {
  const end = process.hrtime.bigint() + 3n * MS;
  while (process.hrtime.bigint() < end);
}

test('no two moments are the same, and they are those of the wall clock', () => {
  const clock = systemClock();
  let last = 0n;
  for (let i = 0; i < 50_000; i++) {
    const at = clock.nowNs();
    assert.ok(at > last);
    last = at;
  }
  const before = Date.now();
  const at = Number(clock.nowNs() / MS);
  assert.ok(at >= before - 6 && at <= Date.now() + 6, `${at - before} ms off`);
});

test('a clock that is set forward is followed, and one that is set back holds time up', () => {
  const clock = systemClock();
  const before = clock.nowNs();
  const real = Date.now;
  try {
    mock.method(Date, 'now', () => real() + HOUR_MS);
    wait();
    const after = clock.nowNs();
    assert.ok(Math.abs(Number((after - before) / MS) - HOUR_MS) < 1_000);
    mock.restoreAll();
    wait();
    assert.equal(clock.nowNs(), after + 1n);
    wait();
    assert.equal(clock.nowNs(), after + 2n);
  } finally {
    mock.restoreAll();
  }
});

test('random digits are as many as were asked for, and others each time', () => {
  const { randomHex } = systemClock();
  const all = new Set(Array.from({ length: 3_000 }, () => randomHex(8)));
  assert.equal(all.size, 3_000);
  for (const digits of all) assert.match(digits, /^[0-9a-f]{16}$/);
});
