import { type Scorer, ScorerError } from './scorer.ts';
import { plain } from './text.ts';

/**
 * How alike two texts are, without a model: chrF1, the character n-gram F-score of Popović ("chrF", WMT 2015) with
 * n = 1…6 and precision and recall of equal weight. Precision and recall are averaged over n, and F is their harmonic
 * mean; white space between words is left out, as in the original; an n for which a text is too short is not counted.
 *
 * Chosen over what works on words (BLEU, ROUGE): it needs no tokeniser and so no language, a wrong ending costs little
 * and a wrong word much, and of the measures without a model it agrees well with people. Chosen over compression
 * distance, which on texts shorter than a page measures the compressor. With both weights equal it is symmetric; it
 * is 1 for texts that read the same and 0 for texts without a character in common. It does not know what words mean:
 * "is" and "is not" are alike. Case, white space and Unicode form do not matter, as in `text`.
 */
const ORDER_MAX = 6;
const TEXT_LENGTH_MAX = 50_000;

export const similarity = (): Scorer => (output, expected) => chrF1(plain(output), plain(expected));

/** chrF1 of two texts as they stand. Throws `ScorerError` for a text of over 50,000 characters. */
export function chrF1(a: string, b: string): number {
  const left = [...a.replace(/\s/g, '')];
  const right = [...b.replace(/\s/g, '')];
  for (const { length } of [left, right])
    if (length > TEXT_LENGTH_MAX)
      throw new ScorerError(
        'answer_too_large',
        `expected at most ${TEXT_LENGTH_MAX} characters to compare, found ${length}`,
      );
  if (left.length === 0 || right.length === 0) return left.length === right.length ? 1 : 0;
  const orders = Math.min(ORDER_MAX, left.length, right.length);
  let precision = 0;
  let recall = 0;
  for (let n = 1; n <= orders; n++) {
    const shared = sharedGrams(left, right, n);
    precision += shared / (left.length - n + 1);
    recall += shared / (right.length - n + 1);
  }
  if (precision + recall === 0) return 0;
  return Math.min(1, (2 * precision * recall) / (precision + recall) / orders);
}

/** n-grams that both have, each as often as the one that has it less often. */
function sharedGrams(left: readonly string[], right: readonly string[], n: number): number {
  const counts = new Map<string, number>();
  for (let at = 0; at + n <= left.length; at++) {
    const gram = left.slice(at, at + n).join('');
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  let shared = 0;
  for (let at = 0; at + n <= right.length; at++) {
    const gram = right.slice(at, at + n).join('');
    const count = counts.get(gram) ?? 0;
    if (count === 0) continue;
    counts.set(gram, count - 1);
    shared++;
  }
  return shared;
}
