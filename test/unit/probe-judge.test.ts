import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkerEpisodes, checkerQuality } from '../../evals/probe/checker.ts';
import type { ProbedSuite } from '../../evals/probe/job.ts';
import { judgeProbes } from '../../evals/probe/judge.ts';
import { probeAlertText } from '../../evals/probe/message.ts';
import {
  type Counts,
  compareAcross,
  FALSE_ALARM,
  isWorseOnce,
  isWorseSince,
  pWorse,
} from '../../evals/probe/paired.ts';
import { ProbeSettings } from '../../evals/probe/settings.ts';
import { SuiteDefinition } from '../../evals/suite.ts';
import { seededRandom } from '../../src/clock.ts';
import type { ModelEvent } from '../../src/store/model-events.ts';
import type { ProbeRow } from '../../src/store/probes.ts';

let nth = 0;
const probe = (facts: Partial<ProbeRow>): ProbeRow => ({
  run_id: `p-${nth}`,
  job_id: 'scheduled',
  suite: 's',
  loop: 'l',
  reason: 'schedule',
  kind: 'maker',
  item_id: 'i',
  item_hash: 'i',
  truth: '',
  template_version: 'v1',
  served_model: 'm-1',
  score: null,
  passed: null,
  error: '',
  trace_id: `t-${nth}`,
  at: nth++,
  ...facts,
});
const before = (item: string, score: number | null, facts: Partial<ProbeRow> = {}) =>
  probe({ item_hash: item, score, ...facts });
const after = (item: string, score: number | null, facts: Partial<ProbeRow> = {}) =>
  probe({ item_hash: item, score, job_id: 'change', reason: 'model_change', served_model: 'm-2', ...facts });
const CHANGE = { jobId: 'change', servedModel: 'm-2', blamed: new Set<string>() };

test('the same items are compared, by what was asked, with the latest score of another model', () => {
  const comparison = compareAcross(
    [
      before('a', 0),
      before('a', 1), // the latest counts
      before('b', 1, { template_version: 'v0' }), // asked in other words
      before('c', null, { error: 'http_500' }),
      before('d', 1, { served_model: 'm-2' }), // the new model, before anyone knew
      before('e', 0.2),
      before('f', 1),
      after('a', 0),
      after('b', 0),
      after('c', 0),
      after('d', 0),
      after('e', 0.7),
      after('f', 1),
      after('f', null, { error: 'timeout' }),
      after('a', 1, { served_model: 'm-1' }), // the old one still answers now and then
      before('b', 1), // what came later is not before
    ],
    CHANGE,
    'job',
  );
  const { worseTraces, before: was, after: is, ...counts } = comparison;
  assert.deepEqual(counts, { pairs: 3, worse: 1, better: 1, unpaired: 3, answeredByOthers: 1 });
  assert.equal(worseTraces.length, 1);
  assert.ok(Math.abs(was! - 2.2 / 3) < 1e-12 && Math.abs(is! - 1.7 / 3) < 1e-12);
  const nothing = compareAcross([after('a', 0)], CHANGE, 'job');
  assert.deepEqual([nothing.pairs, nothing.before, pWorse(nothing)], [0, undefined, undefined]);
});

test('what a blamed model answered is no baseline: a second bad model is held against the good one', () => {
  const probes = [before('a', 1), before('a', 0, { served_model: 'm-bad' }), after('a', 0)];
  assert.equal(compareAcross(probes, CHANGE, 'job').worse, 0);
  assert.equal(compareAcross(probes, { ...CHANGE, blamed: new Set(['m-bad']) }, 'job').worse, 1);
});

test('the p-value is the exact one of McNemar’s test, one-sided', () => {
  // P(Binomial(9, ½) ≥ 8) = 10/512, and P(Binomial(7, ½) ≥ 7) = 1/128.
  assert.ok(Math.abs(pWorse({ worse: 8, better: 1 })! - 10 / 512) < 1e-9);
  assert.ok(Math.abs(pWorse({ worse: 7, better: 0 })! - 1 / 128) < 1e-9);
  assert.equal(pWorse({ worse: 3, better: 5 }), 1);
  // α/2 = 0.005: seven that fell are too few, eight are enough.
  assert.deepEqual(
    [isWorseOnce({ worse: 7, better: 0 }), isWorseOnce({ worse: 8, better: 0 })],
    [false, true],
  );
  assert.equal(isWorseSince({ worse: 0, better: 50 }), false);
});

