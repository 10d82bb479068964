import { LoopscopeError } from '../errors.ts';
import { normalizeText } from './normalize.ts';
import type { RunRecord } from './record.ts';

/** Holds an answer against what was expected: a number in [0, 1]. */
export type Score = (output: string, expected: string) => number;
export type MaybeLaterScore = (output: string, expected: string) => number | Promise<number>;

/** 1 where both texts read the same, white space, Unicode form and case aside; else 0. */
export const sameText: Score = (output, expected) => (plain(output) === plain(expected) ? 1 : 0);

const plain = (text: string) => normalizeText(text).toLowerCase().normalize('NFC');

/**
 * A record's golden score: the one it brings, else its output held against what was expected, else none. A record
 * without an output has none either: nobody said what the run answered, which is not a wrong answer.
 * Throws what `score` throws, and `bad_input` where that gives no number in [0, 1].
 */
export function goldenScore(record: RunRecord, score?: Score): number | undefined;
export function goldenScore(record: RunRecord, score: MaybeLaterScore): number | undefined | Promise<number>;
export function goldenScore(
  { golden, output }: RunRecord,
  score: MaybeLaterScore = sameText,
): number | undefined | Promise<number> {
  if (golden?.score !== undefined) return golden.score;
  if (golden?.expected === undefined || output === undefined) return undefined;
  const result = score(output, golden.expected);
  return result instanceof Promise ? result.then(inRange) : inRange(result);
}

/** A user's scorer may give anything: `null` and texts pass for numbers when they are only compared with some. */
function inRange(score: unknown): number {
  if (typeof score === 'number' && score >= 0 && score <= 1) return score;
  throw new LoopscopeError(
    'bad_input',
    `the scorer gave ${JSON.stringify(score) ?? typeof score}, expected a number from 0 to 1`,
  );
}
