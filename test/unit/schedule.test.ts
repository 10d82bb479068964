import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseRuns, utcDay } from '../../evals/sample.ts';
import { dueAt, jobsToRun, nextDueAt } from '../../evals/schedule.ts';

const at = (time: string) => Date.parse(time);
const iso = (ms: number | undefined) => ms && new Date(ms).toISOString();

test('a job is due at its minute, not before it, and once', () => {
  const pattern = '*/15 * * * *';
  const last = at('2026-01-01T00:00:00Z');
  assert.equal(dueAt(pattern, last, at('2026-01-01T00:14:59.999Z')), undefined);
  assert.equal(iso(dueAt(pattern, last, at('2026-01-01T00:15:00.000Z'))), '2026-01-01T00:15:00.000Z');
  assert.equal(dueAt(pattern, at('2026-01-01T00:15:00Z'), at('2026-01-01T00:29:00Z')), undefined);
});

test('after downtime one job catches up', () => {
  const now = at('2026-01-03T10:07:00Z');
  const finishedDueAt = at('2026-01-01T00:00:00Z');
  assert.deepEqual(jobsToRun('0 * * * *', { finishedDueAt, unfinishedDueAt: [] }, now).map(iso), [
    '2026-01-03T10:00:00.000Z',
  ]);
});

test('a suite that never ran is due at once', () => {
  assert.equal(iso(dueAt('0 6 * * 2', undefined, at('2026-01-01T00:00:00Z'))), '2025-12-30T06:00:00.000Z');
});

test('a job that was cut off runs again, before what has come due since', () => {
  const history = { finishedDueAt: undefined, unfinishedDueAt: [at('2026-01-01T00:15:00Z')] };
  assert.deepEqual(jobsToRun('*/15 * * * *', history, at('2026-01-01T00:16:00Z')).map(iso), [
    '2026-01-01T00:15:00.000Z',
  ]);
  assert.deepEqual(jobsToRun('*/15 * * * *', history, at('2026-01-01T01:16:00Z')).map(iso), [
    '2026-01-01T00:15:00.000Z',
    '2026-01-01T01:15:00.000Z',
  ]);
});

test('patterns may have seconds, and a time zone with its daylight saving', () => {
  assert.equal(
    iso(dueAt('*/2 * * * * *', undefined, at('2026-01-01T00:00:02.000Z'))),
    '2026-01-01T00:00:02.000Z',
  );
  assert.equal(
    iso(dueAt('*/2 * * * * *', undefined, at('2026-01-01T00:00:03.999Z'))),
    '2026-01-01T00:00:02.000Z',
  );
  const berlin = (now: string) => iso(nextDueAt('0 6 * * *', at(now), 'Europe/Berlin'));
  assert.equal(berlin('2026-03-28T00:00:00Z'), '2026-03-28T05:00:00.000Z');
  assert.equal(berlin('2026-03-29T00:00:00Z'), '2026-03-29T04:00:00.000Z');
  assert.equal(iso(nextDueAt('0 6 * * *', at('2026-03-29T00:00:00Z'))), '2026-03-29T06:00:00.000Z');
});

test('whenever one looks, each due time is run at most once and the last one never skipped', () => {
  const pattern = fc.constantFrom('* * * * *', '*/15 * * * *', '7 */3 * * *', '*/10 * * * * *', '0 6 * * 2');
  const looks = fc.array(fc.integer({ min: 1, max: 6 * 3_600_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(pattern, fc.integer({ min: 0, max: 1e12 }), looks, (cron, start, gaps) => {
      let now = 1.6e12 + start;
      let finished: number | undefined;
      for (const gap of gaps) {
        now += gap;
        const due = dueAt(cron, finished, now);
        if (due !== undefined) {
          assert.ok(due <= now && (finished === undefined || due > finished));
          finished = due;
        }
        const next = nextDueAt(cron, finished!)!;
        assert.ok(next > now, 'a due time lies between the last job and now');
      }
    }),
    { numRuns: 60 },
  );
});

const candidates = (n: number, day: string) =>
  Array.from({ length: n }, (_, i) => ({ run_id: `r${i}`, day, u: ((i * 7919) % n) / n }));

test('no more runs of a day are scored than the cap, whatever was scored before', () => {
  fc.assert(
    fc.property(
      fc.nat(50),
      fc.nat(60),
      fc.integer({ min: 1, max: 40 }),
      fc.nat(100),
      (n, scored, cap, before) => {
        const days = new Map([
          ['2026-01-02', { matched: n + scored, scored }],
          ['2026-01-01', { matched: before, scored: 0 }],
        ]);
        const chosen = chooseRuns(candidates(n, '2026-01-02'), days, cap, '2026-01-02');
        assert.ok(chosen.length <= Math.max(0, cap - scored));
        if (before <= cap) assert.equal(chosen.length, Math.min(n, Math.max(0, cap - scored)));
      },
    ),
  );
});

test('a day that is over is filled up, and the running day is let in at the pace of the day before', () => {
  const days = new Map([
    ['2026-01-01', { matched: 1000, scored: 0 }],
    ['2026-01-02', { matched: 100, scored: 0 }],
  ]);
  const runs = candidates(100, '2026-01-02');
  const today = chooseRuns(runs, days, 200, '2026-01-02');
  assert.deepEqual(
    today.map((r) => r.run_id),
    runs.filter((r) => r.u < 0.2).map((r) => r.run_id),
  );
  assert.equal(chooseRuns(runs, days, 200, '2026-01-03').length, 100);
  assert.equal(utcDay(at('2026-01-02T23:59:59.999Z')), '2026-01-02');
});
