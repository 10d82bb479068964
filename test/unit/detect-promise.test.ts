import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialWatch, stepWatch, watch } from '../../evals/detect/watch.ts';
import { seededRandom } from '../../src/clock.ts';
import { answers, checker, coin, graded, type Stretch, seriesOf } from '../support/loop-series.ts';

/**
 * The promise and the price of it, by simulation: how long healthy loops stay quiet, and how soon fallen ones are
 * found. LOOPSCOPE_LONG=1 runs the long form: larger promises, more loops, longer streams.
 */
const LONG = process.env['LOOPSCOPE_LONG'] === '1';

/** Scored runs watched until the first alarm of `kind`, at most `most`. */
function runLength(draw: () => number, arl: number, learnScores: number, kind: string, most: number): number {
  const state = initialWatch({ arl, learnScores });
  const [observation] = seriesOf({ runs: 1, draw });
  for (let watched = 1 - learnScores; watched < most; watched++) {
    const events = stepWatch(state, { ...observation!, index: state.runs, score: draw() });
    if (events.some((event) => event.type === 'alarm' && event.kind === kind)) return watched;
  }
  return most;
}

for (const arl of LONG ? [200, 500, 10_000] : [200, 500])
  for (const learnScores of [50, 200])
    test(`healthy loops alarm no sooner than every ${arl} runs on average, baseline from ${learnScores}`, (t) => {
      const random = seededRandom(arl + learnScores);
      const loops = LONG ? (arl < 10_000 ? 400 : 60) : 50;
      const shapes: [string, () => number][] = [
        ['coin .5', coin(random, 0.5)],
        ['coin .84', coin(random, 0.84)],
        ['coin .9', coin(random, 0.9)],
        ['coin .98', coin(random, 0.98)],
        ['graded .8', graded(random, 0.8, 0.4)],
        ['mostly 1, else .3', () => (random() < 0.8 ? 1 : 0.3)],
      ];
      for (const kind of ['golden_drop', 'golden_rise'])
        for (const [name, draw] of shapes) {
          // Cut short, a run length only becomes smaller: what is measured is a lower bound.
          const lengths = Array.from({ length: loops }, () =>
            runLength(draw, arl, learnScores, kind, 3 * arl),
          );
          const mean = lengths.reduce((a, b) => a + b, 0) / loops;
          const variance = lengths.reduce((a, b) => a + (b - mean) ** 2, 0) / (loops - 1);
          const low = mean - 1.96 * Math.sqrt(variance / loops);
          t.diagnostic(`${kind}, ${name}: at least ${Math.round(mean)} (95 % above ${Math.round(low)})`);
          assert.ok(low >= arl, `${kind}, ${name}: measured ${mean}, lower end ${low}`);
        }
    });

test('falls are found soon, from a learnt baseline of 200 scores', (t) => {
  const random = seededRandom(77);
  // Mean delays in scored runs that must not be exceeded. The oracle, told both rates, needs 21, 9 and 3.
  const falls: [number, number, number][] = [
    [0.84, 0.5, 52],
    [0.95, 0.5, 22],
    [0.976, 0.024, 8],
  ];
  for (const arl of [10_000, 1_000_000])
    for (const [before, after, most] of falls) {
      const delays: number[] = [];
      for (let i = 0; i < (LONG ? 1000 : 150); i++) {
        const series = seriesOf(
          { runs: 200, draw: coin(random, before) },
          { runs: 600, draw: coin(random, after) },
        );
        const alarm = watch(series, { arl }).alarms.find((a) => a.kind === 'golden_drop' && a.at_run >= 200);
        delays.push(alarm ? alarm.at_run - 199 : 600);
      }
      delays.sort((a, b) => a - b);
      const mean = delays.reduce((a, b) => a + b, 0) / delays.length;
      t.diagnostic(
        `${before} to ${after} at ARL ${arl}: mean ${mean.toFixed(1)}, 95 % within ${delays[Math.floor(0.95 * delays.length)]}`,
      );
      if (arl === 10_000) assert.ok(mean <= most, `${before} to ${after}: mean delay ${mean}`);
      else assert.ok(mean <= 2 * most, `${before} to ${after}: mean delay ${mean}`);
    }
});

/** Runs to the first alarm of any kind, at most `most`, of a loop whose runs are drawn one by one. */
function firstAlarm(stretch: Omit<Stretch, 'runs'>, arl: number, most: number): [kind: string, runs: number] {
  const state = initialWatch({ arl });
  while (state.runs < most) {
    const [run] = seriesOf({ ...stretch, runs: 1 });
    const index = state.runs;
    const alarm = stepWatch(state, {
      ...run!,
      index,
      inputHash: stretch.input?.() ?? `input-${index}`,
      outputHash: stretch.output?.() ?? `output-${index}`,
    }).find((event) => event.type === 'alarm' && event.kind !== 'golden_rise');
    if (alarm) return [alarm.kind, state.runs];
  }
  return ['none', most];
}

