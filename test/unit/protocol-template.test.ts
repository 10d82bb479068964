import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeltaTemplate } from '../../src/gateway/tap/delta-template.ts';

const sent = (json: string) => `data: ${json}\n\n`;
const event = (text: string, more = '') => sent(`{"id":"c","delta":{"content":"${text}"}${more}}`);

/** The text of an event that is like the learned one from its first byte to its last, wherever it stands. */
function read(template: DeltaTemplate, data: string): string | undefined {
  const before = 'data: 1\n\n';
  const bytes = Buffer.from(before + data);
  if (template.match(bytes, before.length) !== bytes.length) return undefined;
  return bytes.toString('utf8', template.textFrom, template.textEnd);
}

function learned(data: string, piece: string): DeltaTemplate {
  const template = new DeltaTemplate(['content', 'text']);
  assert.equal(template.learn(Buffer.from(data), piece), true);
  return template;
}

test('an event like the learned one gives its text', () => {
  const template = learned(event('Hello'), 'Hello');
  for (const text of ['', 'a', 'Grüße 🌍', '{}[],:', "it's"]) assert.equal(read(template, event(text)), text);
});

test('anything that JSON would read otherwise is left to the parser', () => {
  const template = learned(event('Hello'), 'Hello');
  for (const data of [
    '',
    'data: [DONE]\n\n',
    event('a\\"b'),
    event('a\\\\'),
    event('a\tb'),
    event('a\nb'),
    event('a", "x":"b'),
    `${event('a')} `,
    `${event('a')}}`,
    ` ${event('a')}`,
    event('a').slice(0, -1),
    event('a').replace('\n\n', '\n'),
    event('a').replace('"c"', '"d"'),
    event('a', ',"more":1'),
    'data: {"id":"c","delta":{"content":"a',
    sent('{"id":"c","delta":{"content":null}}'),
  ])
    assert.equal(read(template, data), undefined, data);
});

test('numbers that count up and padding may differ, and only as JSON allows', () => {
  const numbered = (n: string, text: string, padding: string) =>
    sent(`{"sequence_number":${n},"text":"${text}","obfuscation":"${padding}"}`);
  const template = learned(numbered('7', 'a', 'xy'), 'a');
  assert.equal(read(template, numbered('12345', 'b', '')), 'b');
  assert.equal(read(template, numbered('0', 'b', 'q')), 'b');
  for (const n of ['', '01', '-1', '1.5', '1e3', 'null', '"1"'])
    assert.equal(read(template, numbered(n, 'b', 'q')), undefined, n);
  assert.equal(read(template, numbered('8', 'b', '\\u0041')), undefined);
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
    assert.equal(template.learn(Buffer.from(data), piece), false, data);
  assert.equal(read(template, event('still')), 'still');
});

test('JSON with a blank behind its colons is learned too', () => {
  const spaced = (text: string) => sent(`{"delta": {"content": "${text}"}, "sequence_number": 3}`);
  assert.equal(read(learned(spaced('a'), 'a'), spaced('b')), 'b');
});

test('a stream in which nothing is like the one before is no longer learned', () => {
  const template = new DeltaTemplate(['content']);
  const tries = Array.from({ length: 100 }, (_, i) =>
    template.learn(Buffer.from(event('a', `,"n":${i}`)), 'a'),
  );
  assert.equal(tries.at(0), true);
  assert.equal(tries.at(-1), false);
});
