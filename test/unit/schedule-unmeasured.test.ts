import assert from 'node:assert/strict';
import { test } from 'node:test';
import { raised, resolved, type UnmeasuredEvidence } from '../../evals/unmeasured/alert.ts';
import { type Suspicion, suspicions } from '../../evals/unmeasured/judge.ts';
import { unmeasuredAlertText } from '../../evals/unmeasured/message.ts';
import type { JobStanding } from '../../src/store/jobs.ts';

/** When a suite counts as giving no scores. */

const at = (time: string) => Date.parse(`2026-01-05T${time}Z`);
const MINUTE_MS = 60_000;
/** A name without jitter, see schedule.test.ts. */
const schedule = (pattern: string) => ({ suite: 'on-time-603495', schedule: pattern, timezone: 'UTC' });
const QUARTERLY = schedule('*/15 * * * *');

const standing = (given: Partial<JobStanding>): JobStanding => ({
  suite: 'on-time-603495',
  endedDueAt: [],
  startedAt: null,
  failedSince: null,
  failed: 0,
  message: '',
  errorsSince: null,
  errors: 0,
  ...given,
});
/** The worst of what is amiss. */
const suspect = (...args: Parameters<typeof suspicions>) => suspicions(...args)[0];
const told = (found: Suspicion | undefined) =>
  found && [found.reason, new Date(found.since).toISOString().slice(11, 16)];

test('jobs that do not end are told of after three of them, from the first that was due', () => {
  const quiet = standing({ endedDueAt: [at('10:00:00'), at('09:45:00')] });
  assert.equal(suspect(QUARTERLY, quiet, at('10:59:00')), undefined);
  assert.deepEqual(told(suspect(QUARTERLY, quiet, at('11:00:00'))), ['not_run', '10:15']);
});

test('a job that was started and never ended is told of, though none ever ended', () => {
  const stuck = standing({ startedAt: at('10:00:00') });
  assert.equal(suspect(QUARTERLY, stuck, at('10:44:00')), undefined);
  assert.deepEqual(told(suspect(QUARTERLY, stuck, at('10:45:00'))), ['not_run', '10:00']);
  assert.equal(suspect(QUARTERLY, standing({}), at('10:45:00')), undefined);
});

test('the shorter the gap the sooner, but never within minutes; and never later than in a day', () => {
  const ended = standing({ endedDueAt: [at('10:00:00')] });
  const secondly = schedule('* * * * * *');
  assert.equal(suspect(secondly, ended, at('10:14:59')), undefined);
  assert.equal(suspect(secondly, ended, at('10:15:01'))?.reason, 'not_run');
  const weekly = schedule('0 10 * * 1');
  const day = 24 * 60 * MINUTE_MS;
  assert.equal(suspect(weekly, ended, at('10:00:00') + 8 * day - 1), undefined);
  assert.equal(suspect(weekly, ended, at('10:00:00') + 8 * day)?.reason, 'not_run');
});

test('a pattern that was made denser is no gap in the past', () => {
  const day = 24 * 60 * MINUTE_MS;
  const daily = [at('10:00:00'), at('10:00:00') - day, at('10:00:00') - 2 * day];
  assert.equal(suspect(QUARTERLY, standing({ endedDueAt: daily }), at('20:00:00')), undefined);
  // One long gap among short ones was downtime.
  const downtime = [at('10:00:00'), at('10:00:00') - day, at('09:45:00') - day];
  assert.equal(suspect(QUARTERLY, standing({ endedDueAt: downtime }), at('20:00:00'))?.reason, 'not_run');
});

test('a pattern that never comes again leaves nothing to wait for', () => {
  const once = schedule('0 0 10 5 1 * 2026');
  assert.equal(suspect(once, standing({ endedDueAt: [at('10:00:00')] }), at('23:00:00')), undefined);
});

