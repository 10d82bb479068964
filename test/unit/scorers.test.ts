import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { module } from '../../evals/scorers/module.ts';
import { lastNumber } from '../../evals/scorers/numeric.ts';
import { makeScorer, tryScore } from '../../evals/scorers/registry.ts';
import { ScorerDefinition } from '../../evals/suite.ts';

const directory = mkdtempSync(join(tmpdir(), 'loopscope-scorers-'));
after(() => rmSync(directory, { recursive: true }));

const scorer = (definition: unknown) => makeScorer(ScorerDefinition.parse(definition), directory);
const scores = async (definition: unknown, cases: [output: string, expected: string, score: number][]) => {
  const score = scorer(definition);
  for (const [output, expected, wanted] of cases)
    assert.equal(
      await score(output, expected),
      wanted,
      `${JSON.stringify(output)} for ${JSON.stringify(expected)}`,
    );
};

test('exact takes nothing but the very characters', () =>
  scores('exact', [
    ['yes', 'yes', 1],
    ['yes ', 'yes', 0],
    ['Yes', 'yes', 0],
  ]));

test('text ignores case, white space and Unicode form', () =>
  scores('text', [
    [' The\n Answer ', 'the answer', 1],
    ['cafe\u0301', 'CAFÉ', 1],
    ['the answer.', 'the answer', 0],
  ]));

test('regex compares the capture group ignoring case, and no match is wrong', () =>
  scores({ regex: '\\[(yes|no)\\]', flags: 'ig' }, [
    ['Step by step … [Yes]', 'yes', 1],
    ['[No], and not [Yes]', 'yes', 0],
    ['[Yes], again the same scorer', 'yes', 1],
    ['It is prime.', 'yes', 0],
  ]));

test('a pattern that explodes on an answer is an error and ends', async () => {
  const score = scorer({ regex: '^(a+)+$' });
  const result = await tryScore(() => score(`${'a'.repeat(40)}!`, 'a'));
  assert.match('error' in result ? result.error : '', /did not finish within 1000 ms/);
  assert.equal(await score('aaa', 'aaa'), 1);
});

test('a scorer definition that cannot work is refused when it is read', () => {
  for (const wrong of [{ regex: 'yes' }, { regex: '(a)', flags: 'k' }, { regex: '(' }, { json: 'answer' }])
    assert.equal(ScorerDefinition.safeParse(wrong).success, false, JSON.stringify(wrong));
});

test('json reads a field of a bare or fenced answer and compares it deeply', async () => {
  await scores({ json: '$.answer' }, [
    ['{"answer":"yes"}', 'yes', 1],
    ['{"answer":5}', '5', 1],
    ['{"answer":"5"}', '5', 1],
    ['{"answer":true}', 'true', 1],
    ['{"answer":{"b":[1,2],"a":1}}', '{"a":1,"b":[1,2]}', 1],
    ['Here you are:\n```json\n{"answer":"yes"}\n```\nAnything else?', 'yes', 1],
    ['{"answer":"no"}', 'yes', 0],
    ['{"other":"yes"}', 'yes', 0],
    ['yes', 'yes', 0],
    ['null', 'yes', 0],
  ]);
  await scores({ json: '$.items.0.name' }, [['{"items":[{"name":"x"}]}', 'x', 1]]);
  await scores({ json: '$.constructor' }, [['{}', 'x', 0]]);
  await scores({ json: '$' }, [['[1,2]', '[1,2]', 1]]);
});

test('numeric compares the last number within the wider of both tolerances', async () => {
  await scores({ numeric: { absolute: 0.5 } }, [
    ['I count 7, so 41.6', '42', 1],
    ['41.4', '42', 0],
    ['no idea', '42', 0],
    ['-3', '3', 0],
  ]);
  await scores({ numeric: { relative: 0.1 } }, [
    ['$1,090.00', '1,000', 1],
    ['1101', '1000', 0],
  ]);
});

test('numeric on golden data without a number is an error, not a score', async () => {
  const result = await tryScore(() => scorer({ numeric: {} })('42', 'forty-two'));
  assert.match('error' in result ? result.error : '', /expected a number in the golden data/);
});

