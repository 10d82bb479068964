import assert from 'node:assert/strict';
import { test } from 'node:test';
import { periodAt } from '../../src/gateway/limits/window.ts';

const at = (window: Parameters<typeof periodAt>[0], time: string) => {
  const { startMs, endMs } = periodAt(window, Date.parse(time));
  return [new Date(startMs).toISOString(), new Date(endMs).toISOString()];
};

test('windows follow the calendar in UTC', () => {
  const time = '2026-11-26T22:15:40.123Z';
  assert.deepEqual(at('minute', time), ['2026-11-26T22:15:00.000Z', '2026-11-26T22:16:00.000Z']);
  assert.deepEqual(at('hour', time), ['2026-11-26T22:00:00.000Z', '2026-11-26T23:00:00.000Z']);
  assert.deepEqual(at('day', time), ['2026-11-26T00:00:00.000Z', '2026-11-27T00:00:00.000Z']);
  assert.deepEqual(at('week', time), ['2026-11-23T00:00:00.000Z', '2026-11-30T00:00:00.000Z']);
  assert.deepEqual(at('month', time), ['2026-11-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z']);
});

test('the first moment of a window is in it and its end is not', () => {
  assert.deepEqual(at('week', '2026-11-23T00:00:00.000Z')[0], '2026-11-23T00:00:00.000Z');
  assert.deepEqual(at('week', '2026-11-22T23:59:59.999Z')[0], '2026-11-16T00:00:00.000Z');
  assert.deepEqual(at('month', '2028-02-29T12:00:00.000Z'), [
    '2028-02-01T00:00:00.000Z',
    '2028-03-01T00:00:00.000Z',
  ]);
  assert.deepEqual(at('month', '2026-12-31T23:59:59.999Z')[1], '2027-01-01T00:00:00.000Z');
});
