import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  describeEvent,
  initialWatch,
  stepScore,
  stepWatch,
  type WatchEvent,
  type WatchState,
  watch,
} from '../../evals/detect/watch.ts';
import { seededRandom } from '../../src/clock.ts';
import type { Observation } from '../../src/records/observation.ts';
import { coin, graded, type Stretch, seriesOf } from '../support/loop-series.ts';

const ARL = 10_000;
const collapse = (seed: number, before: Partial<Stretch> = {}, after: Partial<Stretch> = {}) => {
  const random = seededRandom(seed);
  return seriesOf(
    { runs: 300, draw: coin(random, 0.9), ...before },
    { runs: 150, draw: coin(random, 0.4), ...after },
  );
};

test('a loop is learning until it has 50 scores, however many runs it has', () => {
  const none = watch(seriesOf({ runs: 500, draw: () => null }), { arl: ARL });
  assert.deepEqual(none.alarms, []);
  assert.equal(none.state.phase, 'learning');
  assert.equal(none.state.baseline, null);
  const random = seededRandom(1);
  const few = watch(seriesOf({ runs: 49, draw: coin(random, 0.9) }), { arl: ARL });
  assert.equal(few.state.phase, 'learning');
  const enough = watch(seriesOf({ runs: 50, draw: coin(random, 0.9) }), { arl: ARL });
  assert.equal(enough.state.phase, 'watching');
  assert.equal(enough.state.baseline!.n, 50);
  assert.ok(enough.state.baseline!.low < enough.state.baseline!.mean);
});

test('a collapse is one alarm with its moment, its cause and its evidence', () => {
  const series = collapse(2, {}, { model: 'model-b' });
  const { alarms, state } = watch(series, { arl: ARL });
  assert.equal(alarms.length, 1);
  const alarm = alarms[0]!;
  assert.equal(alarm.kind, 'golden_drop');
  assert.equal(alarm.change_at_run, 300);
  assert.equal(alarm.change_at, series[300]!.at);
  assert.equal(alarm.at, series[alarm.at_run]!.at);
  assert.ok(alarm.at_run < 360);
  assert.deepEqual(alarm.cause, { dimension: 'model', from: 'model-a', to: 'model-b' });
  assert.ok(alarm.e_value >= alarm.evidence.threshold && alarm.evidence.threshold > ARL);
  assert.ok(alarm.golden.before! > 0.85 && alarm.golden.after! < 0.6);
  assert.deepEqual(alarm.checker_pass_rate, { before: 1, after: 1 });
  assert.deepEqual(alarm.evidence.runs, { before: 300, after: alarm.at_run - 299 });
  const [low, high] = alarm.evidence.change_at_run_interval;
  assert.ok(low <= alarm.evidence.change_at_run_by_score && alarm.evidence.change_at_run_by_score <= high);
  assert.ok(alarm.evidence.look_at.length > 0 && alarm.evidence.look_at.length <= 20);
  for (const id of alarm.evidence.look_at) {
    const run = series.find((r) => r.runId === id)!;
    assert.ok(run.index >= 300 && run.score === 0);
  }
  assert.equal(state.phase, 'alarmed');
});

test('each kind of version is named as the cause when it alone changed with the scores', () => {
  const changes: [string, Partial<Stretch>, string][] = [
    ['model', { model: 'b' }, 'model-a'],
    ['prompt', { prompt: 'b' }, 'prompt-a'],
    ['tools', { tools: 'b' }, 'tools-a'],
    ['checker', { checker: 'b' }, 'checks@1'],
  ];
  for (const [dimension, change, from] of changes) {
    let named = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const alarm = watch(collapse(seed, {}, change), { arl: ARL }).alarms[0]!;
      if (alarm.cause === null) continue;
      named++;
      assert.deepEqual(alarm.cause, { dimension, from, to: 'b' });
      assert.equal(alarm.change_at_run, 300);
    }
    assert.ok(named >= 18, `${dimension} was named ${named} times of 20`);
  }
});

test('when two versions changed in the same run the moment is known and the cause is not', () => {
  const alarm = watch(collapse(3, {}, { model: 'b', prompt: 'b' }), { arl: ARL }).alarms[0]!;
  assert.equal(alarm.cause, null);
  assert.equal(alarm.change_at_run, 300);
  assert.deepEqual(alarm.evidence.candidates.map((c) => c.dimension).sort(), ['model', 'prompt']);
});

test('without a version change the cause is unknown and the scores date the change', () => {
  const errors: number[] = [];
  for (let seed = 1; seed <= 60; seed++) {
    const alarm = watch(collapse(seed), { arl: ARL }).alarms[0]!;
    assert.equal(alarm.cause, null, `seed ${seed}`);
    assert.deepEqual(alarm.evidence.candidates, []);
    errors.push(Math.abs(alarm.change_at_run - 300));
  }
  errors.sort((a, b) => a - b);
  assert.ok(errors[30]! <= 5, `median error ${errors[30]}`);
});

