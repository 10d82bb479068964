import { LoopscopeError } from '../../src/errors.ts';
import { contentHash } from '../../src/records/normalize.ts';
import type { Store } from '../../src/store/client.ts';
import { type ScoresAsked, scoresOfItems } from '../../src/store/suite-scores.ts';
import { scorerName } from '../scorers/registry.ts';
import type { Suite } from '../suite.ts';
import { readScoreSet, type ScoreSet, scoreSet } from './score-set.ts';
import { hashOfScorer } from './scorer-hash.ts';

/**
 * What scores are held against, as a command line names it:
 *
 *   last              the newest scores of each item that are stored
 *   2026-11-20        those made before that day began (UTC), or before a time with its zone
 *   prompt:VERSION    those of runs with that version of the prompt
 *   FILE              those that --save wrote
 */
export type Reference =
  | { kind: 'last' }
  | { kind: 'before'; at: number }
  | { kind: 'prompt'; version: string }
  | { kind: 'file'; path: string };

export function parseReference(text: string): Reference {
  if (text === 'last') return { kind: 'last' };
  if (text.startsWith('prompt:')) return { kind: 'prompt', version: text.slice('prompt:'.length) };
  if (/^\d{4}-\d{2}-\d{2}(T.*(Z|[+-]\d{2}:\d{2}))?$/.test(text)) {
    const at = Date.parse(text);
    if (Number.isNaN(at)) throw new LoopscopeError('usage', `--baseline: ${text} is no date`);
    return { kind: 'before', at };
  }
  return { kind: 'file', path: text };
}

/**
 * The scores that a reference names; those of the store made before `startedAt`. `store` is asked for where it is needed.
 * Throws `not_found`, `bad_input`, and what the store throws.
 */
export async function resolveReference(
  reference: Reference,
  suite: Suite,
  { store, startedAt }: { store: () => Store; startedAt: number },
): Promise<ScoreSet> {
  if (reference.kind === 'file') return comparable(reference.path, readScoreSet(reference.path), suite);
  return storedSet(store(), suite, {
    before: reference.kind === 'before' ? Math.min(reference.at, startedAt) : startedAt,
    ...(reference.kind === 'prompt' && { promptVersion: reference.version }),
  });
}

/** Stored scores of a suite. Which settings its scorer had when it made them, nobody wrote down. */
export async function storedSet(
  store: Store,
  suite: Suite,
  range: Pick<ScoresAsked, 'from' | 'before' | 'promptVersion'>,
): Promise<ScoreSet> {
  const scorer = scorerName(suite.scorer);
  const rows = await scoresOfItems(store, { loop: suite.loop, suite: suite.suite, scorer, ...range });
  return scoreSet({
    suite: suite.suite,
    loop: suite.loop,
    scorer,
    scorer_hash: '',
    made_at: new Date(range.before).toISOString(),
    scores: rows.map(({ expected, ...row }) => ({
      ...row,
      reason: '',
      expected_hash: expected === '' ? '' : contentHash(expected),
    })),
  });
}

/** Refuses scores that were made otherwise: their differences would say nothing of the change. */
function comparable(path: string, set: ScoreSet, suite: Suite): ScoreSet {
  const refuse = (why: string) =>
    new LoopscopeError('bad_input', `${path}: ${why}. Score the baseline again, with --save ${path}.`);
  if (set.suite !== suite.suite)
    throw refuse(`these are scores of suite ${set.suite}, not of ${suite.suite}`);
  if (set.scorer_hash !== '' && set.scorer_hash !== hashOfScorer(suite.scorer, suite.directory))
    throw refuse(`the suite's scorer has changed since they were made (it was ${set.scorer})`);
  return set;
}
