import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import type { Message, ModelCall } from '../../src/replay/recording.ts';
import { asks, call, recordingOf, text, tool, toolCall, toolResult } from '../support/replay.ts';
import { serveRecording } from '../support/replay-server.ts';

/** The record as the official SDKs find it. */

const TOOLS = [
  {
    type: 'function' as const,
    function: { name: 'look_up', description: 'd', parameters: { type: 'object', properties: {} } },
  },
];
const ANSWER: Message = asks(
  { type: 'text', content: 'Let me see what the register says about it.' },
  toolCall('call_1', 'look_up', { id: 7 }),
  toolCall('call_2', 'look_up', { id: 8 }),
);
const SAFE = { tools: [{ name: 'look_up', safe: true }] };

const openai = (url: string) =>
  new OpenAI({ baseURL: `${url}/loops/desk/agents/maker/v1`, apiKey: 'k', maxRetries: 2 });
const anthropic = (url: string) =>
  new Anthropic({ baseURL: `${url}/loops/desk/agents/maker/anthropic`, apiKey: 'k', maxRetries: 2 });

const chatRecording = () =>
  recordingOf([
    call([text('system', 'Be brief.'), text('user', 'What of 7?')], [ANSWER], {
      toolDefinitions: JSON.stringify(TOOLS),
      finishReasons: ['tool_calls'],
      pieces: [
        [100, 7],
        [200, 60],
      ],
    }),
    tool('look_up', 'call_1', { id: 7 }, 'seven'),
    tool('look_up', 'call_2', { id: 8 }, 'eight'),
    call(
      [
        text('system', 'Be brief.'),
        text('user', 'What of 7?'),
        ANSWER,
        toolResult('call_1', 'seven'),
        toolResult('call_2', 'eight'),
      ],
      [text('assistant', 'Seven it is.')],
      { toolDefinitions: JSON.stringify(TOOLS) },
    ),
  ]);

describe('chat completions', () => {
  for (const stream of [false, true])
    test(`a conversation with tools is answered from the record${stream ? ', streamed' : ''}`, async (t) => {
      const server = await serveRecording(chatRecording(), SAFE);
      t.after(server.close);
      const client = openai(server.url);
      const messages: OpenAI.ChatCompletionMessageParam[] = [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'What of 7?' },
      ];
      const ask = async () => {
        const params = { model: 'gpt-4o', messages, tools: TOOLS };
        if (!stream) return await client.chat.completions.create(params);
        return await client.chat.completions
          .stream({ ...params, stream_options: { include_usage: true } })
          .finalChatCompletion();
      };
      const first = await ask();
      assert.equal(first.model, 'gpt-4o-2024-05-13');
      assert.equal(first.choices[0]!.finish_reason, 'tool_calls');
      assert.equal(first.usage?.total_tokens, 15);
      const said = first.choices[0]!.message;
      assert.equal(said.content, 'Let me see what the register says about it.');
      assert.deepEqual(
        said.tool_calls?.map((c) => c.type === 'function' && [c.id, c.function.name, c.function.arguments]),
        [
          ['call_1', 'look_up', '{"id":7}'],
          ['call_2', 'look_up', '{"id":8}'],
        ],
      );
      messages.push(
        said,
        { role: 'tool', tool_call_id: 'call_1', content: 'seven' },
        { role: 'tool', tool_call_id: 'call_2', content: 'eight' },
      );
      const second = await ask();
      assert.equal(second.choices[0]!.message.content, 'Seven it is.');
      const played = server.session.played({ code: 0, signal: null });
      assert.deepEqual(
        [played.outcome, played.matched, played.skipped, played.divergences],
        ['done', 2, 0, []],
      );
      assert.equal(played.output, 'Seven it is.');
    });

  test('a call that is not on record gets an error that says what differs, once', async (t) => {
    const server = await serveRecording(chatRecording(), SAFE);
    t.after(server.close);
    await assert.rejects(
      openai(server.url).chat.completions.create({
        model: 'gpt-4o',
        tools: TOOLS,
        messages: [{ role: 'user', content: 'Something else altogether, please' }],
      }),
      (error: unknown) => {
        assert.ok(error instanceof OpenAI.APIError);
        assert.equal(error.status, 422);
        assert.equal(error.code, 'replay_diverged');
        assert.match(error.message, /recorded "text Be brief\."/);
        return true;
      },
    );
    const { divergences } = server.session.played({ code: 1, signal: null });
    assert.deepEqual(
      divergences.map(({ kind }) => kind),
      ['call_unmatched', 'loop_failed', 'call_not_made'],
    );
  });

  test('nearly the same call is answered unless it has to be the same, and what differs is told', async (t) => {
    const messages = [
      { role: 'system' as const, content: 'Be brief.' },
      { role: 'user' as const, content: 'What of 7 now?' },
    ];
    const params = { model: 'gpt-4o', messages, tools: TOOLS };
    const loose = await serveRecording(chatRecording(), SAFE);
    t.after(loose.close);
    const answer = await openai(loose.url).chat.completions.create(params);
    assert.equal(answer.choices[0]!.finish_reason, 'tool_calls');
    const { near } = loose.session.played({ code: 0, signal: null });
    assert.match(near[0]!.differences[0]!, /recorded "text What of 7\?", now "text What of 7 now\?"/);
    const strict = await serveRecording(chatRecording(), { ...SAFE, strict: true });
    t.after(strict.close);
    await assert.rejects(openai(strict.url).chat.completions.create(params), /not on record/);
  });
});

