import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptWatch, initialWatch, stepWatch, type WatchEvent, watch } from '../../evals/detect/watch.ts';
import { seededRandom } from '../../src/clock.ts';
import { answers, checker, coin, type Stretch, seriesOf } from '../support/loop-series.ts';

/**
 * What each kind of alarm is for, on simulated loops that change after 400 runs: by 20 seeds each. With an ARL of
 * 10,000, one of the 20 may alarm in its first 400 runs by chance with probability 0.6, in theory; the seeds stand.
 */
const ARL = 10_000;
const SEEDS = 20;
const BEFORE = 400;
const unscored = () => null;

type Loop = (random: () => number) => [before: Partial<Stretch>, after: Partial<Stretch>];

/** Each seed's events in words, in order, and when the last of them came after the change. */
function play(loop: Loop, { after = 600, seeds = SEEDS } = {}) {
  return Array.from({ length: seeds }, (_, i) => {
    const [first, second] = loop(seededRandom(i + 1));
    const series = seriesOf(
      { draw: unscored, ...first, runs: BEFORE },
      { draw: unscored, ...second, runs: after },
    );
    const state = initialWatch({ arl: ARL });
    const events: string[] = [];
    const delays: number[] = [];
    for (const run of series)
      for (const event of stepWatch(state, run)) {
        events.push(word(event));
        delays.push(run.index - BEFORE + 1);
      }
    return { events, delays };
  });
}

const word = (event: WatchEvent) =>
  event.type === 'recovered'
    ? `${event.kind} over`
    : `${event.kind}${event.joins ? ` of ${event.joins}` : ''}`;

/** Every seed has these events and no other. */
function assertAlways(what: string, loop: Loop, expected: string[], options?: { after: number }) {
  for (const [i, { events, delays }] of play(loop, options).entries()) {
    assert.deepEqual(events, expected, `${what}, seed ${i + 1}: after ${delays} runs`);
    assert.ok(
      delays.every((delay) => delay > 0),
      `${what}, seed ${i + 1}: after ${delays} runs`,
    );
  }
}

test('a checker that no longer catches what is wrong is a checker_drift, while the work stays as good as it was', () => {
  assertAlways(
    'blind',
    (random) => [
      { draw: coin(random, 0.8), verdict: checker(random, 0.95, 0.7) },
      { draw: coin(random, 0.8), verdict: checker(random, 0.95, 0.1) },
    ],
    ['checker_drift'],
  );
});

test('a checker that turns strict is a checker_drift, also while the work gets better', () => {
  assertAlways(
    'strict',
    (random) => [
      { draw: coin(random, 0.8), verdict: checker(random, 0.95, 0.7) },
      { draw: coin(random, 0.8), verdict: checker(random, 0.6, 0.7) },
    ],
    ['checker_drift'],
  );
  for (const { events } of play((random) => [
    { draw: coin(random, 0.7), verdict: checker(random, 0.95, 0.7) },
    { draw: coin(random, 0.9), verdict: checker(random, 0.6, 0.9) },
  ]))
    assert.deepEqual(events.sort(), ['checker_drift', 'golden_rise']);
});

test('work that gets worse under a checker that never caught much is a golden_drop and nothing else', () => {
  for (const catches of [0, 0.1, 0.7])
    assertAlways(
      `catches ${catches}`,
      (random) => [
        { draw: coin(random, 0.85), verdict: checker(random, 0.98, catches) },
        { draw: coin(random, 0.4), verdict: checker(random, 0.98, catches) },
      ],
      ['golden_drop'],
    );
});

test('work and checker that break by the same change are one alarm, of the golden score', () => {
  assertAlways(
    'both',
    (random) => [
      { draw: coin(random, 0.8), verdict: checker(random, 0.95, 0.7) },
      { draw: coin(random, 0.4), verdict: checker(random, 0.95, 0.05) },
    ],
    ['golden_drop', 'checker_drift of golden_drop'],
  );
});

