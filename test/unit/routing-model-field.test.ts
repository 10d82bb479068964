import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findModels, replaceModel } from '../../src/gateway/routing/model-field.ts';

const replaced = (body: string, model = 'new') => replaceModel(Buffer.from(body), model).toString();

test('only the model changes, not a byte beside it', () => {
  const cases: [string, string][] = [
    ['{"model":"old"}', '{"model":"new"}'],
    ['{ "model" :\n "o\\"l\\\\" , "n": 1.0e+2 }', '{ "model" :\n "new" , "n": 1.0e+2 }'],
    [
      '{"a":{"model":"x"},"b":["model","y",{"model":"z"}],"model":"old","c":"model"}',
      '{"a":{"model":"x"},"b":["model","y",{"model":"z"}],"model":"new","c":"model"}',
    ],
    ['{"mod\\u0065l":"old"}', '{"mod\\u0065l":"new"}'],
    ['{"model":"old","x":"\\"model\\":\\"no\\""}', '{"model":"new","x":"\\"model\\":\\"no\\""}'],
    ['{"model":"a","model":"b"}', '{"model":"new","model":"new"}'],
    ['{"é":"\\\\","model":"😀"}', '{"é":"\\\\","model":"new"}'],
  ];
  for (const [body, expected] of cases) assert.equal(replaced(body), expected);
});

test('a body without a model stays as it is', () => {
  for (const body of [
    '',
    '{}',
    '"model"',
    '["model","x"]',
    '[{"model":"x"}]',
    '{"model":5}',
    '{"model":null,"x":"y"}',
    '{"model":{"model":"x"}}',
    '{"model":["x"]}',
    '{"models":"x"}',
    '{"model":"x"',
    '{"model":"x',
    '{"model":"x\\"}',
  ]) {
    const bytes = Buffer.from(body);
    assert.equal(replaceModel(bytes, 'new'), bytes, body);
  }
});

test('a new model that needs escapes is escaped', () => {
  const model = 'a"b\\c\n😀';
  assert.deepEqual(JSON.parse(replaced('{"x":1,"model":"old"}', model)), { x: 1, model });
});

const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('model', '"model":"x"', '\\', '\\"', '{', '}'),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('object'),
  ),
  object: fc.dictionary(
    fc.oneof(fc.constantFrom('model', 'Model', 'a', '"', '\\'), fc.string()),
    tie('value'),
    { maxKeys: 6, noNullPrototype: true },
  ),
}));

test('for any object, the bytes read as before but for the model', () => {
  const space = fc.constantFrom(undefined, 1, '\t');
  fc.assert(
    fc.property(json.object, space, fc.string({ unit: 'grapheme' }), (object, indent, model) => {
      const before = object as Record<string, unknown>;
      const body = Buffer.from(JSON.stringify(before, undefined, indent));
      const after = replaceModel(body, model);
      if (typeof before['model'] !== 'string') {
        assert.equal(after, body);
        return;
      }
      assert.equal(after.toString(), JSON.stringify({ ...before, model }, undefined, indent));
    }),
  );
});

test('any bytes are survived, and what is found in them is a string', () => {
  const characters = fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', 'model', '"model"', ' ', 'x');
  fc.assert(
    fc.property(fc.array(characters, { maxLength: 40 }), (pieces) => {
      const body = Buffer.from(pieces.join(''));
      for (const { start, end } of findModels(body)) {
        assert.equal(body[start], 0x22);
        assert.equal(body[end - 1], 0x22);
        assert.ok(start < end - 1);
      }
    }),
  );
});
