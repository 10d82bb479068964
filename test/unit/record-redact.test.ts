import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chatToRecording } from '../../src/replay/record/chat-import.ts';
import { redactRecordings } from '../../src/replay/record/redact.ts';
import { Redactor } from '../../src/replay/record/secrets.ts';

const CASES: [before: string, after: string][] = [
  [
    'write to bob.smith@example.com, bob.smith@example.com',
    'write to mail-1@redacted.invalid, mail-1@redacted.invalid',
  ],
  ['{"password":"hunter2","n":1}', '{"password":"[SECRET-1]","n":1}'],
  ['{"token": 12345678}', '{"token": 90000001}'],
  [String.raw`{\"api_key\":\"abcdef\"}`, String.raw`{\"api_key\":\"[SECRET-1]\"}`],
  ['key sk-proj-Abc123Abc123Abc123Abc1', 'key [KEY-1]'],
  [String.raw`first\nAKIAIOSFODNN7EXAMPLE`, String.raw`first\n[KEY-1]`],
  ['4111 1111 1111 1111 and 4111-1111-1111-1111', '9000 0000 0000 0001 and 9000-0000-0000-0001'],
  ['+49 170 1234567', '+90 000 0000001'],
  ['postgres://user:s3cret@host/db', 'postgres://user:[SECRET-1]@host/db'],
  ['Authorization: Bearer abcdef123456', 'Authorization: Bearer [SECRET-1]'],
  ['dBjftJeZ4CVPmB92K27uhbUJU1p1rwW1gFWFOEjXk', '[RANDOM-1]'],
];

for (const [before, after] of CASES)
  test(`replaced: ${before}`, () => assert.equal(new Redactor().text(before), after));

for (const text of [
  'card 4111 1111 1111 1112 has a wrong digit',
  'max_tokens: 1000000, at 2024-05-20T10:00:00Z',
  '550e8400-e29b-41d4-a716-446655440000',
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '/usr/local/lib/node_modules/some-package/dist/index.js and src/replay/record/FromSpans2Test33.ts',
])
  test(`left as it is: ${text}`, () => assert.equal(new Redactor().text(text), text));

const SECRET = 'sk-live-Abc123Abc123Abc123Abc1';
const recording = () =>
  chatToRecording(
    [
      { role: 'system', content: 'Help.' },
      { role: 'user', content: `my key is ${SECRET}` },
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          { id: 'call_1', function: { name: 'use', arguments: JSON.stringify({ key: SECRET, n: 1 }) } },
        ],
      },
      { role: 'tool', tool_call_id: 'call_1', content: `used ${SECRET}` },
      { role: 'assistant', content: 'Done.' },
    ],
    { loop: 'l', run: 'r' },
  );

test('a secret is the same placeholder in messages, arguments and results, and each step says so', () => {
  const { recordings, counts } = redactRecordings([recording()]);
  const [redacted] = recordings;
  const json = JSON.stringify(redacted);
  assert.ok(!json.includes('Abc123'));
  assert.deepEqual([...counts], [['KEY', 1]]);
  assert.equal(json.match(/\[KEY-1\]/g)!.length, 2 * 1 + 1 + 1 + 1 + 1 + 1);
  const tool = redacted!.steps.find((step) => step.kind === 'tool')!;
  assert.deepEqual(JSON.parse(tool.arguments!), { key: '[KEY-1]', n: 1 });
  assert.deepEqual(
    redacted!.gaps.map(({ what, why, steps }) => [what, why, steps]),
    [
      ['input', 'redacted', [0, 2]],
      ['output', 'redacted', [0]],
      ['tool_arguments', 'redacted', [1]],
      ['tool_result', 'redacted', [1]],
    ],
  );
});

test('what has no secret is left as it was, and what was one message stays one', () => {
  const original = recording();
  const [redacted] = redactRecordings([original]).recordings;
  const [first, , last] = redacted!.steps as unknown as { input: object[] }[];
  assert.equal(first!.input[0], (original.steps as unknown as { input: object[] }[])[0]!.input[0]);
  assert.equal(first!.input[1], last!.input[1]);
});

test('rules of ones own come first', () => {
  const { recordings } = redactRecordings([recording()], [{ name: 'customer', pattern: /my key/g }]);
  assert.match(JSON.stringify(recordings[0]), /\[customer-1\] is \[KEY-1\]/);
});

test('a field whose name says that it is secret is one, and no name is a prototype', () => {
  const original = recording();
  const call = original.steps[0]!;
  assert.ok(call.kind === 'call');
  call.input = [
    {
      role: 'user',
      parts: [JSON.parse('{"type":"tool_call","arguments":{"password":"tiger","__proto__":{"a":"b@c.de"}}}')],
    },
  ];
  const json = JSON.stringify(redactRecordings([original]).recordings[0]!.steps[0]);
  assert.match(json, /"password":"\[SECRET-1\]","__proto__":\{"a":"mail-1@redacted.invalid"\}/);
});

test('no text takes long', () => {
  // Each would take minutes with a pattern that goes back over it again and again.
  for (const text of [
    'a',
    'eyJ',
    'sk-',
    'a@',
    'a.',
    '1 ',
    '+1',
    '://a:',
    'password=',
    '-----BEGIN PRIVATE KEY-----',
  ])
    assert.equal(typeof new Redactor().text(text.repeat(200_000 / text.length)), 'string');
});
