import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeScorer, scoreAnswer } from '../../evals/scorers/registry.ts';
import { ScorerDefinition } from '../../evals/suite.ts';

const scorer = (settings: object = {}) => makeScorer(ScorerDefinition.parse({ json_diff: settings }), '.');
const score = async (output: unknown, expected: unknown, settings?: object) => {
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  const result = await scoreAnswer(scorer(settings), text(output), text(expected));
  assert.ok('score' in result, JSON.stringify(result));
  return result;
};

test('the score is the share of leaves that match, of those that either side has', async () => {
  assert.equal((await score({ a: 1, b: { c: 'x' } }, { b: { c: 'x' }, a: 1 })).score, 1);
  assert.equal((await score({ a: 1, b: 3 }, { a: 1, b: 2 })).score, 0.5);
  assert.equal((await score({ a: 1 }, { a: 1, b: 2, c: 3, d: 4 })).score, 0.25);
  assert.equal((await score({ a: 1, b: 2 }, { a: 1 })).score, 0.5, 'what nobody asked for counts');
  assert.equal((await score([1, 2, 3], [1, 2])).score, 2 / 3);
  assert.equal((await score({ a: null }, { a: { b: 1, c: 2 } })).score, 0);
  assert.equal((await score({ a: [] }, { a: {} })).score, 0);
  assert.equal((await score({ a: [] }, { a: [] })).score, 1);
  assert.equal((await score('```json\n{"a":1}\n```', { a: 1 })).score, 1);
  assert.equal((await score('{"__proto__":{"x":1}}', '{"__proto__":{"x":1}}')).score, 1);
  assert.equal((await score({}, { toString: 1 })).score, 0);
});

test('the first differences are told, and how many more there are', async () => {
  const { reason } = await score({ a: 2, extra: true }, { a: 1, b: { c: 'x' } });
  assert.equal(
    reason,
    '$.a: expected 1, found 2; $.b.c: expected "x", found nothing; $.extra: expected nothing, found true',
  );
  const many = await score(Array(9).fill(0), Array(9).fill(1));
  assert.match(many.reason, /\$\.4: expected 1, found 0; and 4 more$/);
});

test('weights, ignored paths and tolerances hold at and below their path, and the longest path wins', async () => {
  const expected = { id: 'x', total: 100, items: [{ price: 10, name: 'a' }] };
  const output = { id: 'y', total: 100.5, items: [{ price: 11, name: 'a' }] };
  assert.equal((await score(output, expected)).score, 1 / 4);
  assert.equal((await score(output, expected, { ignore: ['$.id'], absolute: 0.5 })).score, 2 / 3);
  assert.equal((await score(output, expected, { ignore: ['$.id'], relative: 0.1 })).score, 1);
  const weights = { '$.items': 2, '$.items.*.price': 6, '$.id': 0 };
  assert.equal((await score(output, expected, { weights })).score, 2 / 9);
});

test('arrays without order are paired by likeness; others by place', async () => {
  const expected = {
    tags: ['a', 'b'],
    rows: [
      { id: 1, v: 'x' },
      { id: 2, v: 'y' },
    ],
  };
  const output = {
    tags: ['b', 'a'],
    rows: [
      { id: 2, v: 'y' },
      { id: 1, v: 'z' },
    ],
  };
  assert.equal((await score(output, expected)).score, 0);
  assert.equal((await score(output, expected, { unordered: ['$.tags', '$.rows'] })).score, 5 / 6);
  const more = await score([1, 1, 2], [2, 1], { unordered: ['$'] });
  assert.equal(more.score, 2 / 3);
});

test('order does not matter to an array without order, whatever is in it', async () => {
  const value = fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 5, minLength: 1 });
  await fc.assert(
    fc.asyncProperty(value, fc.func(fc.integer()), async (values, by) => {
      const shuffled = values
        .map((v, i) => [by(i), v] as const)
        .sort(([a], [b]) => a - b)
        .map(([, v]) => v);
      assert.equal((await score(shuffled, values, { unordered: ['$'] })).score, 1);
    }),
    { numRuns: 50 },
  );
});

test('a value is fully like itself, and every score lies in [0, 1]', async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), fc.jsonValue(), async (a, b) => {
      assert.equal((await score(JSON.stringify(a), JSON.stringify(a))).score, 1);
      const found = (await score(JSON.stringify(a), JSON.stringify(b))).score;
      assert.ok(found >= 0 && found <= 1);
    }),
  );
});

test('an answer that is no JSON is wrong; golden data that is none, or nothing to compare, is an error', async () => {
  assert.deepEqual(await score('I cannot.', { a: 1 }), { score: 0, reason: 'the answer is no JSON' });
  const errors = await Promise.all([
    scoreAnswer(scorer(), '{}', 'not JSON'),
    scoreAnswer(scorer({ ignore: ['$'] }), '{"a":1}', '{"a":1}'),
    scoreAnswer(scorer(), `${'['.repeat(200)}1${']'.repeat(200)}`, `${'['.repeat(200)}2${']'.repeat(200)}`),
    scoreAnswer(scorer({ unordered: ['$'] }), JSON.stringify(Array(300).fill(1)), '[1]'),
  ]);
  const codes = errors.map((e) => ('error' in e ? e.error.split(':')[0] : e));
  assert.deepEqual(codes, ['golden_unusable', 'golden_unusable', 'answer_too_large', 'answer_too_large']);
});

test('a wrong setting is told by its field', () => {
  const { error } = ScorerDefinition.safeParse({ json_diff: { ignore: ['items[0]'], wights: {} } });
  assert.deepEqual(
    error?.issues.map((issue) => issue.path.join('.')),
    ['json_diff.ignore.0', 'json_diff'],
  );
});