const inApi = (api: ModelCall['api'], more: Partial<ModelCall> = {}) =>
  recordingOf([
    call([text('system', 'Be brief.'), text('user', 'What of 7?')], [ANSWER], {
      api,
      provider: api === 'messages' ? 'anthropic' : 'openai',
      model: api === 'messages' ? 'claude-sonnet-4' : 'gpt-4o',
      servedModel: null,
      ...more,
    }),
  ]);

describe('the Responses API', () => {
  for (const stream of [false, true])
    test(`answers in items${stream ? ', streamed' : ''}`, async (t) => {
      const server = await serveRecording(inApi('responses', { finishReasons: ['completed'] }), SAFE);
      t.after(server.close);
      const params = { model: 'gpt-4o', instructions: 'Be brief.', input: 'What of 7?' };
      const client = openai(server.url);
      const answer = stream
        ? await client.responses.stream(params).finalResponse()
        : await client.responses.create(params);
      assert.equal(answer.status, 'completed');
      assert.equal(answer.output_text, 'Let me see what the register says about it.');
      assert.deepEqual(
        answer.output.map((item) =>
          item.type === 'function_call' ? [item.call_id, item.name, item.arguments] : item.type,
        ),
        ['message', ['call_1', 'look_up', '{"id":7}'], ['call_2', 'look_up', '{"id":8}']],
      );
      assert.equal(server.session.played({ code: 0, signal: null }).matched, 1);
    });
});

describe("Anthropic's messages", () => {
  for (const stream of [false, true])
    test(`answers in blocks${stream ? ', streamed' : ''}`, async (t) => {
      const server = await serveRecording(
        inApi('messages', { finishReasons: ['tool_use'], parameters: { max_tokens: 100 } }),
        SAFE,
      );
      t.after(server.close);
      const params = {
        model: 'claude-sonnet-4',
        system: 'Be brief.',
        max_tokens: 100,
        messages: [{ role: 'user' as const, content: 'What of 7?' }],
      };
      const client = anthropic(server.url);
      const answer = stream
        ? await client.messages.stream(params).finalMessage()
        : await client.messages.create(params);
      assert.equal(answer.stop_reason, 'tool_use');
      assert.deepEqual(
        answer.content.map((block) =>
          block.type === 'tool_use' ? [block.id, block.name, block.input] : block.type,
        ),
        ['text', ['call_1', 'look_up', { id: 7 }], ['call_2', 'look_up', { id: 8 }]],
      );
      assert.equal(server.session.played({ code: 0, signal: null }).matched, 1);
    });
});
