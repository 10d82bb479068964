import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addPair, eValue, isEnough, noPairs } from '../../evals/stats/paired-evidence.ts';
import { seededRandom } from '../../src/clock.ts';

/** The promise behind what bisect says, looked at after every pair. */
const STREAMS = 2_000;
const PAIRS = 300;
const ERROR = 0.05;

/** Share of streams whose evidence is ever enough. */
function crossing(difference: (random: () => number) => number): number {
  let crossed = 0;
  for (let seed = 1; seed <= STREAMS; seed++) {
    const random = seededRandom(seed);
    const evidence = noPairs();
    for (let i = 0; i < PAIRS && !isEnough(evidence, ERROR); i++) addPair(evidence, difference(random));
    if (isEnough(evidence, ERROR)) crossed++;
  }
  return crossed / STREAMS;
}

const coins = (a: number, b: number) => (random: () => number) => Number(random() < a) - Number(random() < b);

test('where nothing is better, evidence is enough in no more than the stated share of streams', () => {
  for (const [name, difference] of [
    ['coins', coins(0.84, 0.84)],
    ['coins that seldom differ', coins(0.99, 0.99)],
    ['the worse one', coins(0.5, 0.55)],
    ['scores between', (random: () => number) => random() ** 2 - random() ** 2],
    ['rare large losses', (random: () => number) => (random() < 0.1 ? -0.9 : 0.1)],
  ] as const) {
    const share = crossing(difference);
    // Three standard errors of a share of .05 in 2,000 streams.
    assert.ok(share <= ERROR + 0.015, `${name}: ${share}`);
  }
});

test('a fall is found in nearly all streams', () => {
  assert.ok(crossing(coins(0.84, 0.5)) > 0.999);
  assert.ok(crossing(coins(0.9, 0.7)) > 0.98);
});

test('what was once enough stays enough, and a difference out of range is refused', () => {
  const evidence = noPairs();
  for (let i = 0; i < 8; i++) addPair(evidence, 1);
  const reached = eValue(evidence);
  for (let i = 0; i < 50; i++) addPair(evidence, -1);
  assert.equal(eValue(evidence), reached);
  assert.ok(isEnough(evidence, 0.05));
  assert.throws(() => addPair(evidence, 1.5), RangeError);
  assert.equal(eValue(noPairs()), 1);
});
