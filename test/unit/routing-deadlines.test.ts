import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { type Clock, systemClock } from '../../src/clock.ts';
import { Deadlines, type Timed } from '../../src/gateway/routing/deadlines.ts';
import { StreamPace } from '../../src/gateway/routing/stream-pace.ts';
import { until } from '../support/until.ts';

/** Time passes when the test says so. */
function manual() {
  let wake: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock(),
    sleep: () => new Promise((resolve) => wake.push(resolve)),
  };
  const deadlines = new Deadlines({ clock, log: pino({ level: 'silent' }) });
  return {
    deadlines,
    sleepers: () => wake.length,
    tick: async (n = 1) => {
      for (let i = 0; i < n; i++) {
        const sleepers = wake;
        wake = [];
        for (const resolve of sleepers) resolve();
        await new Promise(setImmediate);
      }
    },
  };
}

const timed = (dueMs: number, expire: () => void = () => {}): Timed & { expired: number } => ({
  dueMs,
  place: -1,
  expired: 0,
  expire() {
    this.expired++;
    expire();
  },
});

test('nothing expires early, and all does within two ticks', async () => {
  const { deadlines, tick } = manual();
  const one = timed(deadlines.in(100));
  deadlines.add(one);
  await tick(2);
  assert.equal(one.expired, 0);
  await tick(1);
  assert.equal(one.expired, 1);
  assert.equal(deadlines.size, 0);
});

test('a deadline that is moved counts from where it was moved', async () => {
  const { deadlines, tick } = manual();
  const one = timed(deadlines.in(100));
  deadlines.add(one);
  for (let i = 0; i < 10; i++) {
    await tick(2);
    one.dueMs = deadlines.in(100);
  }
  assert.equal(one.expired, 0);
  await tick(3);
  assert.equal(one.expired, 1);
});

test('whatever is added and removed, each of the others expires once', async () => {
  const { deadlines, tick } = manual();
  const all = Array.from({ length: 20 }, (_, i) => timed(deadlines.in((i % 5) * 50)));
  for (const t of all) deadlines.add(t);
  const removed = all.filter((_, i) => i % 3 === 0);
  for (const t of removed) deadlines.remove(t);
  for (const t of removed) deadlines.remove(t);
  await tick(10);
  for (const t of all) assert.equal(t.expired, removed.includes(t) ? 0 : 1);
});

test('who expires may add and remove others', async () => {
  const { deadlines, tick } = manual();
  const added = timed(deadlines.in(0));
  const victim = timed(deadlines.in(0));
  const one = timed(deadlines.in(0), () => {
    deadlines.remove(victim);
    deadlines.add(added);
  });
  deadlines.add(victim);
  deadlines.add(one);
  await tick(3);
  assert.deepEqual([one.expired, victim.expired, added.expired], [1, 0, 1]);
});

test('one that throws does not keep the others from expiring', async () => {
  const { deadlines, tick } = manual();
  const others = [timed(deadlines.in(0)), timed(deadlines.in(200))] as const;
  deadlines.add(others[0]);
  deadlines.add(
    timed(deadlines.in(0), () => {
      throw new Error('no');
    }),
  );
  deadlines.add(others[1]);
  await tick(6);
  assert.deepEqual([others[0].expired, others[1].expired], [1, 1]);
});

test('nothing ticks while nothing waits, and one timer does for all', async () => {
  const { deadlines, sleepers, tick } = manual();
  assert.equal(sleepers(), 0);
  const all = Array.from({ length: 100 }, () => timed(deadlines.in(1_000)));
  for (const t of all) deadlines.add(t);
  assert.equal(sleepers(), 1);
  for (const t of all) deadlines.remove(t);
  await tick();
  assert.equal(sleepers(), 0);
  deadlines.add(timed(deadlines.in(0)));
  await tick(2);
  await until('the ticks to stop', () => sleepers() === 0);
});

test("a stream's pace is judged by its events, after a window of grace", () => {
  const pace = new StreamPace(2);
  const events = (n: number, end: string) => Buffer.from(`data: {"a":"\\n\\n"}${end}`.repeat(n));
  assert.equal(pace.endWindow(), false);
  pace.took(events(20, '\n\n'));
  assert.equal(pace.endWindow(), false);
  pace.took(events(20, '\r\n\r\n'));
  assert.equal(pace.endWindow(), false);
  pace.took(events(19, '\n\n'));
  assert.equal(pace.endWindow(), true);
  pace.restart();
  assert.equal(pace.endWindow(), false);
});
