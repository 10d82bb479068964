import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeMoved, moversFell } from '../../evals/stats/count-evidence.ts';
import { mcnemarE, mcnemarP } from '../../evals/stats/mcnemar.ts';
import { mixChange } from '../../evals/stats/mix-change.ts';
import { changeLikelihood, type Value } from '../../evals/stats/stratified-change.ts';
import { seededRandom } from '../../src/clock.ts';

const near = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, expected ${expected}`);

test("McNemar's exact p-value is the two-sided binomial tail, and nothing without pairs that differ", () => {
  assert.equal(mcnemarP(0, 0), undefined);
  near(mcnemarP(5, 0)!, 2 / 32);
  near(mcnemarP(0, 5)!, 2 / 32);
  near(mcnemarP(3, 3)!, 1);
  near(mcnemarP(10, 2)!, (2 * (1 + 12 + 66)) / 2 ** 12);
});

test("McNemar's e-value has mean 1 whatever the number of pairs, while both ways are equally likely", () => {
  for (const n of [0, 1, 2, 7, 20]) {
    let mean = 0;
    let probability = 0.5 ** n;
    for (let k = 0; k <= n; k++) {
      mean += probability * mcnemarE(k, n - k);
      probability *= (n - k) / (k + 1);
    }
    near(mean, 1);
  }
  near(mcnemarE(1, 0), 1);
});

test('judges that changed answers for the worse have moved; noise both ways and pairs that agree say they have not', () => {
  const none = { pairs: 0, worse: 0, better: 0 };
  const calm = { pairs: 40, worse: 0, better: 0 };
  near(judgeMoved(none, none, 0.3), 0);
  assert.ok(judgeMoved({ pairs: 20, worse: 5, better: 0 }, calm, 0.3) > 5);
  assert.ok(judgeMoved({ pairs: 20, worse: 0, better: 0 }, calm, 0.3) < -1);
  assert.ok(judgeMoved({ pairs: 20, worse: 0, better: 5 }, calm, 0.3) < 0);
  // Ten of a hundred answers judged otherwise explain a loss of a tenth, and not one of a half.
  const few = { pairs: 100, worse: 10, better: 0 };
  assert.ok(judgeMoved(few, calm, 0.1) > judgeMoved(few, calm, 0.5) + 1);
  const noisy = { pairs: 40, worse: 8, better: 9 };
  assert.ok(judgeMoved({ pairs: 20, worse: 5, better: 4 }, noisy, 0.3) < 0);
});

test('loops that moved and fell speak for the move, loops that moved and did not speak against it', () => {
  near(moversFell(0, 0, 30, 1), 0);
  assert.ok(moversFell(10, 6, 30, 1) > 5);
  assert.ok(moversFell(10, 0, 30, 1) < -1);
  // As many of the others fell: it was not the model.
  assert.ok(moversFell(10, 6, 30, 18) < moversFell(10, 6, 30, 1) - 5);
});

/** The likelihood as the definition has it: each stratum and cut integrated on its own. */
function naive(values: readonly Value[], betas: readonly number[], deltas: readonly number[]): number[] {
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const grid = Array.from({ length: 41 }, (_, g) => -5 + g / 4);
  const strata = Map.groupBy(values.keys(), (i) => values[i]!.group);
  const chance = (indices: readonly number[], k: number, beta: number) =>
    grid.reduce((sum, x) => {
      const product = indices.reduce((p, i) => {
        const level = sigmoid(i < k ? x : x - beta);
        return p * (values[i]!.value === 1 ? level : 1 - level);
      }, 1);
      return sum + product / grid.length;
    }, 0);
  return Array.from({ length: values.length - 1 }, (_, at) => {
    const k = at + 1;
    let total = 0;
    for (const delta of deltas)
      for (const beta of betas) {
        let product = 1;
        for (const indices of strata.values())
          product *= (1 - delta) * chance(indices, 0, 0) + delta * chance(indices, k, beta);
        total += product / (betas.length * deltas.length);
      }
    return Math.log(total);
  });
}

test('the likelihood of each cut, kept up from cut to cut, is that of the definition', () => {
  const random = seededRandom(5);
  const values: Value[] = Array.from({ length: 40 }, (_, i) => ({
    value: Number(random() < (i < 25 ? 0.85 : 0.4)),
    group: ['a', 'b', 'c'][Math.floor(random() * 3)]!,
  }));
  const { fall, none } = changeLikelihood(values);
  const expected = naive(values, [0.35, 0.7, 1.2, 1.9, 2.8, 4.2, 7], [1, 0.5, 0.2]);
  for (let k = 1; k < values.length; k++) near(fall[k]!, expected[k - 1]!, 1e-8);
  assert.equal(fall[0], Number.NEGATIVE_INFINITY);
  assert.equal(fall[values.length], Number.NEGATIVE_INFINITY);
  assert.ok(none < Math.max(...fall));
});

test('inputs that come back date a change that the mean hardly shows', () => {
  // One input in ten breaks for good at 300; the others are as right or wrong as ever.
  const random = seededRandom(7);
  const items = Array.from({ length: 50 }, (_, i) => ({ name: `i${i}`, p: i % 5 === 0 ? 0.05 : 0.97 }));
  const series = (withItems: boolean): Value[] =>
    Array.from({ length: 450 }, (_, run) => {
      const item = items[Math.floor(random() * items.length)]!;
      const broken = run >= 300 && Number(item.name.slice(1)) % 10 === 3;
      return {
        value: Number(random() < (broken ? 0.02 : item.p)),
        group: '',
        stratum: withItems ? item.name : undefined,
      };
    });
  const likely = (values: Value[]) => {
    const { fall } = changeLikelihood(values);
    const top = Math.max(...fall);
    return [...fall.keys()].filter((k) => fall[k]! > top - 3);
  };
  const [with_, without] = [likely(series(true)), likely(series(false))];
  assert.ok(
    with_.some((k) => Math.abs(k - 300) <= 10),
    `${with_}`,
  );
  assert.ok(with_.length * 2 < without.length, `${with_.length} cuts with inputs, ${without.length} without`);
});

test('when the tasks alone change, no level is likelier to have changed than none', () => {
  const random = seededRandom(9);
  const values: Value[] = Array.from({ length: 500 }, (_, run) => {
    const hard = random() < (run < 400 ? 0.1 : 0.6);
    return { value: Number(random() < (hard ? 0.3 : 0.95)), group: hard ? 'hard' : 'easy' };
  });
  const { fall, none } = changeLikelihood(values);
  assert.ok(none > Math.max(...fall) - 2, `${none}, ${Math.max(...fall)}`);
  const blind = changeLikelihood(values.map((v) => ({ ...v, group: '' })));
  assert.ok(Math.max(...blind.fall) > blind.none + 10);
});

test('a change of a mean is the sum of its parts, and each part is what was done to it', () => {
  const series = (mix0: number, mix1: number, easy1: number) => {
    const random = seededRandom(11);
    return Array.from({ length: 800 }, (_, i) => {
      const hard = random() < (i < 500 ? mix0 : mix1);
      const easy = i < 500 ? 0.9 : easy1;
      return { group: hard ? 'hard' : 'easy', value: Number(random() < (hard ? 0.3 : easy)) };
    });
  };
  const settings = () => ({ permutations: 199, random: seededRandom(1) });
  const mean = (part: readonly { value: number }[]) =>
    part.reduce((sum, v) => sum + v.value, 0) / part.length;
  const shifted = series(0.1, 0.5, 0.9);
  const shift = mixChange(shifted, settings())!;
  near(shift.within + shift.mix, mean(shifted.slice(shift.cut)) - mean(shifted.slice(0, shift.cut)));
  assert.ok(Math.abs(shift.cut - 500) < 15, `${shift.cut}`);
  assert.ok(shift.mixP === 0.005 && shift.withinP > 0.05, JSON.stringify(shift));
  assert.ok(shift.mix < -0.2 && Math.abs(shift.within) < 0.1);
  const worse = mixChange(series(0.3, 0.3, 0.4), settings());
  assert.ok(!worse || worse.mixP > 0.01, JSON.stringify(worse));
  assert.equal(
    mixChange(
      shifted.map((v) => ({ ...v, group: 'one' })),
      settings(),
    ),
    undefined,
  );
});

test('while the mix stays, it is found to have shifted in no more than the stated share of series', () => {
  // 300 series at a level of 5 %: more than 27 by chance in one of 1,000 tries (binomial).
  let found = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const values = Array.from({ length: 120 }, (_, i) => {
      const hard = random() < 0.3;
      // The levels fall halfway: that is not the mix.
      const level = (hard ? 0.4 : 0.9) - (i < 80 ? 0 : 0.3);
      return { group: hard ? 'hard' : 'easy', value: Number(random() < level) };
    });
    const change = mixChange(values, { permutations: 99, random });
    if (change && change.mixP <= 0.05) found++;
  }
  assert.ok(found <= 27, `${found} of 300`);
});
