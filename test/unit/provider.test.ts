import assert from 'node:assert/strict';
import { test } from 'node:test';
import { indexAnswers } from '../../src/provider/answers.ts';
import { nearest } from '../../src/provider/nearest.ts';
import { explain } from '../../src/provider/question.ts';

test('the nearest prompt is the one that shares most words, the first of equals, none when nothing is shared', () => {
  assert.equal(nearest('is 9 prime', ['what is love', 'Is 7 prime?', 'is 8 prime']), 'Is 7 prime?');
  assert.equal(nearest('xyz', ['what is love']), undefined);
  assert.equal(nearest('', ['', '?!']), undefined);
});

test('looking for the nearest prompt is bounded in prompts and in their length', () => {
  const many = [...Array.from({ length: 2_000 }, (_, i) => `filler ${i}`), 'the needle'];
  assert.equal(nearest('the needle', many), undefined);
  assert.equal(nearest('needle', [`${'x '.repeat(1_000)}needle`]), undefined);
});

test('a refused question names at most 20 models and 200 characters of a prompt', () => {
  const question = { model: 'gpt', userText: 'word', stream: false, streamUsage: false };
  const models = Array.from({ length: 25 }, (_, i) => `m${i}`);
  const unknown = explain(question, { outcome: 'model_not_found', models });
  assert.match(unknown.message, /m19, and 5 more/);
  assert.doesNotMatch(unknown.message, /m20/);
  const long = `word ${'x'.repeat(10_000)}`;
  const unrecorded = explain(question, { outcome: 'prompt_not_recorded', recorded: 1, nearest: long });
  assert.ok(unrecorded.message.length < 600);
});

test('records that cannot be asked for are skipped and say so when nothing else is there', () => {
  const at = { loop: 'l', run: 'r', ts: '2026-01-01T00:00:00Z' };
  const index = indexAnswers([
    { ...at, model: 'm', input: 'x' },
    { ...at, model: 'm', output: 'x' },
    { ...at, input: 'x', output: 'x' },
  ]);
  assert.deepEqual(index.counts, { answers: 0, skipped: 3 });
  const found = index.take('m', 'x');
  assert.equal(found.outcome, 'model_not_found');
});