test('a checker that breaks long after the work did is an alarm of its own', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed);
    const state = initialWatch({ arl: ARL });
    const bad = coin(random, 0.4);
    const events = seriesOf(
      { runs: 400, draw: coin(random, 0.8), verdict: checker(random, 0.95, 0.7) },
      { runs: 400, draw: bad, verdict: checker(random, 0.95, 0.7) },
      { runs: 400, draw: bad, verdict: checker(random, 0.95, 0.05) },
    ).flatMap((run) => stepWatch(state, run));
    assert.deepEqual(events.map(word), ['golden_drop', 'checker_drift'], `seed ${seed}`);
  }
});

test('a pass rate that falls says nothing without golden scores', () => {
  assertAlways(
    'unscored',
    (random) => [{ verdict: checker(random, 0, 0.1) }, { verdict: checker(random, 0, 0.8) }],
    [],
  );
});

test('effects that vanish are a no_effect without any golden score, and one that ends when they are back', () => {
  assertAlways(
    'vanished',
    (random) => [{ effects: coin(random, 0.7) }, { effects: () => 0 }],
    ['no_effect'],
    {
      after: 100,
    },
  );
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed);
    const state = initialWatch({ arl: ARL });
    const events = seriesOf(
      { runs: 400, draw: unscored, effects: coin(random, 0.7) },
      { runs: 100, draw: unscored, effects: () => 0 },
      { runs: 200, draw: unscored, effects: coin(random, 0.7) },
    ).flatMap((run) => stepWatch(state, run));
    assert.deepEqual(events.map(word), ['no_effect', 'no_effect over'], `seed ${seed}`);
  }
});

test('a loop that never had effects has none to lose', () => {
  assertAlways('never', () => [{ effects: () => 0 }, { effects: () => 0 }], [], { after: 2000 });
});

test('answers that become one, or a few, are an output_collapse', () => {
  assertAlways('one', () => [{}, { output: () => 'done' }], ['output_collapse'], { after: 40 });
  assertAlways(
    'a few',
    (random) => [{}, { output: answers(random, { a: 0.4, b: 0.3, c: 0.3 }) }],
    ['output_collapse'],
    { after: 200 },
  );
});

test('a yes or no that becomes always the same is an output_collapse, be it the one it gave most, least or never', () => {
  for (const always of ['yes', 'no', 'cannot say'])
    assertAlways(
      `always ${always}`,
      (random) => [{ output: answers(random, { yes: 0.6, no: 0.4 }) }, { output: () => always }],
      ['output_collapse'],
      { after: 200 },
    );
});

test('answers that are as alike as they always were are no alarm', () => {
  const mixes: Record<string, number>[] = [{ yes: 0.6, no: 0.4 }, { yes: 0.95, no: 0.05 }, { done: 1 }];
  for (const shares of mixes)
    assertAlways(
      JSON.stringify(shares),
      (random) => [{ output: answers(random, shares) }, { output: answers(random, shares) }],
      [],
      { after: 2000 },
    );
});

test('the same answer to the same question is no collapse', () => {
  assertAlways('same input', () => [{}, { input: () => 'q', output: () => 'a' }], [], { after: 2000 });
});

test('a collapse that ruins the golden score too is one alarm', () => {
  for (const [i, { events }] of play((random) => [
    { draw: coin(random, 0.84) },
    { draw: coin(random, 0.5), output: answers(random, { yes: 0.02, no: 0.98 }) },
  ]).entries()) {
    assert.equal(events.length, 2, `seed ${i + 1}: ${events}`);
    assert.equal(events.filter((event) => !event.includes(' of ')).length, 1, `seed ${i + 1}: ${events}`);
  }
});

