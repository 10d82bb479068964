import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { indexAnswers } from '../../src/provider/answers.ts';
import { anthropic } from '../../src/provider/anthropic.ts';
import { pieces } from '../../src/provider/dialect.ts';
import { openai } from '../../src/provider/openai.ts';
import { normalizeText } from '../../src/records/normalize.ts';
import type { RunRecord } from '../../src/records/record.ts';

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('a', ' ', '\n', '\r', '\t', 'ß') }),
);

test('pieces of a text joined are the text, none of them empty', () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: 1, max: 5 }), (text, wordsMax) => {
      const cut = pieces(text, wordsMax);
      assert.equal(cut.join(''), text);
      assert.ok(cut.every((piece) => piece !== ''));
    }),
  );
});

test('a stream of either API carries the whole text, one event a frame', () => {
  const answer = { id: 'x', servedModel: 'm', inputTokens: 1, outputTokens: 2, latencyMs: 0, createdS: 0 };
  const question = { model: 'm', userText: '', stream: true, streamUsage: true };
  fc.assert(
    fc.property(anyText, (text) => {
      for (const dialect of [openai, anthropic]) {
        let read = '';
        for (const { text: frame } of dialect.stream({ ...answer, text }, question)) {
          assert.match(frame, /^(event: \w+\n)?data: [^\n\r]*\n\n$/);
          const data = frame.replace(/^(event: \w+\n)?data: /, '');
          if (data === '[DONE]\n\n') continue;
          const chunk = JSON.parse(data) as {
            choices?: { delta: { content?: string } }[];
            delta?: { text?: string };
          };
          read += chunk.choices?.[0]?.delta.content ?? chunk.delta?.text ?? '';
        }
        assert.equal(read, text);
      }
    }),
  );
});

test('answers come as a queue per model and normalised prompt, however the askings are interleaved', () => {
  const model = fc.constantFrom('gpt-4', 'gpt-4.1');
  const input = fc.constantFrom('a b', ' a  b', 'c', 'd\n');
  const records = fc.array(fc.record({ model, input }), { maxLength: 30 });
  const askings = fc.array(fc.record({ model, input }), { maxLength: 60 });
  fc.assert(
    fc.property(records, askings, (recorded, asked) => {
      const key = (q: { model: string; input: string }) => `${q.model}/${normalizeText(q.input)}`;
      const index = indexAnswers(
        recorded.map(
          (r, i): RunRecord => ({ loop: 'l', run: 'r', ts: '2026-01-01T00:00:00Z', output: `${i}`, ...r }),
        ),
      );
      const seen = new Map<string, number>();
      for (const question of asked) {
        const queue = recorded.flatMap((r, i) => (key(r) === key(question) ? [`${i}`] : []));
        const nth = seen.get(key(question)) ?? 0;
        seen.set(key(question), nth + 1);
        const found = index.take(question.model, question.input);
        if (queue.length > 0)
          assert.equal(
            found.outcome === 'answer' && found.answer.text,
            queue[Math.min(nth, queue.length - 1)],
          );
        else
          assert.equal(
            found.outcome,
            recorded.some((r) => r.model === question.model) ? 'prompt_not_recorded' : 'model_not_found',
          );
      }
    }),
  );
});