test('jobs that fail are told of when it lasts, and one failure is not', () => {
  const failing = standing({
    endedDueAt: [at('11:00:00'), at('10:45:00')],
    failedSince: at('10:15:00'),
    failed: 4,
    message: 'no golden data',
  });
  assert.equal(suspect(QUARTERLY, failing, at('10:59:00')), undefined);
  assert.deepEqual(told(suspect(QUARTERLY, failing, at('11:01:00'))), ['jobs_failed', '10:15']);
});

test('errors in place of scores are told of when there are some and it lasts', () => {
  const erring = { endedDueAt: [at('11:00:00')], errorsSince: at('10:15:00') };
  assert.equal(suspect(QUARTERLY, standing({ ...erring, errors: 2 }), at('11:01:00')), undefined);
  assert.deepEqual(told(suspect(QUARTERLY, standing({ ...erring, errors: 3 }), at('11:01:00'))), [
    'scores_failed',
    '10:15',
  ]);
});

test('scores that came outside the schedule put it off, and end the errors', () => {
  const failing = standing({ endedDueAt: [at('11:00:00')], failedSince: at('10:15:00'), failed: 4 });
  assert.equal(suspect(QUARTERLY, failing, at('11:01:00'), at('10:50:00')), undefined);
  const erring = standing({ endedDueAt: [at('11:00:00')], errorsSince: at('10:15:00'), errors: 9 });
  assert.equal(suspect(QUARTERLY, erring, at('12:30:00'), at('10:50:00'))?.reason, 'not_run');
  assert.equal(
    suspect(QUARTERLY, { ...erring, endedDueAt: [at('12:30:00')] }, at('12:30:00'), at('10:50:00')),
    undefined,
  );
});

test('what is amiss in several ways is told worst first', () => {
  const both = standing({ endedDueAt: [at('10:00:00')], failedSince: at('09:00:00'), failed: 5 });
  assert.deepEqual(
    suspicions(QUARTERLY, both, at('12:00:00')).map(({ reason }) => reason),
    ['not_run', 'jobs_failed'],
  );
});

const evidence = (given: Partial<UnmeasuredEvidence>): UnmeasuredEvidence => ({
  suite: 's',
  dataset: 'd',
  reason: 'not_run',
  runs_waiting: 0,
  jobs_failed: 0,
  message: '',
  errors: 0,
  last_scored_at: null,
  ...given,
});
const alert = (given: Partial<UnmeasuredEvidence>, since = at('10:00:00')) =>
  raised('l', { reason: given.reason ?? 'not_run', since }, evidence(given), at('11:00:00'));

test('an alert is known by its suite and by when it began, not by who found it when', () => {
  assert.equal(
    alert({}).alert_id,
    raised('l', { reason: 'not_run', since: at('10:00:00') }, evidence({}), at('11:05:00')).alert_id,
  );
  assert.notEqual(alert({}).alert_id, alert({}, at('10:15:00')).alert_id);
  assert.notEqual(alert({}).alert_id, alert({ suite: 'other' }).alert_id);
});

test('its text says what is amiss, since when, what waits, and what to do', () => {
  assert.match(
    unmeasuredAlertText(alert({ runs_waiting: 7, last_scored_at: '2026-01-05T09:45:00.000Z' })),
    /^Loop l is not measured: no job of suite s has come to its end since 2026-01-05T10:00:00\.000Z\. Runs that wait for a score: 7\. The last score is of 2026-01-05T09:45:00\.000Z\..*an evals process runs/,
  );
  assert.match(
    unmeasuredAlertText(alert({ reason: 'jobs_failed', jobs_failed: 4, message: 'There is none.' })),
    /every job of suite s has failed since [^ ]+, 4 in a row: There is none\. No run ever got one\..*loopscope golden list \(dataset d\)/,
  );
  assert.match(
    unmeasuredAlertText(alert({ reason: 'scores_failed', errors: 12 })),
    /every score of suite s has been an error since [^ ]+, 12 in a row\..*loopscope eval run s/,
  );
  assert.match(
    unmeasuredAlertText(resolved(alert({}), 'measured', at('12:00:00'))),
    /^Resolved: l, suite s\. Its jobs do their work again\./,
  );
});