test('an unknown version is no version', () => {
  for (const unknown of ['', 'unknown'])
    for (const change of [
      [{ model: unknown }, {}],
      [{}, { model: unknown }],
    ] as const)
      assert.equal(watch(collapse(4, ...change), { arl: ARL }).alarms[0]!.cause, null);
});

test('harmless version changes before the collapse are not blamed', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed);
    const good = coin(random, 0.9);
    const flips = Array.from({ length: 10 }, (_, i) => ({
      runs: 20,
      draw: good,
      model: i % 2 ? 'model-b' : 'model-a',
      prompt: `prompt-${i}`,
    }));
    const series = seriesOf(...flips, { runs: 100, draw: good }, { runs: 150, draw: coin(random, 0.4) });
    const alarm = watch(series, { arl: ARL }).alarms[0]!;
    assert.equal(alarm.cause, null, `seed ${seed}: ${JSON.stringify(alarm.cause)}`);
  }
});

test('a canary before the switch moves neither the cause nor the moment', () => {
  const random = seededRandom(8);
  const series = collapse(8, {}, { model: 'model-b' });
  for (const run of series) if (run.index < 300 && random() < 0.1) run.servedModel = 'model-b';
  const alarm = watch(series, { arl: ARL }).alarms[0]!;
  assert.deepEqual(alarm.cause, { dimension: 'model', from: 'model-a', to: 'model-b' });
  assert.ok(Math.abs(alarm.change_at_run - 300) <= 3, `${alarm.change_at_run}`);
});

test('runs that were not scored advance the index and the verdicts, and the first of the new version is the change', () => {
  const random = seededRandom(9);
  const scored = (p: number) => () => (random() < 0.25 ? Number(random() < p) : null);
  const series = seriesOf(
    { runs: 1200, draw: scored(0.9), pass: null },
    { runs: 5, draw: () => null, model: 'model-b' },
    { runs: 600, draw: scored(0.4), model: 'model-b', pass: false },
  );
  const alarm = watch(series, { arl: ARL }).alarms[0]!;
  assert.equal(alarm.change_at_run, 1200);
  assert.equal(alarm.evidence.runs.before, 1200);
  assert.ok(alarm.evidence.scored.before < 400);
  assert.equal(alarm.checker_pass_rate.before, null);
  assert.ok(alarm.checker_pass_rate.after! < 0.1);
});

test('a loop that gets well again is called recovered, and a second collapse is a second alarm', () => {
  const random = seededRandom(10);
  const good = coin(random, 0.9);
  const bad = coin(random, 0.4);
  const series = seriesOf(
    { runs: 300, draw: good },
    { runs: 200, draw: bad, model: 'model-b' },
    { runs: 300, draw: good },
    { runs: 200, draw: bad, model: 'model-c' },
  );
  const { alarms, recoveries, state } = watch(series, { arl: ARL });
  assert.deepEqual(
    alarms.map((a) => [a.kind, a.change_at_run, a.cause?.to]),
    [
      ['golden_drop', 300, 'model-b'],
      ['golden_drop', 800, 'model-c'],
    ],
  );
  assert.equal(recoveries.length, 1);
  assert.equal(recoveries[0]!.alarm, 0);
  assert.ok(recoveries[0]!.at_run > 500 && recoveries[0]!.at_run < 600, `${recoveries[0]!.at_run}`);
  assert.equal(state.phase, 'alarmed');
});

test('a loop that stays down is not called recovered', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed);
    const series = seriesOf({ runs: 300, draw: coin(random, 0.84) }, { runs: 2000, draw: coin(random, 0.5) });
    const { alarms, recoveries } = watch(series, { arl: ARL });
    assert.equal(alarms.length, 1, `seed ${seed}`);
    assert.deepEqual(recoveries, [], `seed ${seed}`);
  }
});

test('a rise is reported as a rise, and the new level is what a later fall is held against', () => {
  const random = seededRandom(11);
  const series = seriesOf(
    { runs: 300, draw: coin(random, 0.5) },
    { runs: 400, draw: coin(random, 0.95), model: 'model-b' },
    { runs: 200, draw: coin(random, 0.6), model: 'model-c' },
  );
  const { alarms } = watch(series, { arl: ARL });
  assert.deepEqual(
    alarms.map((a) => [a.kind, a.change_at_run, a.cause?.to]),
    [
      ['golden_rise', 300, 'model-b'],
      ['golden_drop', 700, 'model-c'],
    ],
  );
});

test('scores between 0 and 1 are watched too, and small falls of steady scores are seen', () => {
  const random = seededRandom(12);
  const series = seriesOf(
    { runs: 300, draw: graded(random, 0.8, 0.2) },
    { runs: 300, draw: graded(random, 0.7, 0.2) },
  );
  const { alarms } = watch(series, { arl: ARL });
  assert.equal(alarms.length, 1);
  assert.equal(alarms[0]!.kind, 'golden_drop');
  assert.ok(alarms[0]!.at_run < 450, `${alarms[0]!.at_run}`);
});

