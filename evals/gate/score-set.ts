import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { LoopscopeError } from '../../src/errors.ts';

/**
 * The scores of one scoring of a suite: what a gate holds against another, and a file that can be kept beside the code.
 * Scores are comparable where they were made with the same scorer, and of an item where the same was expected.
 */
export const SCORES_MAX = 100_000;
const FILE_BYTES_MAX = 200_000_000;
const FORMAT = 'loopscope-scores/1';

const ItemScore = z.object({
  item: z.string().min(1),
  run: z.string(),
  /** `null` where there is none: `error` then says why. */
  score: z.number().min(0).max(1).nullable(),
  error: z.string(),
  /** Why the score is what it is, where the scorer says. */
  reason: z.string().default(''),
  /** Hash of what was expected; '' where nobody knows. */
  expected_hash: z.string(),
});

export const ScoreSet = z.object({
  format: z.literal(FORMAT, { error: `expected ${FORMAT}` }),
  suite: z.string(),
  loop: z.string(),
  /** The scorer's name, and a hash of its settings; '' where nobody knows them. */
  scorer: z.string(),
  scorer_hash: z.string(),
  made_at: z.iso.datetime({ offset: true }),
  scores: z.array(ItemScore).max(SCORES_MAX),
});

export type ItemScore = z.infer<typeof ItemScore>;
export type ScoreSet = z.infer<typeof ScoreSet>;

/** The set without its format, which is the same for all. */
export const scoreSet = (of: Omit<ScoreSet, 'format'>): ScoreSet => ({ format: FORMAT, ...of });

export function writeScoreSet(path: string, set: ScoreSet): void {
  try {
    writeFileSync(path, `${JSON.stringify(set, null, 1)}\n`);
  } catch (error) {
    throw new LoopscopeError('bad_input', `${path}: cannot be written: ${(error as Error).message}`);
  }
}

/** Reads what `writeScoreSet` wrote. Throws `not_found` or `bad_input`. */
export function readScoreSet(path: string): ScoreSet {
  const refuse = (why: string) => {
    return new LoopscopeError('bad_input', `${path}: expected scores written by --save: ${why}`);
  };
  let value: unknown;
  try {
    if (statSync(path).size > FILE_BYTES_MAX) throw refuse(`more than ${FILE_BYTES_MAX} bytes`);
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof LoopscopeError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new LoopscopeError('not_found', `${path}: there is no such file`);
    throw refuse(message);
  }
  const parsed = ScoreSet.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw refuse(`${issue!.path.join('.') || '(top level)'}: ${issue!.message}`);
}