test('the last number of a text is found as people write numbers', () => {
  const cases: [string, number | undefined][] = [
    ['a 10-5', 5],
    ['x=-5', -5],
    ['1,2,3', 3],
    ['1,234.5', 1234.5],
    ['(−2)', -2],
    ['6e-3', 0.006],
    ['it is 42.', 42],
    ['=.25', 0.25],
    ['none', undefined],
  ];
  for (const [text, wanted] of cases) assert.equal(lastNumber(text), wanted, text);
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (n) => {
      assert.equal(lastNumber(`First 3, then ${n}`), n === 0 ? lastNumber(String(n)) : n);
    }),
  );
});

test('built-in scorers give 0 or 1 for any answer', () => {
  const definitions = ['exact', 'text', { regex: '(\\w+)' }, { json: '$.a' }].map(scorer);
  fc.assert(
    fc.property(fc.string(), fc.string(), (output, expected) => {
      for (const score of definitions) assert.ok([0, 1].includes(score(output, expected) as number));
    }),
    { numRuns: 50 },
  );
});

const write = (name: string, source: string) => {
  writeFileSync(join(directory, name), source);
  return { module: name };
};

test("a user's module gets the answer, the expectation and the item, and is imported once", async () => {
  const definition = write(
    'mine.ts',
    `let imports = 0; imports++;
     let calls = 0;
     interface Item { tags: string[] }
     export default async (output: string, expected: string, item: Item): Promise<number> =>
       (output === expected && item.tags.includes('t') && imports === 1 && ++calls > 0 ? calls / 4 : 0);`,
  );
  const score = makeScorer(definition, directory);
  const item = { id: 'i', input: 'q', tags: ['t'] };
  assert.deepEqual(
    await Promise.all([score('a', 'a', item), score('a', 'a', item), score('a', 'b', item)]),
    [0.25, 0.5, 0],
  );
  await score.close?.();
});

test('a module that throws, hangs, exits or gives no score in [0,1] is an error, and the next answer is scored', async () => {
  const definition = write(
    'wild.ts',
    `export default (output: string): unknown => {
       if (output === 'throw') throw new Error('broken');
       if (output === 'hang') for (;;);
       if (output === 'never') return new Promise(() => {});
       if (output === 'exit') process.exit(3);
       if (output === 'later') { setTimeout(() => { throw new Error('too late') }); return 1; }
       return JSON.parse(output);
     };`,
  );
  const score = module(definition, directory, 2_500);
  const wanted: [string, RegExp][] = [
    ['throw', /scorer_failed: broken/],
    ['hang', /gave no score within 2500 ms/],
    ['never', /gave no score within 2500 ms/],
    ['exit', /exit code 3/],
    ['2', /scorer_invalid: expected a number in \[0, 1\], got 2/],
    ['-0.1', /scorer_invalid/],
    ['"1"', /scorer_invalid.*got "1"/],
    ['null', /scorer_invalid.*got null/],
  ];
  for (const [output, message] of wanted) {
    const result = await tryScore(() => score(output, ''));
    assert.match('error' in result ? result.error : JSON.stringify(result), message);
    assert.deepEqual(await tryScore(() => score('0.5', '')), { score: 0.5 });
  }
  assert.deepEqual(await tryScore(() => score('later', '')), { score: 1 });
  await score.close?.();
});

test('a module that is closed starts nothing any more, not even what was asked a moment before', async () => {
  const score = makeScorer(write('stuck.ts', 'export default () => new Promise(() => {});'), directory);
  const asked = ['a', 'b'].map((output) => tryScore(() => score(output, '')));
  await score.close?.();
  asked.push(tryScore(() => score('c', '')));
  for (const result of await Promise.all(asked)) assert.match(JSON.stringify(result), /scoring_stopped/);
});

test('a module that is missing or exports no function says so', async () => {
  const missing = makeScorer({ module: 'missing.ts' }, directory);
  const none = makeScorer(write('none.ts', 'export const x = 1;'), directory);
  const told = await Promise.all([missing, none].map((score) => tryScore(() => score('a', 'b'))));
  assert.match(JSON.stringify(told[0]), /missing\.ts/);
  assert.match(JSON.stringify(told[1]), /expected a default export that is a function/);
  await missing.close?.();
  await none.close?.();
});
