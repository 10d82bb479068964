import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initial, step } from '../../evals/detect/golden.ts';
import { watch } from '../../evals/detect/watch.ts';
import { seededRandom } from '../../src/clock.ts';
import { coin, graded, seriesOf } from '../support/loop-series.ts';

/**
 * The promise and the price of it, by simulation: how long healthy loops stay quiet, and how soon fallen ones are
 * found. LOOPSCOPE_LONG=1 runs the long form: larger promises, more loops, longer streams.
 */
const LONG = process.env['LOOPSCOPE_LONG'] === '1';

/** Scored runs watched until the first alarm of `kind`, at most `most`. */
function runLength(draw: () => number, arl: number, learnScores: number, kind: string, most: number): number {
  let state = initial({ arl, learnScores });
  const [observation] = seriesOf({ runs: 1, draw });
  for (let watched = 1 - learnScores; watched < most; watched++) {
    const result = step(state, { ...observation!, index: state.scored, score: draw() });
    state = result.state;
    if (result.events.some((event) => event.type === 'alarm' && event.alarm.kind === kind)) return watched;
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
