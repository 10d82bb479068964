import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute } from '../../evals/attribute/attribute.ts';
import type { FleetEvidence } from '../../evals/attribute/cause.ts';
import { byScore, byVerdict, judgedTwice } from '../../evals/attribute/pairs.ts';
import { VERSIONS, versionChanges } from '../../evals/attribute/versions.ts';
import { rejudge } from '../../evals/detect/alarm.ts';
import { watch } from '../../evals/detect/watch.ts';
import { seededRandom } from '../../src/clock.ts';
import type { Observation } from '../../src/records/observation.ts';
import { coin, type Stretch, seriesOf } from '../support/loop-series.ts';

const scores = (runs: readonly Observation[]) => runs.map((run) => run.score);
const collapse = (seed: number, before: Partial<Stretch>, after: Partial<Stretch>) => {
  const random = seededRandom(seed);
  return seriesOf(
    { runs: 300, draw: coin(random, 0.9), ...before },
    { runs: 60, draw: coin(random, 0.4), ...after },
  );
};

test('a version that came and went while the level stayed is no candidate, and neither is an unknown one', () => {
  const random = seededRandom(1);
  const draw = coin(random, 0.9);
  const changes = (...models: string[]) =>
    versionChanges(seriesOf(...models.map((model) => ({ runs: 100, draw, model }))), VERSIONS.model);
  assert.deepEqual(changes('a', 'b'), [{ from: 'a', to: 'b', position: 100 }]);
  assert.deepEqual(changes('a', 'b', 'a', 'a', 'a'), [{ from: 'b', to: 'a', position: 200 }]);
  assert.deepEqual(
    changes('a', 'b', 'c').map((c) => [c.from, c.to, c.position]),
    [
      ['b', 'c', 200],
      ['a', 'b', 100],
    ],
  );
  assert.deepEqual(changes('a', ''), []);
  assert.deepEqual(changes('a', 'unknown', 'a'), []);
});

test('answers that were judged twice are told apart by who judged them', () => {
  const run = (score: number, pass: boolean, output = 'same'): Observation => ({
    ...seriesOf({ runs: 1, draw: () => score, pass, output: () => output })[0]!,
    inputHash: 'input',
  });
  const across = (then: Observation, now: Observation, of: 'score' | 'verdict') =>
    judgedTwice([then], [now], of === 'score' ? byScore('golden_drop') : byVerdict).across;
  assert.deepEqual(across(run(1, true), run(0, true), 'score'), { pairs: 1, worse: 1, better: 0 });
  assert.deepEqual(across(run(1, true), run(0, true), 'verdict'), { pairs: 1, worse: 0, better: 0 });
  // The golden score says the answer is right: to fail it now is worse, to pass it now is better.
  assert.deepEqual(across(run(1, true), run(1, false), 'verdict'), { pairs: 1, worse: 1, better: 0 });
  assert.deepEqual(across(run(1, false), run(1, true), 'verdict'), { pairs: 1, worse: 0, better: 1 });
  assert.deepEqual(across(run(0, false), run(0, true), 'verdict'), { pairs: 1, worse: 1, better: 0 });
  assert.equal(across(run(1, true), run(0, true, 'other'), 'score').pairs, 0);
});

test('golden data that judge the same answers otherwise are the cause, by their version and without one', () => {
  for (const versions of [
    [{ dataset: 'd@1' }, { dataset: 'd@2' }],
    [{ dataset: '' }, { dataset: '' }],
  ] as const) {
    const runs = collapse(2, versions[0], versions[1]);
    // Forty inputs, each with one answer; a right one is scored 0 from 300 on for half of them.
    for (const run of runs) {
      const item = run.index % 40;
      run.inputHash = `item-${item}`;
      run.outputHash = `answer-${item}`;
      run.score = item % 10 === 0 || (run.index >= 300 && item % 2 === 1) ? 0 : 1;
    }
    const found = attribute('golden_drop', runs, scores(runs));
    assert.equal(found.cause?.dimension, 'dataset', JSON.stringify(found));
    assert.deepEqual([found.cause!.from, found.cause!.to], [versions[0].dataset, versions[1].dataset]);
    const pairs = found.paired.find((p) => p.of === 'score')!;
    assert.ok(pairs.worse >= 15 && pairs.better === 0 && pairs.p_value! < 0.001);
  }
});

