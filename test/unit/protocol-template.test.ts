import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeltaTemplate } from '../../src/gateway/delta-template.ts';

const event = (text: string, more = '') => `{"id":"c","delta":{"content":"${text}"}${more}}`;

function learned(data: string, piece: string): DeltaTemplate {
  const template = new DeltaTemplate(['content', 'text']);
  assert.equal(template.learn(data, piece), true);
  return template;
}

test('an event like the learned one gives its text', () => {
  const template = learned(event('Hello'), 'Hello');
  for (const text of ['', 'a', 'Grüße 🌍', '{}[],:', "it's"]) assert.equal(template.match(event(text)), text);
});

test('anything that JSON would read otherwise is left to the parser', () => {
  const template = learned(event('Hello'), 'Hello');
  for (const data of [
    '',
    '[DONE]',
    event('a\\"b'),
    event('a\\\\'),
    event('a\tb'),
    event('a\nb'),
    event('a", "x":"b'),
    `${event('a')} `,
    `${event('a')}}`,
    ` ${event('a')}`,
    event('a').slice(0, -1),
    event('a').replace('"c"', '"d"'),
    event('a', ',"more":1'),
    '{"id":"c","delta":{"content":"a',
    '{"id":"c","delta":{"content":null}}',
  ])
    assert.equal(template.match(data), undefined, data);
});

test('numbers that count up and padding may differ, and only as JSON allows', () => {
  const numbered = (n: string, text: string, padding: string) =>
    `{"sequence_number":${n},"text":"${text}","obfuscation":"${padding}"}`;
  const template = learned(numbered('7', 'a', 'xy'), 'a');
  assert.equal(template.match(numbered('12345', 'b', '')), 'b');
  assert.equal(template.match(numbered('0', 'b', 'q')), 'b');
  for (const n of ['', '01', '-1', '1.5', '1e3', 'null', '"1"'])
    assert.equal(template.match(numbered(n, 'b', 'q')), undefined, n);
  assert.equal(template.match(numbered('8', 'b', '\\u0041')), undefined);
});

test('an event whose text cannot be told for certain is not learned, and what was stays', () => {
  const template = learned(event('Hello'), 'Hello');
  for (const [data, piece] of [
    [event('Hello'), 'other'],
    [event('a', ',"meta":{"content":"b"}'), 'a'],
    [event('a\\n'), 'a\n'],
    ['{"delta":{"other":"a"}}', 'a'],
    ['{"delta":{"content":["a"]}}', 'a'],
  ] as const)
    assert.equal(template.learn(data, piece), false, data);
  assert.equal(template.match(event('still')), 'still');
});

test('JSON with a blank behind its colons is learned too', () => {
  const spaced = (text: string) => `{"delta": {"content": "${text}"}, "sequence_number": 3}`;
  assert.equal(learned(spaced('a'), 'a').match(spaced('b')), 'b');
});

test('a stream in which nothing is like the one before is no longer learned', () => {
  const template = new DeltaTemplate(['content']);
  const tries = Array.from({ length: 100 }, (_, i) => template.learn(event('a', `,"n":${i}`), 'a'));
  assert.equal(tries.at(0), true);
  assert.equal(tries.at(-1), false);
});
