import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'csv-parse/sync';
import { checkerAccuracy } from '../../evals/stats/rates.ts';
import { successRate } from '../../evals/stats/success-rate.ts';
import { seededRandom } from '../../src/clock.ts';

/**
 * Estimates on answers that a real model gave (LLMDrift: Chen, Zaharia & Zou 2023): GPT-4 on primes, with the checker
 * "the answer parses". All answers are scored in the data; the estimates see a tenth of the scores.
 */
const FILE = join(process.env['LOOPSCOPE_TEST_DATA'] ?? '../shared/data', 'llmdrift', 'PRIME_FULL_EVAL.csv');
const skip = existsSync(FILE) ? false : `no LLMDrift answers at ${FILE}: set LOOPSCOPE_TEST_DATA`;

interface Row {
  model: string;
  ref_answer: string;
  answer: string;
}

function answersOf(model: string): { pass: boolean; score: number }[] {
  const rows = parse(readFileSync(FILE), { columns: true }) as Row[];
  return rows
    .filter((row) => row.model.endsWith(model))
    .map(({ answer, ref_answer }) => {
      const said = /\[(yes|no)\]/i.exec(answer)?.[1]?.toLowerCase();
      return { pass: said !== undefined, score: Number(said === ref_answer.toLowerCase()) };
    });
}

for (const [model, rate] of [
  ['gpt-4-0314', 0.84],
  ['gpt-4-0613', 0.502],
] as const)
  test(`a tenth of the scores finds how often ${model} is right, whatever the checker says`, { skip }, () => {
    const answers = answersOf(model);
    assert.equal(answers.length, 1000);
    assert.ok(Math.abs(answers.reduce((sum, { score }) => sum + score, 0) / 1000 - rate) < 1e-3);
    const random = seededRandom(91);
    let covered = 0;
    for (let order = 0; order < 60; order++) {
      const scored = new Set<number>();
      while (scored.size < 100) scored.add(Math.floor(random() * 1000));
      const found = successRate(
        answers.map(({ pass, score }, i) => ({ pass, score: scored.has(i) ? score : null })),
      )!;
      assert.ok(found.high - found.low < 0.25);
      if (found.low <= rate && rate <= found.high) covered++;
    }
    // 95 % promised; three standard deviations of 60 orders.
    assert.ok(covered >= 52, `${covered} of 60`);
  });

test('a checker that only parses has no specificity worth the name', { skip }, () => {
  const judged = answersOf('gpt-4-0613').map(({ pass, score }) => ({ pass, good: score === 1 }));
  const { sensitivity, specificity, ppv } = checkerAccuracy(judged);
  assert.equal(sensitivity!.estimate, 1);
  assert.ok(specificity!.high < 0.15);
  assert.ok(ppv!.high < 0.57);
});