test('a new dataset that judges the same answers as before is not blamed for a fall at the same time', () => {
  const runs = collapse(3, { dataset: 'd@1' }, { dataset: 'd@2' });
  for (const run of runs) {
    // The answers got worse: what was answered is new wherever the score is.
    run.inputHash = `item-${run.index % 40}`;
    run.outputHash = `answer-${run.index % 40}-${run.score}`;
  }
  const found = attribute('golden_drop', runs, scores(runs));
  assert.notEqual(found.cause?.dimension, 'dataset', JSON.stringify(found.candidates));
});

test('a shift to harder tasks is the cause, with the mix before and after, whatever versions changed nearby', () => {
  const random = seededRandom(4);
  const task = (hard: number) => () => (random() < hard ? 'hard' : 'easy');
  const runs = seriesOf(
    { runs: 280, draw: () => 0, task: task(0.1) },
    { runs: 20, draw: () => 0, task: task(0.1), prompt: 'prompt-b' },
    { runs: 80, draw: () => 0, task: task(0.7), prompt: 'prompt-b' },
  );
  for (const run of runs) run.score = Number(random() < (run.task === 'hard' ? 0.3 : 0.95));
  const found = attribute('golden_drop', runs, scores(runs));
  assert.equal(found.cause?.dimension, 'tasks', JSON.stringify(found));
  assert.match(found.cause!.from, /^easy \d\d %, hard \d+ %$/);
  assert.match(found.cause!.to, /^hard \d\d %, easy \d\d %$/);
  assert.ok(Math.abs(found.atRun! - 300) <= 10, `${found.atRun}`);
  assert.ok(found.taskMix!.mix < -0.2 && found.taskMix!.mix_p_value <= 0.01);
});

test('what the other loops did on the new model speaks for it or against it', () => {
  const runs = collapse(5, {}, { model: 'model-b', prompt: 'prompt-b' });
  const fleet = (facts: Partial<FleetEvidence>): FleetEvidence => ({
    from: 'model-a',
    to: 'model-b',
    moved: 12,
    moved_fell: 0,
    stayed: 40,
    stayed_fell: 1,
    ...facts,
  });
  assert.equal(attribute('golden_drop', runs, scores(runs)).cause, null);
  assert.equal(
    attribute('golden_drop', runs, scores(runs), [fleet({ moved_fell: 7 })]).cause?.dimension,
    'model',
  );
  assert.equal(attribute('golden_drop', runs, scores(runs), [fleet({})]).cause?.dimension, 'prompt');
  const other = fleet({ moved_fell: 7, to: 'model-c' });
  assert.equal(attribute('golden_drop', runs, scores(runs), [other]).cause, null);
});

test('an alarm that could not be put to a cause is, once more runs have come', () => {
  let unknown = 0;
  let known = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const random = seededRandom(seed);
    const runs = seriesOf(
      { runs: 300, draw: coin(random, 0.9) },
      { runs: 25, draw: coin(random, 0.9), prompt: 'prompt-b' },
      { runs: 400, draw: coin(random, 0.4), prompt: 'prompt-b', model: 'model-b' },
    );
    const alarm = watch(runs, { arl: 10_000 }).alarms[0]!;
    const later = rejudge(alarm, runs);
    assert.deepEqual([later.at_run, later.e_value], [alarm.at_run, alarm.e_value]);
    assert.ok(later.evidence.judged_at_run > alarm.evidence.judged_at_run);
    if (alarm.cause?.dimension === 'model') known++;
    if (later.cause?.dimension !== 'model') unknown++;
  }
  assert.ok(known >= 30 && unknown <= 2, `${known} known at the alarm, ${unknown} unknown later`);
});

test('an alarm is judged again by itself only: without its runs it stays as it was', () => {
  const runs = collapse(6, {}, { model: 'model-b' });
  const alarm = watch(runs, { arl: 10_000 }).alarms[0]!;
  const upToAlarm = runs.filter((run) => run.index <= alarm.at_run);
  assert.deepEqual(rejudge(alarm, upToAlarm), alarm);
  assert.deepEqual(rejudge(alarm, []), alarm);
  assert.deepEqual(rejudge(alarm, runs.slice(alarm.change_at_run + 1)), alarm);
});

test('an alarm names the command that replays a run, safe to paste', () => {
  const runs = collapse(7, {}, { model: 'model-b' });
  const [alarm] = watch(runs, { arl: 10_000 }).alarms;
  assert.equal(alarm!.evidence.replay, `loopscope replay ${alarm!.evidence.look_at[0]}`);
  for (const run of runs) run.runId = `it's $(${run.index})`;
  const [odd] = watch(runs, { arl: 10_000 }).alarms;
  assert.match(odd!.evidence.replay!, /^loopscope replay 'it'\\''s \$\(\d+\)'$/);
});
