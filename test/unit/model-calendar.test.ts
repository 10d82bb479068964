import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calendarOf, parseCalendar, type Retirement, shippedCalendar } from '../../evals/models/calendar.ts';
import { isSnapshotOf } from '../../evals/models/family.ts';

const row = (facts: Partial<Retirement>): Retirement => ({
  origin: 'shipped',
  provider: 'openai',
  model: 'gpt-4',
  retires_at: '2026-10-23',
  replacement: 'gpt-5.6-sol',
  source: 'https://example.com/deprecations',
  checked_at: '2026-07-30',
  ...facts,
});

test('the shipped calendar is valid, says each model once, and where and when each date was read', () => {
  const rows = shippedCalendar();
  assert.ok(rows.length > 200);
  const names = rows.map(({ provider, model }) => `${provider}/${model}`);
  assert.equal(new Set(names).size, names.length);
  for (const { source, checked_at, replacement, model } of rows) {
    assert.match(source, /^https:/);
    assert.ok(checked_at >= '2026-01-01', model);
    assert.notEqual(replacement, model);
  }
});

test('of two sources that speak of one model the later is believed, and a replacement is not forgotten', () => {
  const calendar = calendarOf(
    [row({})],
    [row({ model: 'gpt-4o', retires_at: '2027-01-14' })],
    [row({ origin: 'list', retires_at: '2026-11-30', replacement: '' })],
  );
  assert.deepEqual(calendar.find('openai', 'gpt-4'), row({ origin: 'list', retires_at: '2026-11-30' }));
  assert.equal(calendar.find('openai', 'gpt-4o')!.retires_at, '2027-01-14');
  assert.equal(calendar.find('anthropic', 'gpt-4'), undefined);
});

test('a provider is known by its other names, and a model whose provider nobody named by its own', () => {
  const calendar = calendarOf([row({ provider: 'google', model: 'gemini-2.5-pro' })]);
  assert.ok(calendar.find('gcp.gemini', 'gemini-2.5-pro'));
  assert.ok(calendar.find('', 'gemini-2.5-pro'));
  assert.equal(calendar.find('__proto__', 'gemini-2.5-pro'), undefined);
  assert.equal(calendar.find('google', ''), undefined);
});

test('a version follows the facts, not the day on which they were read again', () => {
  const version = (facts: Partial<Retirement>) => calendarOf([row(facts)]).version;
  assert.equal(version({}), version({ checked_at: '2026-11-26' }));
  assert.notEqual(version({}), version({ retires_at: '2026-10-24' }));
});

test('a calendar that is not valid is refused, naming the field', () => {
  const read = (model: object) => parseCalendar(JSON.stringify({ models: [model] }), 'settings');
  const { origin: _, ...valid } = row({});
  assert.deepEqual(read(valid), [row({ origin: 'settings' })]);
  assert.throws(() => read({ ...valid, retires_at: 'soon' }), /models\.0\.retires_at/);
  assert.throws(() => read({ ...valid, source: 'file:///etc/passwd' }), /models\.0\.source/);
  assert.throws(() => read({ ...valid, retire: 1 }), /models\.0/);
  assert.throws(() => parseCalendar('<html>', 'settings'));
});

test('a snapshot of the alias that was asked for is told from another model', () => {
  const snapshots = [
    ['gpt-4-0613', 'gpt-4'],
    ['gpt-4o-2024-08-06', 'gpt-4o'],
    ['gpt-4o-2024-08-06', 'openai/gpt-4o'],
    ['claude-sonnet-4-20250514', 'claude-sonnet-4-0'],
    ['claude-3-5-haiku-20241022', 'claude-3-5-haiku-latest'],
    ['gemini-2.0-flash-001', 'models/gemini-2.0-flash'],
    ['gpt-5', 'gpt-5'],
  ] as const;
  for (const [served, requested] of snapshots) assert.ok(isSnapshotOf(served, requested), served);
  const others = [
    ['gpt-4-turbo', 'gpt-4'],
    ['gpt-4-turbo-2024-04-09', 'gpt-4'],
    ['gpt-4o-mini-2024-07-18', 'gpt-4o'],
    ['claude-sonnet-4-5-20250929', 'claude-sonnet-4'],
    ['gpt-4', 'gpt-4-0613'],
  ] as const;
  for (const [served, requested] of others) assert.ok(!isSnapshotOf(served, requested), served);
});
