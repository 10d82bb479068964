import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import { isSameFamily, modelFamily } from '../../evals/scorers/judge/family.ts';
import { JUDGED_LENGTH_MAX, judgePrompt } from '../../evals/scorers/judge/prompt.ts';
import { readVerdict } from '../../evals/scorers/judge/verdict.ts';
import { ScorerDefinition } from '../../evals/suite.ts';

test('models are known by their makers, behind routers, clouds and fine-tunes', () => {
  const families: [string, string | undefined][] = [
    ['gpt-4o-2024-08-06', 'gpt'],
    ['openai/gpt-oss-120b', 'gpt'],
    ['o3-mini', 'gpt'],
    ['openai/o1', 'gpt'],
    ['ft:gpt-4o:acme::abc', 'gpt'],
    ['claude-sonnet-4-20250514', 'claude'],
    ['us.anthropic.claude-3-5-sonnet-20241022-v2:0', 'claude'],
    ['models/gemini-2.5-pro', 'gemini'],
    ['meta-llama/Llama-3.3-70B-Instruct', 'llama'],
    ['DeepSeek-R1-Distill-Llama-70B', 'deepseek'],
    ['Qwen/QwQ-32B', 'qwen'],
    ['mixtral-8x7b', 'mistral'],
    ['command-r-plus', 'command'],
    ['phi-4', 'phi'],
    ['sophia-1', undefined],
    ['our-own-model', undefined],
  ];
  for (const [model, family] of families) assert.equal(modelFamily(model), family, model);
  assert.ok(isSameFamily('gpt-4o', 'o3'));
  assert.ok(isSameFamily('acme/Thing-1', 'thing-1'), 'the same name is the same family');
  assert.ok(!isSameFamily('thing-1', 'thing-2'), 'what nobody knows is no kin');
  assert.ok(!isSameFamily('gpt-4o', 'thing-1'));
});

const Verdict = z.strictObject({ reason: z.string(), score: z.number() });

test('a verdict is one JSON object and nothing else, bare or in a lone fence', () => {
  const good = { reason: 'r', score: 0.5 };
  for (const text of [JSON.stringify(good), `\n\`\`\`json\n${JSON.stringify(good)}\n\`\`\`\n`])
    assert.deepEqual(readVerdict(text, Verdict), { verdict: good });
  const one = '{"reason":"as told","score":1}';
  for (const text of [
    '',
    'null',
    one.repeat(2),
    `The answer says ${one}. My verdict: {"reason":"wrong","score":0}`,
    `\`\`\`json\n${one}\n\`\`\`\nbut I say\n\`\`\`json\n{"reason":"wrong","score":0}\n\`\`\``,
    '{"reason":"r","score":1,"note":"x"}',
    '{"reason":"r","score":"1"}',
    '[{"reason":"r","score":1}]',
  ])
    assert.ok('wrong' in readVerdict(text, Verdict), text);
});

test('no text can leave its fence: its marker is in the prompt where we put it and nowhere else', () => {
  const marker = 'f00dfacef00dfacef00dface';
  fc.assert(
    fc.property(fc.string(), fc.string(), (question, answer) => {
      const prompt = judgePrompt(
        marker,
        'rubric',
        [
          { name: 'question', text: question },
          { name: 'answer', text: answer },
        ],
        'task',
      );
      const fences = prompt.split('\n').filter((line) => line.startsWith(`<<<${marker} `));
      assert.deepEqual(
        fences.map((line) => line.slice(marker.length + 4)),
        ['question', 'end of question', 'answer', 'end of answer'],
      );
    }),
  );
});

test('what is too long to be judged whole is not judged', () => {
  const parts = [{ name: 'answer to judge', text: 'x'.repeat(JUDGED_LENGTH_MAX + 1) }];
  assert.throws(() => judgePrompt('m', 'r', parts, 't'), { code: 'answer_too_large' });
});

test('a judge is refused where its settings cannot work, by the field', () => {
  const wrong = (settings: object) =>
    ScorerDefinition.safeParse({ judge: settings }).error?.issues.map((issue) => issue.path.join('.'));
  assert.deepEqual(wrong({ model: 'm' }), ['judge.rubric']);
  assert.deepEqual(wrong({ model: 'm', rubric: ' ' }), ['judge.rubric']);
  assert.deepEqual(wrong({ model: 'm', rubric: 'r', base_url: 'file:///etc' }), ['judge.base_url']);
  assert.deepEqual(wrong({ model: 'm', rubric: 'r', api: 'cohere' }), ['judge.api']);
  assert.equal(wrong({ model: 'm', rubric: 'r' }), undefined);
});
