import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { anthropic } from '../../src/gateway/anthropic.ts';
import { openai } from '../../src/gateway/openai.ts';
import { type SseEvent, SseParser } from '../../src/gateway/sse.ts';
import { anthropicEvents, chatChunk, sse } from '../support/scripted-provider.ts';

const read = (chunks: Buffer[], eventCharsMax = 1_000_000): SseEvent[] => {
  const events: SseEvent[] = [];
  const parser = new SseParser((event) => events.push(event), eventCharsMax);
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
      protocol: anthropic,
      bytes: Buffer.from(anthropicEvents(['Grüße, ', 'wörld 🌍'])),
      answer: 'Grüße, wörld 🌍',
    },
    {
      protocol: openai,
      bytes: Buffer.from(
        sse(chatChunk({ content: 'zwö' }), chatChunk({ content: 'lf' }), chatChunk({}, 'stop'), '[DONE]'),
      ),
      answer: 'zwölf',
    },
  ];
  fc.assert(
    fc.property(fc.constantFrom(...streams), cuts, ({ protocol, bytes, answer }, at) => {
      const reader = protocol.readStream(1_000_000);
      const parser = new SseParser((event) => reader.event(event), 1_000_000);
      for (const chunk of cut(bytes, at)) parser.push(chunk);
      parser.end();
      assert.equal(reader.facts().text, answer);
      assert.equal(reader.facts().complete, true);
    }),
  );
});

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
    .map((k) => fc.constant(k));
  const types = [
    'message_start',
    'content_block_start',
    'content_block_delta',
    'message_delta',
    'error',
    'tool',
    'user',
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
    fc.property(fc.boolean(), value, (isOpenai, sent) => {
      const protocol = isOpenai ? openai : anthropic;
      const parsed: unknown = JSON.parse(JSON.stringify(sent));
      JSON.stringify(protocol.readRequest(parsed).messages());
      JSON.stringify(protocol.readAnswer(parsed).messages());
      protocol.readError(parsed);
      const reader = protocol.readStream(1000);
      for (const data of [JSON.stringify(sent), 'not json']) reader.event({ event: '', data });
      JSON.stringify(reader.facts().messages());
    }),
    { numRuns: 500 },
  );
});
