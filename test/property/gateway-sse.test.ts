import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { openai } from '../../src/gateway/openai.ts';
import type { Operation, Protocol } from '../../src/gateway/protocol.ts';
import { SseParser } from '../../src/gateway/sse.ts';
import { openTap } from '../../src/gateway/tap/open.ts';
import type { TapResult } from '../../src/gateway/tap/tap.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { anthropicEvents, chatChunk, sse } from '../support/scripted-provider.ts';

const read = (chunks: Buffer[], eventCharsMax = 1_000_000) => {
  const events: { event: string; data: string }[] = [];
  const parser = new SseParser((data, event) => events.push({ event, data }), eventCharsMax);
  for (const chunk of chunks) parser.push(chunk);
  parser.end();
  return events;
};

const cut = (bytes: Buffer, cuts: number[]): Buffer[] => {
  const at = [...new Set(cuts.map((c) => c % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i]));
};

const text = fc.string({ unit: 'grapheme' }).map((s) => s.replaceAll(/[\r\n]/g, ''));
const newline = fc.constantFrom('\n', '\r\n', '\r');
const line = fc.oneof(
  text.map((t) => `data: ${t}`),
  text.map((t) => `data:${t}`),
  text.map((t) => `event: ${t}`),
  text.map((t) => `: ${t}`),
  text.map((t) => `id: ${t}`),
  fc.constantFrom('data', '', 'retry: 5'),
);
const streamText = fc
  .array(fc.tuple(line, newline), { maxLength: 30 })
  .map((lines) => lines.map(([l, n]) => l + n).join(''));
const cuts = fc.array(fc.nat(), { maxLength: 60 });

test('however a stream is cut into chunks, the same events are read', () => {
  fc.assert(
    fc.property(streamText, cuts, (stream, at) => {
      const bytes = Buffer.from(stream);
      assert.deepEqual(read(cut(bytes, at)), read([bytes]));
    }),
  );
});

test('events are those of the specification, whichever line ends are used', () => {
  const event = fc.record({
    event: text.filter((t) => t === t.trim()),
    data: fc.array(text, { minLength: 1 }),
  });
  fc.assert(
    fc.property(fc.array(event), newline, (events, n) => {
      const stream = events
        .map((e) => [`event: ${e.event}`, ...e.data.map((d) => `data: ${d}`), n].join(n))
        .join('');
      const expected = events.map((e) => ({ event: e.event, data: e.data.join('\n') }));
      assert.deepEqual(read([Buffer.from(stream)]), expected);
    }),
  );
});

test('an event over the limit is skipped, the ones around it are read, wherever the cuts are', () => {
  fc.assert(
    fc.property(fc.integer({ min: 60, max: 300 }), cuts, newline, (size, at, n) => {
      const big = `data: ${'x'.repeat(size)}${n}data: tail${n}${n}`;
      const bytes = Buffer.from(`data: a${n}${n}${big}data: b${n}${n}`);
      assert.deepEqual(
        read(cut(bytes, at), 50).map((e) => e.data),
        ['a', 'b'],
      );
    }),
  );
});

test('a cut stream of either provider reads to the same facts as a whole one', () => {
  const streams = [
    {
      operation: anthropic.operation('POST', '/v1/messages')!,
      bytes: Buffer.from(anthropicEvents(['Grüße, ', 'wörld 🌍'])),
      answer: 'Grüße, wörld 🌍',
    },
    {
      operation: openai.operation('POST', '/chat/completions')!,
      bytes: Buffer.from(
        sse(chatChunk({ content: 'zwö' }), chatChunk({ content: 'lf' }), chatChunk({}, 'stop'), '[DONE]'),
      ),
      answer: 'zwölf',
    },
  ];
  fc.assert(
    fc.property(fc.constantFrom(...streams), cuts, ({ operation, bytes, answer }, at) => {
      const reader = operation.readStream(1_000_000);
      const parser = new SseParser((data) => reader.event(data), 1_000_000);
      for (const chunk of cut(bytes, at)) parser.push(chunk);
      assert.equal(parser.isBetweenEvents, true);
      assert.equal(reader.isOver, true);
      parser.end();
      assert.equal(reader.facts().text, answer);
      assert.equal(reader.facts().complete, true);
    }),
  );
});

const operations = [
  ...['/chat/completions', '/responses', '/completions', '/embeddings'].map(
    (path) => openai.operation('POST', path)!,
  ),
  anthropic.operation('POST', '/v1/messages')!,
];

test('nothing that a caller or a provider sends makes reading it throw', () => {
  const keys = [
    'messages',
    'role',
    'content',
    'text',
    'type',
    'tools',
    'tool_calls',
    'function',
    'usage',
    'choices',
  ]
    .concat(['delta', 'index', 'message', 'error', 'system', 'model', 'input', '__proto__', 'content_block'])
    .concat([
      'response',
      'item',
      'output',
      'output_index',
      'sequence_number',
      'input_tokens_details',
      'status',
    ])
    .concat(['instructions', 'conversation', 'prompt', 'data', 'total_tokens', 'cache_creation', 'action'])
    .map((k) => fc.constant(k));
  const types = [
    'message_start',
    'content_block_start',
    'content_block_delta',
    'message_delta',
    'error',
    'tool',
    'user',
    'response.created',
    'response.output_item.added',
    'response.output_text.delta',
    'response.completed',
    'function_call_output',
    'reasoning',
  ];
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      fc.oneof(fc.constantFrom(...types), fc.string(), fc.double(), fc.boolean(), fc.constant(null)),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.oneof(...keys), tie('value'), { maxKeys: 6 }),
    ),
  }));
  fc.assert(
    fc.property(fc.constantFrom(...operations), value, (operation, sent) => {
      const parsed: unknown = JSON.parse(JSON.stringify(sent));
      JSON.stringify([operation.readRequest(parsed), operation.readContent(parsed).messages()]);
      JSON.stringify(operation.readAnswer(parsed).messages());
      for (const protocol of [openai, anthropic]) protocol.readError(parsed);
      const reader = operation.readStream(1000);
      for (const data of [JSON.stringify(sent), JSON.stringify(sent), 'not json']) reader.event(data);
      JSON.stringify(reader.facts().messages());
    }),
    { numRuns: 500 },
  );
});

