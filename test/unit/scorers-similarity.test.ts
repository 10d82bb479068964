import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeScorer, scoreAnswer } from '../../evals/scorers/registry.ts';
import { chrF1, similarity } from '../../evals/scorers/similarity.ts';

test('chrF1 is that of sacreBLEU 2.6 (CHRF(beta=1), sentence score)', () => {
  const cases: [string, string, number][] = [
    ['the cat sat on the mat', 'the cat is on the mat', 63.22373194578934],
    ['the deployment was rolled back', 'the deploy got rolled back at noon', 58.29511804495149],
    ['Die Auslieferung wurde verschoben', 'Auslieferungen werden verschoben', 65.80410415467887],
    ['abc', 'abd', 38.88888888888889],
    ['yes', 'no', 0],
    ['yes', 'yes, it is', 43.2348367029549],
    ['17077 is a prime number', '17077 is not a prime number', 76.66480039283313],
  ];
  for (const [a, b, wanted] of cases) {
    const found = 100 * chrF1(a, b);
    assert.ok(Math.abs(found - wanted) < 1e-9, `${a} | ${b}: ${found}, expected ${wanted}`);
  }
});

test('chrF1 is that of its definition, by counting naively', () => {
  const naive = (a: string, b: string) => {
    const left = [...a.replace(/\s/g, '')];
    const right = [...b.replace(/\s/g, '')];
    const grams = (text: string[], n: number) =>
      Array.from({ length: Math.max(0, text.length - n + 1) }, (_, i) => text.slice(i, i + n).join('\0'));
    const precisions: number[] = [];
    const recalls: number[] = [];
    for (let n = 1; n <= 6; n++) {
      const mine = grams(left, n);
      const rest = grams(right, n);
      if (mine.length === 0 || rest.length === 0) continue;
      const theirs = rest.length;
      const shared = mine.filter((gram) => {
        const at = rest.indexOf(gram);
        if (at >= 0) rest.splice(at, 1);
        return at >= 0;
      }).length;
      precisions.push(shared / mine.length);
      recalls.push(shared / theirs);
    }
    const mean = (values: number[]) => values.reduce((x, y) => x + y, 0) / values.length;
    const [p, r] = [mean(precisions), mean(recalls)];
    return p + r === 0 ? 0 : (2 * p * r) / (p + r);
  };
  const text = fc.stringMatching(/^[ab c]{1,12}$/).filter((t) => t.trim() !== '');
  fc.assert(
    fc.property(text, text, (a, b) => {
      assert.ok(Math.abs(chrF1(a, b) - naive(a, b)) < 1e-12);
    }),
  );
});

test('similarity lies in [0, 1], is symmetric, and is 1 for texts that read the same', () => {
  const score = similarity();
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
      const found = score(a, b) as number;
      assert.ok(found >= 0 && found <= 1);
      assert.equal(score(b, a), found);
      assert.equal(score(a, a), 1);
    }),
  );
  assert.equal(score(' The\nAnswer', 'the answer'), 1);
  assert.equal(score('', ''), 1);
  assert.equal(score('', 'x'), 0);
  assert.equal(score('abc', 'xyz'), 0);
});

test('a text too long to compare is an error, not a score', async () => {
  const result = await scoreAnswer(makeScorer('similarity', '.'), 'x'.repeat(60_000), 'x');
  assert.match('error' in result ? result.error : '', /^answer_too_large: expected at most 50000/);
});