test('of the changes that make nothing worse at most the stated share ever raises an alert, however often one looks', () => {
  const random = seededRandom(11);
  const CHANGES = 3_000;
  let alarms = 0;
  for (let n = 0; n < CHANGES; n++) {
    // Items of every difficulty, each answered afresh before and after; the first 50 in the change's job.
    const counts: Counts = { worse: 0, better: 0 };
    let isAlarm = false;
    for (let item = 1; item <= 200; item++) {
      const ease = random();
      const difference = Number(random() < ease) - Number(random() < ease);
      if (difference < 0) counts.worse++;
      if (difference > 0) counts.better++;
      isAlarm ||= isWorseSince(counts) || (item === 50 && isWorseOnce(counts));
    }
    if (isAlarm) alarms++;
  }
  // At the stated share 30 are expected, and more than 51 come up with a probability below 2e-4.
  assert.ok(alarms <= 51, `${alarms} of ${CHANGES} at ${FALSE_ALARM}`);
});

test('a model that comes to a loop a few calls at a time is judged by the answers since, each item once', () => {
  const names = Array.from({ length: 30 }, (_, n) => `i-${n}`);
  const late = (name: string, score: number) => after(name, score, { job_id: 'later', reason: 'schedule' });
  const probes = [
    ...names.map((name) => before(name, 1)),
    after('i-0', 0),
    ...names.slice(1).map((name) => after(name, 1, { served_model: 'm-1' })),
    ...names.flatMap((name) => [late(name, 0), late(name, 1)]),
  ];
  const { worse, better, pairs } = compareAcross(probes, CHANGE, 'since');
  assert.deepEqual([pairs, worse, better], [30, 30, 0]);
  const [raised, ...more] = judgeProbes({ ...KNOWN, makers: probes, changes: [change], jobId: 'later' });
  assert.equal(more.length, 0);
  assert.deepEqual([raised!.alert.evidence['p_value'], raised!.alert.state], [null, 'firing']);
  assert.match(
    probeAlertText(raised!.alert),
    /on the same 30 items\. 30 fell and 0 rose \(e-value .* at most 1 %/,
  );
});

const event: ModelEvent = {
  event_id: 'e-1',
  at: 5,
  kind: 'served_model_changed',
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
};
const suite: ProbedSuite = {
  ...SuiteDefinition.parse({ suite: 's', loop: 'l', dataset: 'd', detector: { arl: 100 } }),
  probe: ProbeSettings.parse({ from: 'recorded', checker: { agent: 'c', from: 'recorded' } }),
  file: '',
  directory: '',
};
const change = { event, jobId: 'change' };
const KNOWN = {
  suite,
  suites: [suite],
  makers: [],
  checkers: [],
  alerts: [],
  changes: [],
  jobId: 'change',
  now: 1_000_000,
};

test('a drop is raised once, and is over when the same items do better again, not when they do as badly', () => {
  const names = Array.from({ length: 20 }, (_, n) => `i-${n}`);
  const makers = [...names.map((name) => before(name, 1)), ...names.map((name) => after(name, 0))];
  const [raised, ...more] = judgeProbes({ ...KNOWN, makers, changes: [change] });
  assert.equal(more.length, 0);
  const { alert } = raised!;
  assert.deepEqual([alert.kind, alert.state], ['golden_drop', 'firing']);
  assert.deepEqual(alert.cause, { dimension: 'model', from: 'm-1', to: 'm-2' });
  const later = (score: number, n: number) =>
    names
      .slice(0, n)
      .map((name) => before(name, score, { at: 2_000_000, served_model: 'm-2', template_version: 'v2' }));
  const judged = (...probes: ProbeRow[]) =>
    judgeProbes({
      ...KNOWN,
      makers: [...makers, ...probes],
      changes: [change],
      alerts: [alert],
      jobId: 'later',
      now: 3_000_000,
    });
  assert.deepEqual(judged(), []);
  assert.deepEqual(judged(...later(0, 20)), []);
  assert.deepEqual(judged(...later(1, 3)), []);
  const [over, ...others] = judged(...later(1, 20));
  assert.equal(others.length, 0);
  assert.equal(over!.alert.state, 'resolved');
  assert.equal(over!.alert.resolved_at, new Date(2_000_000).toISOString());
});

test('a maker that gets worse under the same name is found by the series of scheduled probes, and told of once', () => {
  const random = seededRandom(3);
  const scheduled = (ease: number, n: number) =>
    Array.from({ length: n }, () => before('i', Number(random() < ease)));
  const good = scheduled(0.95, 300);
  const makers = [...good, ...scheduled(0.3, 60)];
  assert.deepEqual(judgeProbes({ ...KNOWN, makers: good }), []);
  const [raised, ...more] = judgeProbes({ ...KNOWN, makers });
  assert.equal(more.length, 0);
  const { alert } = raised!;
  assert.deepEqual([alert.kind, alert.evidence['by'], alert.cause], ['golden_drop', 'series', null]);
  assert.match(
    probeAlertText(alert),
    /^Probes of loop l: the golden score of its maker fell from 0\.9\d to 0\.\d\d, since around .* once in 100 probes/,
  );
  assert.deepEqual(judgeProbes({ ...KNOWN, makers, alerts: [alert] }), []);
  const [over] = judgeProbes({ ...KNOWN, makers: [...makers, ...scheduled(0.95, 200)], alerts: [alert] });
  assert.equal(over!.alert.state, 'resolved');
});

const verdict = (truth: 'right' | 'wrong', passed: boolean | null, facts: Partial<ProbeRow> = {}) =>
  probe({ kind: 'checker', truth, passed, ...facts });

test('a checker that begins to pass everything is one episode with its cause, and it ends when it checks again', () => {
  const good = Array.from({ length: 100 }, () => verdict('wrong', false));
  const blind = Array.from({ length: 20 }, () => verdict('wrong', true, { served_model: 'm-2' }));
  const [episode, ...others] = checkerEpisodes([...good, ...blind], 10_000);
  assert.equal(others.length, 0);
  assert.deepEqual([episode!.fault, episode!.since.run_id], ['passes_wrong', blind[0]!.run_id]);
  assert.deepEqual(
    [episode!.mistakes, episode!.verdicts, episode!.recovered],
    [episode!.verdicts, episode!.verdicts, undefined],
  );
  const [change] = judgeProbes({ ...KNOWN, checkers: [...good, ...blind] });
  assert.deepEqual(
    [change!.alert.kind, change!.alert.cause],
    ['checker_drift', { dimension: 'model', from: 'm-1', to: 'm-2' }],
  );
  const [over] = checkerEpisodes([...good, ...blind, ...good], 10_000);
  assert.ok(over!.recovered);
  // Right answers it passes all the while: no fault of the other kind.
  assert.deepEqual(
    checkerEpisodes(
      Array.from({ length: 500 }, () => verdict('right', true)),
      100,
    ),
    [],
  );
});

test('a checker that is right as often as a coin raises an alert once in arl verdicts on average, or less often', () => {
  const random = seededRandom(5);
  const ARL = 200;
  const lengths = Array.from({ length: 300 }, () => {
    const stream: ProbeRow[] = [];
    for (;;) {
      for (let n = 0; n < 500; n++) stream.push(verdict('wrong', random() < 0.5));
      const [first] = checkerEpisodes(stream, ARL);
      if (first) return stream.indexOf(first.raised) + 1;
      if (stream.length >= 5_000) return stream.length;
    }
  });
  const mean = lengths.reduce((a, b) => a + b, 0) / lengths.length;
  // Run lengths are roughly exponential: the mean of 300 is 4 standard errors below its expectation once in 30,000.
  assert.ok(mean > ARL * (1 - 4 / Math.sqrt(300)), `mean run length ${mean}`);
});

test('sensitivity and specificity come with exact intervals, and what holds no verdict is counted beside them', () => {
  assert.deepEqual(checkerQuality([]), { sensitivity: undefined, specificity: undefined, errors: 0 });
  const quality = checkerQuality([
    verdict('wrong', true, { template_version: 'v0' }),
    ...Array.from({ length: 9 }, () => verdict('right', true)),
    verdict('right', false),
    verdict('wrong', false),
    verdict('wrong', null, { error: 'no_verdict' }),
  ]);
  const { rate, n, low, high } = quality.sensitivity!;
  // Clopper & Pearson for 9 of 10.
  assert.deepEqual([rate, n, low.toFixed(4), high.toFixed(4)], [0.9, 10, '0.5550', '0.9975']);
  assert.deepEqual([quality.specificity!.rate, quality.specificity!.n, quality.errors], [1, 1, 1]);
});
