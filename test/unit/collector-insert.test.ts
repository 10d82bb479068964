import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bySize } from '../../collector/insert/chunks.ts';
import { RecentSet } from '../../collector/insert/recent.ts';
import { timestamp } from '../../collector/insert/row.ts';
import { type Clock, systemClock } from '../../src/clock.ts';

/** A clock that stands still until it is moved. */
function stillClock(): Clock & { advance(ms: number): Promise<void> } {
  let now = 0;
  const sleepers: { at: number; wake: () => void }[] = [];
  return {
    ...systemClock(),
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((wake, reject) => {
        sleepers.push({ at: now + ms, wake });
        signal?.addEventListener('abort', () => reject(signal.reason));
      }),
    advance: async (ms) => {
      now += ms;
      for (const sleeper of sleepers) if (sleeper.at <= now) sleeper.wake();
      await new Promise(setImmediate);
    },
  };
}

test('what is remembered is bounded in number and age', async () => {
  const clock = stillClock();
  const recent = new RecentSet(2, 1_000, clock);
  for (const key of ['a', 'b', 'a', 'c']) recent.add(key);
  assert.deepEqual([recent.has('a'), recent.has('b'), recent.has('c'), recent.size], [true, false, true, 2]);
  await clock.advance(1_001);
  assert.equal(recent.has('a'), false);
});

test('a list is cut into pieces by number and length', () => {
  assert.deepEqual(
    bySize([5, 5, 5, 30, 1], (n) => n, 3, 12),
    [[5, 5], [5], [30], [1]],
  );
  assert.deepEqual(
    bySize([1, 1, 1, 1], (n) => n, 3, 12),
    [[1, 1, 1], [1]],
  );
});

test('times are written with nine digits and their zone', () => {
  assert.equal(timestamp(1687856400000000001n), '2023-06-27T09:00:00.000000001Z');
  assert.equal(timestamp(0n), '1970-01-01T00:00:00.000000000Z');
  assert.equal(timestamp(2n ** 63n - 1n), '2262-04-11T23:47:16.854775807Z');
});
