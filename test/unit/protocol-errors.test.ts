import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { openai } from '../../src/gateway/openai.ts';
import { anthropicEvents, chatChunk, sse } from '../support/scripted-provider.ts';
import { anthropicClient, openaiClient, tapOf, typedEvents } from '../support/sdk-stream.ts';

/** What the caller of each API gets when a stream breaks: its own client must throw, and never end as if all was well. */

const BROKE_OFF = {
  status: 502,
  code: 'provider_unreachable',
  message: 'The provider broke off: "reset"\n.',
};

const text = { type: 'response.output_text.delta', output_index: 0, content_index: 0, item_id: 'm' };
const responseEvents = typedEvents([
  { type: 'response.created', sequence_number: 0, response: { id: 'r', object: 'response', output: [] } },
  { ...text, sequence_number: 1, delta: 'He', logprobs: [] },
  { ...text, sequence_number: 2, delta: 'llo', logprobs: [] },
]);

const cases = [
  {
    name: 'OpenAI chat completions',
    protocol: openai,
    path: '/chat/completions',
    whole: Buffer.from(sse(chatChunk({ content: 'He' }), chatChunk({ content: 'llo' }))),
    read: async (bytes: Buffer) =>
      openaiClient(bytes).chat.completions.create({ model: 'm', messages: [], stream: true }),
    thrown: OpenAI.APIError,
    code: 'provider_unreachable',
  },
  {
    name: 'OpenAI text completions',
    protocol: openai,
    path: '/completions',
    whole: Buffer.from(sse({ choices: [{ index: 0, text: 'He', finish_reason: null }] })),
    read: async (bytes: Buffer) =>
      openaiClient(bytes).completions.create({ model: 'm', prompt: 'x', stream: true }),
    thrown: OpenAI.APIError,
    code: 'provider_unreachable',
  },
  {
    name: 'OpenAI responses',
    protocol: openai,
    path: '/responses',
    whole: responseEvents,
    read: async (bytes: Buffer) =>
      openaiClient(bytes).responses.create({ model: 'm', input: 'x', stream: true }),
    thrown: OpenAI.APIError,
    code: 'provider_unreachable',
  },
  {
    name: 'Anthropic messages',
    protocol: anthropic,
    path: '/v1/messages',
    whole: Buffer.from(anthropicEvents(['He', 'llo']).split('event: message_delta')[0]!),
    read: async (bytes: Buffer) =>
      anthropicClient(bytes).messages.create({ model: 'm', max_tokens: 1, messages: [], stream: true }),
    thrown: Anthropic.APIError,
    code: undefined,
  },
];

for (const { name, protocol, path, whole, read, thrown, code } of cases) {
  const operation = protocol.operation('POST', path)!;
  const heard = async (bytes: Buffer) => {
    let events = 0;
    try {
      for await (const _ of await read(bytes)) events++;
    } catch (error) {
      return { events, error };
    }
    return { events, error: undefined };
  };

  test(`${name}: a stream that breaks between events throws the client's API error, after all that came`, async () => {
    const before = await heard(whole);
    assert.equal(before.error, undefined);
    const tap = tapOf(protocol, operation);
    tap.write(whole);
    assert.equal(tap.isBetweenEvents, true);
    const { events, error } = await heard(Buffer.concat([whole, tap.errorEvent(BROKE_OFF)!]));
    assert.ok(error instanceof thrown, String(error));
    assert.match(error.message, /broke off/);
    if (error instanceof OpenAI.APIError) assert.equal(error.code, code);
    assert.equal(events, before.events);
  });

  test(`${name}: so does one that breaks before its first event`, async () => {
    const { error } = await heard(tapOf(protocol, operation).errorEvent(BROKE_OFF)!);
    assert.ok(error instanceof thrown, String(error));
  });

  test(`${name}: one that breaks inside of an event never ends as if it was whole`, async () => {
    for (let cut = whole.length - 1; cut > whole.length - 40; cut--) {
      const tap = tapOf(protocol, operation);
      const bytes = whole.subarray(0, cut);
      tap.write(bytes);
      assert.equal(tap.isBetweenEvents, false, String(cut));
      const { error } = await heard(Buffer.concat([bytes, tap.errorEvent(BROKE_OFF)!]));
      assert.ok(error instanceof Error, `cut at ${cut}`);
      // OpenAI's client gives up on half an event before it looks at the next line.
      const isHeard = protocol === anthropic || cut === whole.length - 1;
      if (isHeard) assert.ok(error instanceof thrown, `cut at ${cut}: ${error}`);
    }
  });

  test(`${name}: an error in a stream that we worded is one that we read`, async () => {
    const tap = tapOf(protocol, operation);
    tap.write(Buffer.concat([whole, tap.errorEvent(BROKE_OFF)!]));
    const { errorType, answer } = await tap.end();
    assert.equal(errorType, code ?? 'api_error');
    assert.equal(answer!.complete, false);
  });
}

test('an error body makes each client throw what its status stands for', () => {
  const words = (status: number) => ({
    openai: (openai.errorBody({ status, code: 'key_invalid', message: 'm' }) as { error: { type: string } })
      .error,
    anthropic: (anthropic.errorBody({ status, code: 'x', message: 'm' }) as { error: { type: string } }).error
      .type,
  });
  assert.deepEqual(words(401), {
    openai: { message: 'm', type: 'authentication_error', param: null, code: 'invalid_api_key' },
    anthropic: 'authentication_error',
  });
  for (const [status, type] of [
    [400, 'invalid_request_error'],
    [402, 'billing_error'],
    [403, 'permission_error'],
    [404, 'not_found_error'],
    [413, 'request_too_large'],
    [429, 'rate_limit_error'],
    [502, 'api_error'],
    [504, 'timeout_error'],
    [529, 'overloaded_error'],
  ] as const)
    assert.equal(words(status).anthropic, type);
});
