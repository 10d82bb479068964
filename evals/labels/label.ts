import { z } from 'zod';
import type { Clock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Store } from '../../src/store/client.ts';
import { probabilityOf } from '../../src/store/label-queue.ts';
import { appendLabel, hasRun, type LabelRow } from '../../src/store/labels.ts';

/** What a person says of a run, however they say it: by terminal or by HTTP. */

export const COMMENT_LENGTH_MAX = 2_000;

/** Who labels: a name or an address. */
export const Rater = z
  .string()
  .max(LIMITS.nameLengthMax)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._@+-]*$/,
    'expected the name of a person: letters, digits, ".", "_", "-", "@" and "+"',
  );

export const Comment = z.string().max(COMMENT_LENGTH_MAX);
export const LabelScore = z.number().min(0).max(1);

export interface Said {
  loop: string;
  runId: string;
  rater: string;
  /** In [0, 1]; `null` takes back what the rater said before. */
  score: number | null;
  comment?: string | undefined;
}

/**
 * Stores a label; the newest of a rater stands. Throws `not_found` where the loop has no such run, and `bad_input` for
 * what is no label.
 */
export async function label(
  { store, clock }: { store: Store; clock: Clock },
  { loop, runId, rater, score, comment = '' }: Said,
): Promise<LabelRow> {
  check('rater', Rater, rater);
  check('comment', Comment, comment);
  if (score !== null) check('score', LabelScore, score);
  if (!(await hasRun(store, loop, runId)))
    throw new LoopscopeError(
      'not_found',
      `Loop "${loop}" has no run "${runId}". \`loopscope runs\` lists the latest.`,
    );
  const row: LabelRow = {
    loop,
    run_id: runId,
    rater,
    score,
    comment,
    probability: await probabilityOf(store, loop, runId),
    labelled_at: clock.now(),
  };
  await appendLabel(store, row);
  return row;
}

function check(field: string, schema: z.ZodType, value: unknown): void {
  const result = schema.safeParse(value);
  if (!result.success) throw new LoopscopeError('bad_input', `${field}: ${result.error.issues[0]!.message}.`);
}