test('an alarm of any kind is described by its own measure: when it was, why, and the runs that show it', () => {
  const kinds: [string, Loop][] = [
    [
      'checker_drift',
      (random) => [
        { draw: coin(random, 0.8), verdict: checker(random, 0.95, 0.7) },
        { draw: coin(random, 0.8), verdict: checker(random, 0.6, 0.7), checker: 'checks@2' },
      ],
    ],
    ['no_effect', (random) => [{ effects: coin(random, 0.7) }, { effects: () => 0, tools: 'tools-b' }]],
    ['output_collapse', () => [{}, { output: () => 'done', model: 'model-b' }]],
    [
      'output_collapse',
      (random) => [
        { output: answers(random, { yes: 0.5, no: 0.5 }) },
        { output: () => 'yes', model: 'model-b' },
      ],
    ],
  ];
  for (const [kind, loop] of kinds) {
    let told = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const [before, after] = loop(seededRandom(seed));
      const series = seriesOf(
        { draw: unscored, ...before, runs: BEFORE },
        { draw: unscored, ...after, runs: 300 },
      );
      const { alarms, joined } = watch(series, { arl: ARL });
      assert.deepEqual(
        alarms.map((alarm) => alarm.kind),
        [kind],
        `seed ${seed}`,
      );
      assert.deepEqual(joined, []);
      const alarm = alarms[0]!;
      assert.ok(
        Math.abs(alarm.change_at_run - BEFORE) <= 30,
        `${kind}, seed ${seed}: ${alarm.change_at_run}`,
      );
      assert.ok(alarm.evidence.measured.before.mean! > alarm.evidence.measured.after.mean!);
      assert.ok(alarm.evidence.look_at.length > 0);
      if (alarm.cause && alarm.change_at_run === BEFORE) told++;
    }
    assert.ok(told >= 0.8 * SEEDS, `${kind}: the cause was named for ${told} of ${SEEDS} seeds`);
  }
});

test('of the kinds that tell of one change the golden score is described, whichever came first', () => {
  let collapseCameFirst = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed);
    const series = seriesOf(
      { runs: BEFORE, draw: coin(random, 0.84) },
      { runs: 300, draw: coin(random, 0.5), output: answers(random, { yes: 0.02, no: 0.98 }) },
    );
    const { alarms, joined, recoveries } = watch(series, { arl: ARL });
    assert.deepEqual(
      alarms.map((alarm) => alarm.kind),
      ['golden_drop'],
      `seed ${seed}`,
    );
    assert.equal(joined.length, 1, `seed ${seed}`);
    assert.equal(joined[0]!.kind, 'output_collapse');
    assert.deepEqual(recoveries, []);
    if (joined[0]!.at_run < alarms[0]!.at_run) collapseCameFirst++;
  }
  assert.ok(collapseCameFirst > 0 && collapseCameFirst < SEEDS, `${collapseCameFirst} of ${SEEDS}`);
});

test('a fall that is accepted is the new normal: it is learnt, and a later fall is held against it', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed);
    const state = initialWatch({ arl: ARL });
    const step = (runs: number, draw: () => number) => {
      const series = seriesOf({ runs, draw });
      return series.flatMap((run) => stepWatch(state, { ...run, index: state.runs })).map(word);
    };
    assert.deepEqual(step(400, coin(random, 0.95)), []);
    assert.equal(acceptWatch(state, 'golden_drop'), false);
    assert.deepEqual(step(100, coin(random, 0.6)), ['golden_drop']);
    assert.equal(acceptWatch(state, 'no_effect'), false);
    assert.equal(acceptWatch(state, 'golden_drop'), true);
    assert.deepEqual(step(400, coin(random, 0.6)), [], `seed ${seed}`);
    assert.deepEqual(step(100, coin(random, 0.1)), ['golden_drop'], `seed ${seed}`);
  }
});

test('a checker that stays broken when the work is good again is an alarm from then on, and a second drop is one too', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed);
    const state = initialWatch({ arl: ARL });
    const [good, bad] = [coin(random, 0.8), coin(random, 0.3)];
    const blind = checker(random, 0.95, 0.02);
    const events = seriesOf(
      { runs: 400, draw: good, verdict: checker(random, 0.95, 0.8) },
      { runs: 200, draw: bad, verdict: blind },
      { runs: 200, draw: good, verdict: blind },
      { runs: 200, draw: bad, verdict: blind },
    ).flatMap((run) => stepWatch(state, run));
    assert.deepEqual(
      events.map(word),
      ['golden_drop', 'checker_drift of golden_drop', 'golden_drop over', 'checker_drift', 'golden_drop'],
      `seed ${seed}`,
    );
  }
});