/**
 * Events as each API streams them, most of them pieces of text, some with escapes, other blocks and odd fields. Pieces
 * are often the same, since what is taken for a repetition must not be one.
 */
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', ' b', 'ü{', ',"', '1') },
  { weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom('"', '\\', '\n', '"content":"a"', '', '\u0000', '0') },
);
const place = fc.nat({ max: 1 });
const choice = fc.oneof(
  { weight: 8, arbitrary: fc.record({ index: place, content: piece }) },
  { weight: 1, arbitrary: fc.record({ index: place, content: piece, call: piece }) },
  { weight: 1, arbitrary: fc.record({ index: place, content: piece, reasoning_content: piece }) },
  { weight: 1, arbitrary: fc.record({ index: place, content: piece, refusal: piece }) },
  { weight: 1, arbitrary: fc.record({ index: place, reasoning: piece }) },
);
const chunkOf = ({ index, ...delta }: { index: number; call?: string }) => ({
  index,
  delta: {
    ...delta,
    ...(delta.call && { tool_calls: [{ index: 0, function: { arguments: delta.call } }] }),
  },
  finish_reason: null,
});
const streamsOf = {
  chat: fc
    .array(
      fc.oneof(
        { weight: 6, arbitrary: fc.tuple(choice) },
        { weight: 1, arbitrary: fc.tuple(choice, choice) },
      ),
      { maxLength: 40 },
    )
    .map((events) =>
      events.map((choices, i) => ({
        id: 'c',
        choices: choices.map(chunkOf),
        obfuscation: 'x'.repeat(i % 3),
      })),
    ),
  responses: fc
    .array(fc.record({ index: place, text: piece, kind: fc.constantFrom('output_text', 'refusal') }), {
      maxLength: 40,
    })
    .map((events) =>
      events.map(({ index, text, kind }, i) => ({
        type: `response.${kind}.delta`,
        sequence_number: i,
        output_index: index,
        delta: text,
        logprobs: [],
      })),
    ),
  anthropic: fc
    .array(
      fc.record({ index: place, text: piece, kind: fc.constantFrom('text', 'thinking', 'partial_json') }),
      { maxLength: 40 },
    )
    .map((events) =>
      events.map(({ index, text, kind }) => ({
        type: 'content_block_delta',
        index,
        delta: { type: `${kind}_delta`, [kind]: text },
      })),
    ),
};
const brokeOff = { status: 502, code: 'provider_unreachable', message: 'broke off' };

/** What is known when each event was parsed. */
function parsedFacts(operation: Operation, datas: readonly string[]) {
  const reader = operation.readStream(LIMITS.tapBytesMax);
  for (const data of datas) reader.event(data);
  const { messages, ...facts } = reader.facts();
  return { ...facts, messages: messages(), error: reader.errorEvent(brokeOff) };
}

/** What is known when they passed by as bytes. */
function passedFacts(protocol: Protocol, operation: Operation, chunks: readonly Buffer[]) {
  const contentType = 'text/event-stream';
  const tap = openTap({ protocol, operation, content: true, status: 200, contentType, contentEncoding: '' });
  for (const chunk of chunks) tap.write(chunk);
  const error = tap.errorEvent(brokeOff)!.toString();
  const { messages, ...facts } = (tap.end() as TapResult).answer!;
  return { ...facts, messages: messages(), error };
}

test('events that are read by their likeness say what they say when each is parsed, however they are cut', () => {
  const cases = [
    [openai, '/chat/completions', streamsOf.chat],
    [openai, '/responses', streamsOf.responses],
    [anthropic, '/v1/messages', streamsOf.anthropic],
  ] as const;
  const property = (protocol: Protocol, operation: Operation, stream: fc.Arbitrary<object[]>) =>
    fc.assert(
      fc.property(stream, cuts, fc.constantFrom('\n', '\r\n'), fc.boolean(), (events, at, eol, counts) => {
        // Between them, now and then, one without a text.
        const all = events.flatMap((event, i) => (i % 3 === 2 ? [{ type: 'ping' }, event] : [event]));
        const numbered = events.some((event) => 'sequence_number' in event);
        const numberOf = (n: number) => (counts ? n : undefined);
        const datas = all.map((event, n) =>
          JSON.stringify(numbered ? { ...event, sequence_number: numberOf(n) } : event),
        );
        const frames = datas.map((data) => Buffer.from(`event: e${eol}data: ${data}${eol}${eol}`));
        const parsed = parsedFacts(operation, datas);
        const whole = Buffer.concat(frames);
        const pairs = Map.groupBy(frames, (_, i) => i >> 1);
        const inPairs = [...pairs.values()].map((pair) => Buffer.concat(pair));
        for (const chunks of [frames, inPairs, [whole], cut(whole, at)])
          assert.deepEqual(passedFacts(protocol, operation, chunks), parsed);
      }),
      { numRuns: 300 },
    );
  for (const [protocol, path, stream] of cases) property(protocol, protocol.operation('POST', path)!, stream);
});
