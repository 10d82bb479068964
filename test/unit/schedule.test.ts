import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cron } from 'croner';
import fc from 'fast-check';
import { chooseRuns, utcDay } from '../../evals/sample.ts';
import { catchUpDelayMs, dueAt, gapMs, jobsToRun, nextDueAt, type Schedule } from '../../evals/schedule.ts';

const at = (time: string) => Date.parse(time);
const iso = (ms: number | undefined) => ms && new Date(ms).toISOString();
/** A suite whose name gives it no jitter, so that its due times are the pattern's own. */
const onTime = (schedule: string, timezone = 'UTC'): Schedule => ({
  suite: 'on-time-603495',
  schedule,
  timezone,
});

test('a job is due at its minute, not before it, and once', () => {
  const quarterly = onTime('*/15 * * * *');
  const last = at('2026-01-01T00:00:00Z');
  assert.equal(dueAt(quarterly, last, at('2026-01-01T00:14:59.999Z')), undefined);
  assert.equal(iso(dueAt(quarterly, last, at('2026-01-01T00:15:00.000Z'))), '2026-01-01T00:15:00.000Z');
  assert.equal(dueAt(quarterly, at('2026-01-01T00:15:00Z'), at('2026-01-01T00:29:00Z')), undefined);
});

test('after downtime one job catches up', () => {
  const now = at('2026-01-03T10:07:00Z');
  const finishedDueAt = at('2026-01-01T00:00:00Z');
  assert.deepEqual(jobsToRun(onTime('0 * * * *'), { finishedDueAt, unfinishedDueAt: [] }, now).map(iso), [
    '2026-01-03T10:00:00.000Z',
  ]);
});

test('a suite that never ran is due at once', () => {
  assert.equal(
    iso(dueAt(onTime('0 6 * * 2'), undefined, at('2026-01-01T00:00:00Z'))),
    '2025-12-30T06:00:00.000Z',
  );
});

test('a job that was cut off runs again, before what has come due since', () => {
  const history = { finishedDueAt: undefined, unfinishedDueAt: [at('2026-01-01T00:15:00Z')] };
  const quarterly = onTime('*/15 * * * *');
  assert.deepEqual(jobsToRun(quarterly, history, at('2026-01-01T00:16:00Z')).map(iso), [
    '2026-01-01T00:15:00.000Z',
  ]);
  assert.deepEqual(jobsToRun(quarterly, history, at('2026-01-01T01:16:00Z')).map(iso), [
    '2026-01-01T00:15:00.000Z',
    '2026-01-01T01:15:00.000Z',
  ]);
});

test('patterns may have seconds', () => {
  const everyOther = onTime('*/2 * * * * *');
  for (const now of ['2026-01-01T00:00:02.000Z', '2026-01-01T00:00:03.999Z'])
    assert.equal(iso(dueAt(everyOther, undefined, at(now))), '2026-01-01T00:00:02.000Z');
});

/** All due times in (`from`, `to`], found by asking for the next, and by looking back from each. */
function dueBetween(schedule: Schedule, from: string, to: string): string[] {
  const forth: number[] = [];
  for (let due = nextDueAt(schedule, at(from)); due !== undefined && due <= at(to); ) {
    forth.push(due);
    due = nextDueAt(schedule, due);
  }
  const back: number[] = [];
  for (let due = dueAt(schedule, at(from), at(to)); due !== undefined; ) {
    back.push(due);
    due = dueAt(schedule, at(from), due - 1);
  }
  assert.deepEqual(back.reverse(), forth);
  return forth.map((due) => new Date(due).toISOString());
}

const BERLIN_FORWARD = ['2026-03-28T12:00:00Z', '2026-03-30T12:00:00Z'] as const;
const BERLIN_BACK = ['2026-10-24T12:00:00Z', '2026-10-26T12:00:00Z'] as const;

test('a time in the hour that is skipped is due when the clock goes on', () => {
  assert.deepEqual(dueBetween(onTime('30 2 * * *', 'Europe/Berlin'), ...BERLIN_FORWARD), [
    '2026-03-29T01:00:00.000Z', // 03:00, for 02:30 is not there
    '2026-03-30T00:30:00.000Z',
  ]);
  // Two hours go in one step.
  assert.deepEqual(dueBetween(onTime('30 1 * * *', 'Antarctica/Troll'), ...BERLIN_FORWARD), [
    '2026-03-29T01:00:00.000Z',
    '2026-03-29T23:30:00.000Z',
  ]);
});

test('a time in the hour that comes twice is due the first time', () => {
  assert.deepEqual(dueBetween(onTime('30 2 * * *', 'Europe/Berlin'), ...BERLIN_BACK), [
    '2026-10-25T00:30:00.000Z',
    '2026-10-26T01:30:00.000Z',
  ]);
});

test('a pattern that names no hour keeps its pace through both, and so does a clock without summer time', () => {
  for (const [timezone, from, to] of [
    ['Europe/Berlin', '2026-03-28T23:00:00Z', '2026-03-29T03:00:00Z'],
    ['Europe/Berlin', '2026-10-24T23:00:00Z', '2026-10-25T03:00:00Z'],
    ['America/New_York', '2026-11-01T04:00:00Z', '2026-11-01T08:00:00Z'],
    ['Australia/Lord_Howe', '2026-10-03T13:00:00Z', '2026-10-03T17:00:00Z'],
  ] as const)
    assert.equal(dueBetween(onTime('*/15 * * * *', timezone), from, to).length, 16, timezone);
  assert.deepEqual(dueBetween(onTime('0 6 * * *'), ...BERLIN_FORWARD), [
    '2026-03-29T06:00:00.000Z',
    '2026-03-30T06:00:00.000Z',
  ]);
});

