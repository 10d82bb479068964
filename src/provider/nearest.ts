import { normalizeText } from '../records/normalize.ts';

/** How many recorded prompts are looked at, and how much of each: an error message must stay cheap. */
const CANDIDATES_MAX = 2_000;
const LENGTH_MAX = 2_000;

/**
 * The prompt most like `text` by the words they share (Jaccard index of their word sets), the first of equals;
 * `undefined` when none shares a word. Looks at the first 2,000 candidates and 2,000 characters of each.
 */
export function nearest(text: string, candidates: Iterable<string>): string | undefined {
  const wanted = words(text);
  let best: string | undefined;
  let bestSimilarity = 0;
  let looked = 0;
  for (const candidate of candidates) {
    if (looked++ === CANDIDATES_MAX) break;
    const similarity = jaccard(wanted, words(candidate));
    if (similarity > bestSimilarity) {
      bestSimilarity = similarity;
      best = candidate;
    }
  }
  return best;
}

const words = (text: string) =>
  new Set(
    normalizeText(text.slice(0, LENGTH_MAX))
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu),
  );

function jaccard(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let shared = 0;
  for (const word of a) if (b.has(word)) shared++;
  const either = a.size + b.size - shared;
  return either === 0 ? 0 : shared / either;
}
