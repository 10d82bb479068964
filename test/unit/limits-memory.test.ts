import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Amounts } from '../../src/gateway/limits/amounts.ts';
import { MemoryStore } from '../../src/gateway/limits/memory-store.ts';
import { MovedClock, START_MS } from '../support/limits.ts';

const NO_MAX: Amounts = [Infinity, Infinity, Infinity, Infinity];
const ONE: Amounts = [0, 0, 1, 0];
let lastId = 0;
const claim = (key: string, keepMs = 60_000) => ({
  id: `m${++lastId}`,
  amounts: ONE,
  counters: [{ key, max: NO_MAX, keepMs }],
  unheld: false,
  hold: undefined,
});

/** A call that is made and over. */
function use(store: MemoryStore, key: string): number {
  const one = claim(key);
  const { used } = store.reserve(one);
  store.settle(one, ONE);
  return used[2]!;
}

test('one counter too many forgets the one idle longest, never one that holds something', async () => {
  const clock = new MovedClock(START_MS);
  const store = new MemoryStore({ clock, countersMax: 4 });
  const held = claim('held');
  store.reserve(held);
  for (const key of ['a', 'b', 'c', 'a']) {
    use(store, key);
    await clock.pass(1_000);
  }
  use(store, 'd');
  assert.deepEqual([store.size, store.forgotten], [4, 1]);
  assert.deepEqual([use(store, 'a'), use(store, 'b')], [2, 0]);
  assert.equal(store.settle(held, ONE)?.[2], 1);
});

test('counters whose time is over make room before others do', async () => {
  const clock = new MovedClock(START_MS);
  const store = new MemoryStore({ clock, countersMax: 3 });
  for (const key of ['short', 'b', 'c']) {
    const one = claim(key, key === 'short' ? 1_000 : 60_000);
    store.reserve(one);
    store.release(one);
  }
  await clock.pass(2_000);
  use(store, 'd');
  assert.deepEqual([store.size, store.forgotten], [3, 0]);
});

test('what was held of a counter that was forgotten is not taken from a new one of its name', async () => {
  const clock = new MovedClock(START_MS);
  const store = new MemoryStore({ clock });
  const old = claim('a', 1_000);
  store.reserve(old);
  await clock.pass(2_000);
  const next = claim('a');
  assert.equal(store.reserve(next).used[2], 0);
  store.release(old);
  assert.equal(store.reserve(claim('a')).used[2], 1);
});
