import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { openai } from '../../src/gateway/openai.ts';
import { WIRES } from '../../src/replay/play/answers.ts';
import { normaliser } from '../../src/replay/play/normalise.ts';
import { patched } from '../../src/replay/play/patch.ts';
import type { FreshCall } from '../../src/replay/play/ports.ts';
import { readParameters } from '../../src/replay/play/wire/parameters.ts';
import { type Api, cutter, type WireAnswer } from '../../src/replay/play/wire/wire.ts';
import type { Message } from '../../src/replay/recording.ts';
import { asks, call, text, toolCall, toolResult } from '../support/replay.ts';

/** What is written in an API's words is read by the gateway as what it was. */
const operationOf = (api: Api) =>
  (api === 'messages' ? anthropic : openai).operation('POST', WIRES[api].path)!;
const APIS = Object.keys(WIRES) as Api[];

const INPUT: Message[] = [
  text('system', 'Be brief.'),
  text('user', 'What of 7, "quoted" \u2028 and more?'),
  asks(
    { type: 'text', content: 'Let me see.' },
    toolCall('call_1', 'look_up', { id: 7 }),
    toolCall('call_2', 'look_up', { id: 8 }),
  ),
  toolResult('call_1', 'seven'),
  toolResult('call_2', '{"state":"late"}'),
  text('user', 'And now?'),
];
const OUTPUT: Message[] = [
  asks({ type: 'text', content: 'It is late, I will look again.' }, toolCall('call_3', 'look_up', { id: 9 })),
];

const asked = (api: Api): FreshCall => ({
  ...call(INPUT, null, {
    api,
    provider: api === 'messages' ? 'anthropic' : 'openai',
    toolDefinitions: JSON.stringify([{ type: 'function', name: 'look_up' }]),
    parameters: {
      temperature: 0.5,
      top_p: 0.9,
      max_tokens: 77,
      stop_sequences: '["END"]',
      'reasoning.level': 'low',
      tool_choice: 'look_up',
    },
  }),
  input: INPUT,
});

describe('a call', () => {
  const n = normaliser();
  for (const api of APIS)
    test(`in the words of ${api} is read as what it is`, () => {
      const body = JSON.parse(JSON.stringify(WIRES[api].request(asked(api)))) as Record<string, unknown>;
      const facts = operationOf(api).readRequest(body);
      const { tools, messages } = operationOf(api).readContent(body);
      const read = { ...asked(api), input: messages(), parameters: readParameters(api, body) };
      assert.deepEqual(
        n.units(read.input).map(({ template }) => template),
        n.units(INPUT).map(({ template }) => template),
      );
      assert.equal(n.call(read), n.call(asked(api)));
      assert.deepEqual(
        [facts.model, facts.maxTokens, facts.temperature, facts.reasoning, facts.toolChoice],
        ['gpt-4o', 77, 0.5, 'low', 'look_up'],
      );
      assert.equal(tools, asked(api).toolDefinitions);
    });

  for (const api of APIS)
    test(`of ${api} gets another model, prompt and parameter, and keeps all else`, () => {
      const body = { ...WIRES[api].request(asked(api)), metadata: { kept: true } };
      const next = patched(
        api,
        body,
        { model: 'other', prompt: 'Be kind.', parameters: { temperature: 0 } },
        'openai',
      );
      const facts = operationOf(api).readRequest(next);
      const { systemText, messages } = operationOf(api).readContent(next);
      assert.deepEqual(
        [facts.model, systemText, facts.temperature, facts.maxTokens],
        ['other', 'Be kind.', 0, 77],
      );
      assert.deepEqual(next['metadata'], { kept: true });
      assert.equal(n.units(messages()).length, n.units(INPUT).length);
    });
});

describe('an answer', () => {
  const answer = (more: Partial<WireAnswer> = {}): WireAnswer => ({
    id: 'a'.repeat(24),
    createdS: 1,
    model: 'served-1',
    output: OUTPUT,
    finishReasons: [],
    inputTokens: 10,
    outputTokens: 5,
    customTools: new Set(),
    pieces: undefined,
    streamUsage: true,
    ...more,
  });
  const n = normaliser();
  for (const api of APIS)
    test(`in the words of ${api} is read as what it is, whole and streamed, however it is cut`, () => {
      for (const pieces of [undefined, [1], [5, 5, 5], [1000]]) {
        const document = operationOf(api).readAnswer(
          JSON.parse(JSON.stringify(WIRES[api].document(answer()))),
        );
        const reader = operationOf(api).readStream(100_000);
        for (const { text: frame } of WIRES[api].frames(answer({ pieces })))
          reader.event(/^data: (.*)$/m.exec(frame)![1]!);
        for (const facts of [document, reader.facts()]) {
          assert.deepEqual(
            n.units(facts.messages()).map(({ template, volatile }) => [template, volatile]),
            n.units(OUTPUT).map(({ template, volatile }) => [template, volatile]),
          );
          assert.deepEqual(
            [facts.model, facts.complete, facts.usage.inputTokens, facts.usage.outputTokens],
            ['served-1', true, 10, 5],
          );
        }
      }
    });

  test('is cut where it was cut, over the borders of its texts', () => {
    const cut = cutter([3, 4, 2]);
    assert.deepEqual(
      [cut('abcde'), cut('fghij')],
      [
        ['abc', 'de'],
        ['fg', 'hi', 'j'],
      ],
    );
  });
});
