import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clip, ofOne, wordsOf } from '../../evals/notify/text.ts';
import { alertOf, historyOf, itemFor, noticeOf } from '../support/notify.ts';

/** What people read: what happened, since when, how sure, what changed, and the one command to look further. */

const loops = (n: number) => Array.from({ length: n }, (_, i) => `l-${String(i).padStart(2, '0')}`);

test('a notice of one alert says what the alert says, in three lengths', () => {
  const { subject, short, long, command } = wordsOf(noticeOf(['primes']));
  assert.equal(
    subject,
    'Loop primes no longer does its work: its golden score fell from 0.91 to 0.36 while its checker passes from 99.0 % to 95.0 % of its runs.',
  );
  assert.ok(short.startsWith(subject));
  for (const wanted of [
    '2026-03-01T08:50:00.000Z',
    'A false alarm comes at most once in 10,000 runs',
    'model, from gpt-4.1 to gpt-4.1-nano',
    'Look further: loopscope alerts --loop primes',
  ])
    assert.ok(long.includes(wanted), long);
  assert.equal(command, 'loopscope alerts --loop primes');
  assert.match(wordsOf(noticeOf(['primes'], ['primes'])).subject, /^Resolved: primes\.$/);
});

test('a notice of many says how many, since when, and what they have in common', () => {
  const { subject, short, long, command } = wordsOf(noticeOf(loops(20)));
  assert.equal(
    subject,
    '20 loops no longer do their work since 2026-03-01T08:50:00.000Z: model, from gpt-4.1 to gpt-4.1-nano',
  );
  assert.match(short, /Loops: l-00, l-01, /);
  assert.match(
    long,
    /For each of them a false alarm comes at most once in 10,000 runs on average\.\nLook further: loopscope alerts$/,
  );
  assert.equal(command, 'loopscope alerts');
  const many = wordsOf(noticeOf(loops(1_000)));
  assert.ok(many.long.length < 20_000 && many.subject.length <= 200, String(many.long.length));
  assert.match(many.long, /- and 980 more\n/);
});

test('some that are well again are told apart from the end of all', () => {
  assert.match(
    wordsOf(noticeOf(loops(3), ['l-00'])).long,
    /^2 loops no longer do their work since .*\nOver: 1; still open: 2\.\n/,
  );
  const over = wordsOf(noticeOf(loops(3), loops(3)));
  assert.match(over.subject, /^Resolved: 3 loops, amiss since .*: model, from gpt-4\.1 to gpt-4\.1-nano$/);
  assert.match(over.long, /All 3 are over\./);
});

test('alerts of several kinds in one notice are not said to be of one', () => {
  const members = ['golden_drop', 'no_effect'].map((kind, i) =>
    itemFor(historyOf(`l-${i}`, 0, undefined, { kind }).firing),
  );
  const { subject } = wordsOf({ key: 'k', groupId: 'g', changes: members, members });
  assert.match(subject, /^2 loops need a look since /);
});

test('the command is the one that the kind of alert asks for', () => {
  const unmeasured = alertOf('primes', {
    kind: 'unmeasured',
    cause: null,
    evidence: {
      suite: 'primes-golden',
      dataset: 'primes',
      reason: 'jobs_failed',
      runs_waiting: 3,
      jobs_failed: 4,
      message: 'no golden data.',
      errors: 0,
      last_scored_at: null,
    },
  });
  assert.equal(ofOne({ alert: unmeasured }).command, 'loopscope eval run primes-golden');
  const probed = alertOf('primes', {
    kind: 'checker_drift',
    evidence: {
      source: 'probe',
      suite: 's',
      by: 'verdicts',
      fault: 'passes_wrong',
      agent: 'reviewer',
      verdicts: 9,
      mistakes: 8,
      arl: 1000,
      look_at: ['t1'],
    },
  });
  assert.equal(ofOne({ alert: probed }).command, 'loopscope alerts --loop primes');
});

test('a text is cut where it must be, and no character in half', () => {
  assert.equal(clip('abc', 3), 'abc');
  assert.equal(clip('abcd', 3), 'ab…');
  assert.equal(clip('a🙂🙂', 3), 'a…');
});
