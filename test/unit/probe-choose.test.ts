import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distinct, drawn, shareOf, wrongAnswerFor } from '../../evals/probe/choose.ts';
import { dueJobs } from '../../evals/probe/due.ts';
import type { ProbedSuite } from '../../evals/probe/job.ts';
import { ProbeSettings } from '../../evals/probe/settings.ts';
import { SuiteDefinition } from '../../evals/suite.ts';
import type { GoldenRow } from '../../src/store/golden.ts';
import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ProbeJobRow } from '../../src/store/probes.ts';

const items: GoldenRow[] = Array.from({ length: 20 }, (_, n) => ({
  item_id: `i-${n}`,
  input_hash: `h-${n}`,
  input: `q-${n}`,
  expected: n % 2 ? 'yes' : 'no',
  tags: [],
}));
const DAY = Date.UTC(2026, 10, 26);
const HOUR = 3_600_000;

test('a day’s jobs ask the day’s items together, at whatever times they are due', () => {
  const sum = (perDay: number, schedule: string, dues: number[], timezone = 'UTC') =>
    dues.reduce((total, due) => total + shareOf(perDay, schedule, due, timezone), 0);
  const every3h = Array.from({ length: 8 }, (_, k) => DAY + 3 * k * HOUR);
  for (const perDay of [1, 7, 20, 1_000]) {
    assert.equal(sum(perDay, '0 */3 * * *', every3h), perDay);
    // Each suite is due some minutes after the pattern.
    assert.equal(
      sum(
        perDay,
        '0 */3 * * *',
        every3h.map((due) => due + 200_000),
      ),
      perDay,
    );
    assert.equal(sum(perDay, '0 12 * * *', [DAY + 12 * HOUR]), perDay);
    assert.equal(sum(perDay, '30 9 * * 4', [DAY + 8.5 * HOUR], 'Europe/Berlin'), perDay);
  }
});

test('on schedule every item is as likely as any other, and a job draws the same ones again', () => {
  assert.deepEqual(drawn(items, 7, 'job'), drawn(items, 7, 'job'));
  assert.notDeepEqual(drawn(items, 7, 'job'), drawn(items, 7, 'other'));
  assert.deepEqual(drawn([], 7, 'job'), []);
  const counts = new Map<string, number>();
  for (const { item_id } of drawn(items, 20_000, 'seed')) counts.set(item_id, (counts.get(item_id) ?? 0) + 1);
  // 1,000 each, give or take 5 standard deviations: off by chance with a probability below 2e-5; the ids are fixed.
  for (const item of items) assert.ok(Math.abs(counts.get(item.item_id)! - 1_000) < 155);
});

test('after a change each item is asked once, first those with a score from before', () => {
  const known = new Set(['i-3', 'i-4', 'i-5']);
  const chosen = distinct(items, ({ item_id }) => known.has(item_id), 5, 'job');
  assert.equal(new Set(chosen).size, 5);
  assert.deepEqual(new Set(chosen.slice(0, 3).map(({ item_id }) => item_id)), known);
  assert.equal(distinct(items, () => false, 100, 'job').length, 20);
});

test('a wrong answer is another item’s, and none where all expect the same', () => {
  for (const item of items)
    assert.equal(wrongAnswerFor(item, items, 'job'), item.expected === 'yes' ? 'no' : 'yes');
  assert.equal(
    wrongAnswerFor(
      items[0]!,
      items.filter(({ expected }) => expected === 'no'),
      'job',
    ),
    undefined,
  );
});

const NOW = DAY + 12 * HOUR;
const suite = (probe: object): ProbedSuite => ({
  ...SuiteDefinition.parse({ suite: 's', loop: 'l', dataset: 'd' }),
  probe: ProbeSettings.parse({ from: 'recorded', schedule: '0 6 * * *', ...probe }),
  file: '',
  directory: '',
});
const event = (id: string, at: number, kind: ModelEvent['kind'] = 'served_model_changed'): ModelEvent => ({
  event_id: id,
  at,
  kind,
  loop: 'l',
  provider: 'openai',
  model: 'm-2',
  requested_model: 'm',
  served_model: 'm-2',
  previous_model: 'm-1',
  retires_at: null,
  replacement: '',
  source: '',
  trace_id: '',
});

test('a change of model comes first and once; old ones, and others’ news, are no reason to ask', () => {
  const events = [
    event('e-new', NOW - HOUR),
    event('e-old', NOW - 40 * HOUR),
    event('e-else', NOW - HOUR, 'retirement_near'),
  ];
  const due = dueJobs(suite({}), [], events, NOW);
  assert.deepEqual(
    due.map(({ job }) => [job.reason, job.event_id]),
    [
      ['model_change', 'e-new'],
      ['schedule', ''],
    ],
  );
  const rows = due.map(
    ({ job }): ProbeJobRow => ({
      ...job,
      state: 'done',
      at: NOW,
      planned: 0,
      answered: 0,
      errors: 0,
      message: '',
    }),
  );
  assert.deepEqual(dueJobs(suite({}), rows, events, NOW), []);
  const cutOff = rows.map((row) => ({ ...row, state: 'started' as const }));
  assert.deepEqual(dueJobs(suite({}), cutOff, events, NOW), due);
  assert.deepEqual(
    dueJobs(suite({ on_model_change: false }), [], events, NOW).map(({ job }) => job.reason),
    ['schedule'],
  );
});