for (const arl of LONG ? [500, 10_000] : [500])
  test(`all kinds of a healthy loop together alarm no sooner than every ${arl} runs on average`, (t) => {
    const random = seededRandom(arl);
    const none = () => null;
    const loops: [string, Omit<Stretch, 'runs'>][] = [
      [
        'all measures',
        {
          draw: coin(random, 0.8),
          verdict: checker(random, 0.9, 0.6),
          effects: coin(random, 0.7),
          output: answers(random, { yes: 0.6, no: 0.4 }),
        },
      ],
      ['checker', { draw: coin(random, 0.5), verdict: checker(random, 0.8, 0.5) }],
      ['effects', { draw: none, effects: coin(random, 0.5) }],
      ['answers', { draw: none, output: answers(random, { a: 0.5, b: 0.3, c: 0.2 }) }],
    ];
    for (const [name, stretch] of loops) {
      const firsts = Array.from({ length: LONG && arl < 10_000 ? 200 : 60 }, () =>
        firstAlarm(stretch, arl, 4 * arl),
      );
      const lengths = firsts.map(([, runs]) => runs);
      const mean = lengths.reduce((a, b) => a + b, 0) / lengths.length;
      const variance = lengths.reduce((a, b) => a + (b - mean) ** 2, 0) / (lengths.length - 1);
      const low = mean - 1.96 * Math.sqrt(variance / lengths.length);
      const kinds = Object.entries(Object.groupBy(firsts, ([kind]) => kind)).map(
        ([kind, of]) => `${kind} ${of!.length}`,
      );
      t.diagnostic(
        `${name}: at least ${Math.round(mean)} (95 % above ${Math.round(low)}); ${kinds.join(', ')}`,
      );
      assert.ok(low >= arl, `${name}: measured ${mean}, lower end ${low}`);
    }
  });

/**
 * No detector finds what a short baseline cannot tell: with n scores before and t after a drop δ of scores of
 * variance σ², the evidence of the best test there is has about δ²/(2σ²)·nt/(n+t) nats, and an ARL of 10⁴ asks for
 * more than ln 10⁴ = 9.2. For .90→.80 that is 310 runs after 1,000, and never after 200.
 */
test('small drops are found in the end, as soon as the baseline can tell them: at ten runs a week in months', (t) => {
  const none = () => null;
  const drops: [
    string,
    before: number,
    (random: () => number, p: number) => Partial<Stretch>,
    from: number,
    to: number,
    most: number,
  ][] = [
    ['golden', 200, (random, p) => ({ draw: coin(random, p) }), 0.9, 0.7, 170],
    ['golden', 1000, (random, p) => ({ draw: coin(random, p) }), 0.9, 0.8, 500],
    ['golden', 1000, (random, p) => ({ draw: coin(random, p) }), 0.98, 0.9, 220],
    ['effects', 1000, (random, p) => ({ effects: coin(random, p) }), 0.7, 0.5, 400],
    ['effects', 200, (random, p) => ({ effects: coin(random, p) }), 0.7, 0.1, 35],
  ];
  for (const [measure, before, stretch, from, to, most] of drops) {
    const delays: number[] = [];
    for (let seed = 1; seed <= (LONG ? 200 : 40); seed++) {
      const random = seededRandom(seed);
      const series = seriesOf(
        { draw: none, ...stretch(random, from), runs: before },
        { draw: none, ...stretch(random, to), runs: 10 * most },
      );
      const state = initialWatch({ arl: 10_000 });
      const alarm = series.findIndex(
        (run) =>
          stepWatch(state, run).some((e) => e.type === 'alarm' && e.kind !== 'golden_rise') &&
          run.index >= before,
      );
      // One that alarmed before there was a drop, or is found later still, counts in full.
      delays.push(alarm < 0 ? 10 * most : alarm - before + 1);
    }
    delays.sort((a, b) => a - b);
    const mean = delays.reduce((a, b) => a + b, 0) / delays.length;
    t.diagnostic(
      `${measure} ${from} to ${to} after ${before} runs: mean ${mean.toFixed(0)} runs (${(mean / 10).toFixed(0)} weeks), 95 % within ${delays[Math.floor(0.95 * delays.length)]}`,
    );
    assert.ok(mean <= most, `${measure} ${from} to ${to} after ${before}: mean delay ${mean}`);
  }
});
