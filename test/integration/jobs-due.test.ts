import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createDue } from '../../evals/due.ts';
import { nextDueAt, type Schedule } from '../../evals/schedule.ts';
import { systemClock } from '../../src/clock.ts';
import { appendJob, type JobState } from '../../src/store/jobs.ts';
import { startTestStore } from '../support/store.ts';

/** Which jobs are to be run now, with what the store knows of them and a clock that the test sets. */

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const HOUR_MS = 3_600_000;
const START = Date.parse('2026-01-05T10:07:00Z');
const suite = (name: string, schedule = '*/15 * * * *'): Schedule => ({
  suite: name,
  schedule,
  timezone: 'UTC',
});
const write = (name: string, dueAt: number, state: JobState) =>
  appendJob(server.store, {
    suite: name,
    due_at: dueAt,
    state,
    at: dueAt,
    scored: 0,
    errors: 0,
    unmatched: 0,
    message: '',
  });
/** What is due as a process sees it that starts at `START`. */
const process = async () => {
  let now = START;
  const due = createDue({ store: server.store, clock: { ...systemClock(), now: () => now } });
  await due.ready();
  return {
    due,
    jobs: (suites: readonly Schedule[]) => due.jobs(suites, () => false),
    at: (ms: number) => {
      now = ms;
    },
  };
};

test('jobs that were missed start one after the other when a process is back, each once', async () => {
  const suites = Array.from({ length: 40 }, (_, i) => suite(`missed-${i}`));
  for (const one of suites) await write(one.suite, nextDueAt(one, START - 5 * HOUR_MS)!, 'done');
  const { due, jobs, at } = await process();
  const startedIn = new Map<string, number>();
  for (let s = 0; s <= 90; s++) {
    at(START + s * 1000);
    for (const job of await jobs(suites)) {
      assert.ok(!startedIn.has(job.suite));
      assert.ok(
        job.dueAt <= START && job.dueAt > START - 900_000,
        'the last time before the start, and no other',
      );
      startedIn.set(job.suite, s);
      due.over(job);
    }
  }
  assert.equal(startedIn.size, suites.length);
  // Each has its place in a tenth of the schedule's gap; the names are fixed.
  const perTenth = Object.values(Object.groupBy(startedIn.values(), (s) => Math.floor(s / 9.1)));
  assert.ok(perTenth.length >= 9 && perTenth.every((starts) => starts!.length <= 10));
});

test('a suite that never ran, and a job that was cut off, do not wait for their place', async () => {
  const cutOffAt = nextDueAt(suite('cut-off'), START - 5 * HOUR_MS)!;
  await write('cut-off', cutOffAt, 'started');
  const { jobs } = await process();
  const found = await jobs([suite('new'), suite('cut-off')]);
  assert.deepEqual(found.map((job) => job.suite).sort(), ['cut-off', 'new']);
  assert.equal(found.find((job) => job.suite === 'cut-off')!.dueAt, cutOffAt);
});

test('a job is found until it is over, here or elsewhere', async () => {
  const { due, jobs, at } = await process();
  const suites = [suite('here'), suite('elsewhere')];
  const [here, elsewhere] = await jobs(suites);
  at(START + 1_000);
  assert.deepEqual(await jobs(suites), [here, elsewhere]);
  due.over(here!);
  await write('elsewhere', elsewhere!.dueAt, 'failed');
  at(START + 2_000);
  assert.deepEqual(await jobs(suites), []);
  // The next ones come in their time, and not a quarter of an hour late.
  at(START + 20 * 60_000);
  assert.deepEqual((await jobs(suites)).map((job) => job.suite).sort(), ['elsewhere', 'here']);
});

test('a job that was found is not forgotten for a later one', async () => {
  const { due, jobs, at } = await process();
  const [first] = await jobs([suite('slow')]);
  at(START + 2 * HOUR_MS);
  assert.deepEqual(await jobs([suite('slow')]), [first]);
  due.over(first!);
  const [next] = await jobs([suite('slow')]);
  assert.ok(next!.dueAt > START + HOUR_MS, 'one job catches up');
  assert.equal(due.isLate(next!), true);
  assert.equal(due.isLate({ suite: 'unheard-of', dueAt: 0 }), false);
});

test('a schedule that is changed counts at once', async () => {
  const { due, jobs, at } = await process();
  const yearly = suite('changed', '0 0 1 1 *');
  for (const job of await jobs([yearly])) due.over(job);
  at(START + 1_000);
  assert.deepEqual(await jobs([yearly]), []);
  assert.equal((await jobs([suite('changed', '* * * * * *')])).length, 1);
});
