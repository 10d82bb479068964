import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extendSequence, sequenceInterval, startSequence } from '../../evals/stats/confidence-sequence.ts';
import { seededRandom } from '../../src/clock.ts';
import { coin, graded } from '../support/loop-series.ts';

const LONG = process.env['LOOPSCOPE_LONG'] === '1';

test('the confidence sequence holds at every time at once', (t) => {
  const random = seededRandom(21);
  const rounds = LONG ? 1000 : 200;
  const length = LONG ? 10_000 : 1500;
  const shapes: [string, number, () => number][] = [
    ['coin .5', 0.5, coin(random, 0.5)],
    ['coin .9', 0.9, coin(random, 0.9)],
    ['coin .98', 0.98, coin(random, 0.98)],
    ['graded .7', 0.7, graded(random, 0.7, 0.4)],
    ['rarely high', 0.145, () => (random() < 0.05 ? 1 : 0.1)],
  ];
  for (const [name, mean, draw] of shapes) {
    let wrong = 0;
    for (let round = 0; round < rounds; round++) {
      let sequence = startSequence(0.1);
      for (let i = 0; i < length && sequence.from <= mean && mean <= sequence.to; i++)
        sequence = extendSequence(sequence, draw());
      if (mean < sequence.from || mean > sequence.to) wrong++;
    }
    t.diagnostic(`${name}: wrong at some time in ${wrong} of ${rounds}`);
    // A tenth is promised; three standard deviations of a share of it.
    assert.ok(wrong <= rounds * 0.1 + 3 * Math.sqrt(rounds * 0.09), `${name}: ${wrong} of ${rounds}`);
  }
});

test('it closes in, faster where values vary little', () => {
  const random = seededRandom(22);
  const after = (n: number, draw: () => number) => {
    let sequence = startSequence(0.05);
    for (let i = 0; i < n; i++) sequence = extendSequence(sequence, draw());
    const { low, high } = sequenceInterval(sequence)!;
    return high - low;
  };
  const wide = after(1000, coin(random, 0.5));
  const narrow = after(1000, graded(random, 0.5, 0.3));
  assert.ok(wide < 0.2, `${wide}`);
  assert.ok(narrow < 0.6 * wide, `${narrow}`);
  assert.ok(after(4000, coin(random, 0.5)) < 0.65 * wide);
});

test('the intermediate figures are those of the theorem, on a series short enough to do by hand', () => {
  const [first, second] = [1, 0.5];
  const enough = Math.log(2 / 0.05);
  const stake = (variance: number, i: number) =>
    Math.min(0.5, Math.sqrt((2 * enough) / (variance * i * Math.log(1 + i))));
  const psi = (l: number) => -Math.log(1 - l) - l;
  const stake1 = stake(0.25, 1);
  const mean1 = (0.5 + first) / 2;
  const stake2 = stake((0.25 + (first - mean1) ** 2) / 2, 2);
  const penalty = (first - 0.5) ** 2 * psi(stake1) + (second - mean1) ** 2 * psi(stake2);
  const centre = (stake1 * first + stake2 * second) / (stake1 + stake2);
  const half = (enough + penalty) / (stake1 + stake2);
  const state = extendSequence(extendSequence(startSequence(0.05), first), second);
  assert.ok(Math.abs(state.staked / state.stakes - centre) < 1e-12);
  assert.ok(Math.abs((enough + state.penalty) / state.stakes - half) < 1e-12);
  assert.deepEqual(sequenceInterval(state), { low: 0, high: 1 });
});

test('another range is moved there and back, state survives JSON, and values outside are refused', () => {
  const random = seededRandom(23);
  let plain = startSequence(0.05);
  let moved = startSequence(0.05, -4, 6);
  for (let i = 0; i < 300; i++) {
    const x = random();
    plain = extendSequence(plain, x);
    moved = extendSequence(JSON.parse(JSON.stringify(moved)), 10 * x - 4);
  }
  const [a, b] = [sequenceInterval(plain)!, sequenceInterval(moved)!];
  assert.ok(Math.abs(10 * a.low - 4 - b.low) < 1e-9 && Math.abs(10 * a.high - 4 - b.high) < 1e-9);
  assert.equal(sequenceInterval(startSequence(0.05)), undefined);
  assert.throws(() => extendSequence(plain, 1.5), /value in \[0, 1\], got 1.5/);
  assert.throws(() => startSequence(0), /error level/);
});