test('a loop that is always right or always wrong never alarms by standing still', () => {
  for (const score of [0, 0.5, 1]) {
    const { alarms } = watch(seriesOf({ runs: 5000, draw: () => score }), { arl: 500 });
    assert.deepEqual(alarms, [], `score ${score}`);
  }
});

test('the state can be stored as JSON between any two runs', () => {
  const random = seededRandom(13);
  const series = seriesOf(
    { runs: 200, draw: coin(random, 0.9) },
    { runs: 100, draw: coin(random, 0.3), model: 'model-b' },
    { runs: 200, draw: coin(random, 0.9) },
  );
  const run = (store: boolean) => {
    let state = initialWatch({ arl: ARL });
    return series.flatMap((observation) => {
      if (store) state = JSON.parse(JSON.stringify(state));
      return stepWatch(state, observation);
    });
  };
  assert.deepEqual(run(true), run(false));
  assert.equal(run(false).length, 2);
});

test('the state stays small, and an alarm after a very long time still has its moment', () => {
  const random = seededRandom(14);
  const long = seriesOf({ runs: 30_000, draw: coin(random, 0.9) }, { runs: 100, draw: coin(random, 0.4) });
  const state = initialWatch({ arl: 1e6 });
  let bytesMax = 0;
  let moment: number | undefined;
  for (const [i, observation] of long.entries()) {
    for (const event of stepWatch(state, observation))
      if (event.type === 'alarm') moment = describeEvent(event, long).change_at_run;
    if (i % 500 === 0) bytesMax = Math.max(bytesMax, JSON.stringify(state).length);
  }
  assert.ok(bytesMax < 4096, `${bytesMax} bytes`);
  assert.ok(Math.abs(moment! - 30_000) < 20, `${moment}`);
});

test('an alarm is described alike whenever it is, from whatever later runs are there too', () => {
  const series = collapse(15, {}, { model: 'model-b' });
  const state = initialWatch({ arl: ARL });
  const [event] = series.flatMap((run) => stepWatch(state, run)).filter((e) => e.type === 'alarm');
  const [alarm] = watch(series, { arl: ARL }).alarms;
  assert.deepEqual(describeEvent(event!, series), alarm);
  assert.deepEqual(describeEvent(event!, series.slice(0, alarm!.at_run + 1)), alarm);
  assert.throws(() => describeEvent(event!, series.slice(0, 10)), /among the 10 runs given/);
});

test('scores that come late are taken in the order they come, and the alarm is dated by the runs', () => {
  const random = seededRandom(16);
  const series = collapse(16, {}, { model: 'model-b' });
  // A score comes up to 20 runs late.
  const arrival = series
    .map((run) => ({ run, at: run.index + random() * 20 }))
    .sort((a, b) => a.at - b.at)
    .map(({ run }) => run);
  const state = initialWatch({ arl: ARL });
  const events = arrival.flatMap((run) => stepWatch(state, run));
  assert.equal(events.length, 1);
  const [event] = events;
  assert.ok(event?.type === 'alarm' && event.kind === 'golden_drop');
  const alarm = describeEvent(event, series);
  assert.equal(alarm.change_at_run, 300);
  assert.equal(alarm.cause?.to, 'model-b');
});

test('a run may be stepped when it is over and its score when that arrives', () => {
  const series = collapse(17, { effects: () => 1 }, { effects: () => 0, verdict: () => false });
  const play = (each: (state: WatchState, run: Observation) => readonly WatchEvent[]) => {
    const state = initialWatch({ arl: ARL });
    const events = series.flatMap((run) => each(state, run));
    return { kinds: events.map(({ type, kind }) => `${type} ${kind}`), levels: state.levels };
  };
  const atOnce = play(stepWatch);
  const apart = play((state, run) => [
    ...stepWatch(state, { ...run, score: null }),
    ...stepScore(state, run),
  ]);
  assert.deepEqual(apart.kinds.sort(), atOnce.kinds.sort());
  assert.ok(atOnce.kinds.includes('alarm golden_drop') && atOnce.kinds.includes('alarm no_effect'));
  // Where its values stand, counted in steps, is the one thing that differs.
  assert.deepEqual(apart.levels.golden!.baseline, atOnce.levels.golden!.baseline);
});

test('a score outside [0,1] and a senseless run length are refused', () => {
  const bad: Observation = { ...seriesOf({ runs: 1, draw: () => 1 })[0]!, score: 1.2 };
  assert.throws(() => watch([bad], { arl: ARL }), /run r-0: expected a score in \[0, 1\], got 1.2/);
  assert.throws(() => watch([], { arl: 0 }), /expected an arl of at least 1 run, got 0/);
});
