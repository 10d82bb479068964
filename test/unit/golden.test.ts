import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGolden, versionOf } from '../../evals/golden.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { inputHash } from '../../src/records/normalize.ts';

const complaints = (path: string, text: string): string => {
  try {
    parseGolden(path, text);
  } catch (error) {
    assert.ok(error instanceof LoopscopeError && error.code === 'bad_input');
    return error.message;
  }
  return assert.fail('expected a refusal');
};

test('JSON lines: text stays text, everything else becomes JSON', () => {
  const items = parseGolden(
    'g.jsonl',
    [
      '\uFEFF{"input":"Is 7 prime?","expected":"yes","id":"seven","tags":["small"]}',
      '',
      '{"input":"two","expected":2}\r',
      '{"input":{"a":1},"expected":{"b":[true]}}',
      '{"input":"three","expected":false,"id":3,"note":"ignored"}',
    ].join('\n'),
  );
  assert.deepEqual(
    items.map((i) => [i.item_id, i.input, i.expected, i.tags]),
    [
      ['seven', 'Is 7 prime?', 'yes', ['small']],
      [inputHash('two').slice(0, 12), 'two', '2', []],
      [inputHash('{"a":1}').slice(0, 12), '{"a":1}', '{"b":[true]}', []],
      ['3', 'three', 'false', []],
    ],
  );
});

test('CSV: columns in any order, quoted line breaks, tags apart by semicolons', () => {
  const items = parseGolden(
    'g.CSV',
    'expected,Input,tags,id,source\nyes,"Is 7\nprime?",a; b,seven,x\nno,"Is ""8"" prime?",,,\n',
  );
  assert.deepEqual(
    items.map((i) => [i.item_id, i.input, i.expected, i.tags]),
    [
      ['seven', 'Is 7\nprime?', 'yes', ['a', 'b']],
      [inputHash('Is "8" prime?').slice(0, 12), 'Is "8" prime?', 'no', []],
    ],
  );
});

test('every bad line of JSON lines is named with its number and field', () => {
  const message = complaints(
    'dir/g.jsonl',
    [
      '{"input":"a","expected":"x","id":"1"}',
      '{"input":"","expected":"x"}',
      '{"input":"b"}',
      'not json',
      '[1]',
      '{"input":"c","expected":"x","id":[],"tags":"t"}',
      '{"input":"d","expected":"x","id":"1"}',
      '{"input":" a ","expected":"y"}',
    ].join('\n'),
  );
  for (const wanted of [
    'g.jsonl:2: input: expected text, found ""',
    'g.jsonl:3: expected: expected text, a number, true, false or JSON, found nothing',
    'g.jsonl:4: (line): expected a JSON object',
    'g.jsonl:5: (line): expected a JSON object',
    'g.jsonl:6: id: expected text, found []',
    'g.jsonl:6: tags: expected a list of text, found "t"',
    'g.jsonl:7: id: the id "1" stands in line 1 too',
    'g.jsonl:8: input: the same input stands in line 1',
    'Nothing was imported',
  ])
    assert.ok(message.includes(wanted), `${wanted}\n---\n${message}`);
});

test('every bad record of CSV is named with the line it starts in', () => {
  const message = complaints('g.csv', 'input,expected\n"two\nlines",\nq\n\nx,y\n');
  assert.match(message, /g\.csv:2: expected: /);
  assert.match(message, /g\.csv:4: \(line\): expected 2 fields as in the header, found 1/);
  assert.match(complaints('g.csv', 'question,expected\na,b\n'), /g\.csv:1: input: expected a header/);
  assert.match(complaints('g.csv', 'input,expected\n"a,b\n'), /g\.csv:\d: \(line\): /);
});

test('a file without items is refused, and a flood of complaints is cut and counted', () => {
  assert.match(complaints('g.jsonl', '\n\n'), /expected at least one item/);
  assert.match(complaints('g.jsonl', 'x\n'.repeat(30)), /and 10 more/);
});

test('the version follows the content, not the order', () => {
  const a = '{"input":"a","expected":"1","tags":["x","y"]}';
  const b = '{"input":"b","expected":"2"}';
  const version = (...lines: string[]) => versionOf(parseGolden('g.jsonl', lines.join('\n')));
  assert.equal(version(a, b), version(b, a));
  assert.notEqual(version(a, b), version(a));
  assert.notEqual(version(a), version(a.replace('"1"', '"2"')));
});