test('with jitter too, a clock that is set makes no due time come twice or fall out', () => {
  const zones = fc.constantFrom(
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
    'America/Santiago',
  );
  const patterns = fc.constantFrom('30 2 * * *', '0 * * * *', '0 0 * * *', '7 1-3 * * *');
  const days = fc.constantFrom(
    '2026-03-08',
    '2026-03-29',
    '2026-04-05',
    '2026-09-06',
    '2026-10-04',
    '2026-10-25',
    '2026-11-01',
  );
  fc.assert(
    fc.property(zones, patterns, days, fc.string({ minLength: 1 }), (timezone, pattern, day, suite) => {
      const from = new Date(at(`${day}T00:00:00Z`) - 43_200_000).toISOString();
      const to = new Date(at(`${day}T00:00:00Z`) + 86_400_000).toISOString();
      const due = dueBetween({ suite, schedule: pattern, timezone }, from, to).map(at);
      const cron = new Cron(pattern, { paused: true, timezone });
      // A due time belongs to the latest time of the pattern before it, and each has one.
      const times = due.map((ms) =>
        cron.previousRuns(1, new Date(Math.floor(ms / 1000) * 1000 + 1000))[0]!.getTime(),
      );
      assert.equal(new Set(times).size, times.length);
      times.forEach((time, i) => {
        if (i > 0) assert.equal(cron.nextRun(new Date(times[i - 1]!))!.getTime(), time);
        assert.ok(due[i]! - time <= 300_000);
      });
    }),
    { numRuns: 25 },
  );
});

test('a thousand suites on one pattern are spread over a tenth of its gap, each always in its own place', () => {
  const suites = Array.from({ length: 1000 }, (_, i) => ({
    suite: `suite-${i}`,
    schedule: '*/15 * * * *',
    timezone: 'UTC',
  }));
  const now = at('2026-01-01T00:14:00Z');
  const offsets = suites.map((suite) => nextDueAt(suite, now)! - at('2026-01-01T00:15:00Z'));
  assert.ok(Math.min(...offsets) >= 0 && Math.max(...offsets) < 90_000);
  // The names are fixed: of 100 expected in each tenth of them, none is far off.
  const tenths = Object.values(Object.groupBy(offsets, (offset) => Math.floor(offset / 9_000)));
  assert.equal(tenths.length, 10);
  for (const tenth of tenths) assert.ok(tenth!.length > 60 && tenth!.length < 140, String(tenth!.length));
  const later = suites.slice(0, 50).map((s) => nextDueAt(s, now + 86_400_000)! - at('2026-01-02T00:15:00Z'));
  assert.deepEqual(later, offsets.slice(0, 50));
});

test('however rare a pattern is, its jitter stays below five minutes', () => {
  for (const schedule of ['0 6 * * *', '0 6 * * 2', '0 0 1 1 *'])
    for (let i = 0; i < 50; i++) {
      const suite = { suite: `suite-${i}`, schedule, timezone: 'UTC' };
      const due = nextDueAt(suite, at('2026-01-01T12:00:00Z'))!;
      assert.ok(due - nextDueAt(onTime(schedule), at('2026-01-01T12:00:00Z'))! < 300_000);
      assert.ok(catchUpDelayMs(suite, due) < 300_000);
    }
});

test('a pattern that ends is due no more, and has no gap', () => {
  const over = onTime('0 0 0 1 1 * 2026');
  const last = dueAt(over, undefined, at('2026-06-01T00:00:00Z'));
  assert.equal(iso(last), '2026-01-01T00:00:00.000Z');
  assert.equal(nextDueAt(over, last!), undefined);
  assert.equal(gapMs(over, last!), undefined);
  assert.equal(catchUpDelayMs(over, last!), 0);
});

test('the gap is that of the next two due times, whenever one asks', () => {
  const suite = { suite: 'any', schedule: '*/15 * * * *', timezone: 'UTC' };
  for (const now of ['2026-01-01T00:00:00Z', '2026-01-01T00:00:30Z', '2026-01-01T00:14:59Z'])
    assert.equal(gapMs(suite, at(now)), 900_000);
});

test('whenever one looks, each due time is run at most once and the last one never skipped', () => {
  const pattern = fc.constantFrom('* * * * *', '*/15 * * * *', '7 */3 * * *', '*/10 * * * * *', '0 6 * * 2');
  const looks = fc.array(fc.integer({ min: 1, max: 6 * 3_600_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(
      pattern,
      fc.string({ minLength: 1 }),
      fc.integer({ min: 0, max: 1e12 }),
      looks,
      (cron, suite, start, gaps) => {
        const schedule = { suite, schedule: cron, timezone: 'UTC' };
        let now = 1.6e12 + start;
        let finished: number | undefined;
        for (const gap of gaps) {
          now += gap;
          const due = dueAt(schedule, finished, now);
          if (due !== undefined) {
            assert.ok(due <= now && (finished === undefined || due > finished));
            finished = due;
          }
          const next = nextDueAt(schedule, finished!)!;
          assert.ok(next > now, 'a due time lies between the last job and now');
        }
      },
    ),
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
