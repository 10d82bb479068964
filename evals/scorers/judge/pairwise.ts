import { z } from 'zod';
import { explaining, type Scored, type ScoredItem, type Scorer } from '../scorer.ts';
import type { ScorerServices } from '../services.ts';
import { TRY_MS_MAX } from './ask.ts';
import { judgement } from './judgement.ts';
import type { PairwiseSettings } from './settings.ts';
import { addUsage } from './verdict.ts';

const PairVerdict = z.strictObject({
  reason: z.string(),
  better: z.enum(['first', 'second', 'neither']),
});

const TASK =
  'Compare the two answers by the rubric. Their order means nothing. Give your reason in a few ' +
  'sentences, then which is better: first, second, or neither where you see no difference that matters.';

/**
 * A model that compares the answer with the expected one, which may be a baseline's. Judges prefer what stands
 * first or last (Wang et al., "Large language models are not fair evaluators", 2023), so it is asked in both orders: 1
 * where the answer wins both, 0 where it loses both, else ½. Where the orders disagree the judge does not know, which
 * is ½ too and flagged `order_disagreement`: a judge that does it often is no judge of this task.
 */
export function pairwise(
  { pairwise: settings }: { pairwise: PairwiseSettings },
  services: ScorerServices,
): Scorer {
  const judged = judgement(settings, services, { task: TASK, schema: PairVerdict, tryMs: TRY_MS_MAX });

  /** 1, ½ or 0 for the answer, when it stands first or second. */
  const compare = async (output: string, other: string, isFirst: boolean, item: ScoredItem | undefined) => {
    const [first, second] = isFirst ? [output, other] : [other, output];
    const { verdict, usage } = await judged.of(item, [
      { name: 'first answer', text: first },
      { name: 'second answer', text: second },
    ]);
    const wins = verdict.better === (isFirst ? 'first' : 'second');
    return { score: verdict.better === 'neither' ? 0.5 : wins ? 1 : 0, reason: verdict.reason, usage };
  };

  return explaining(async (output, expected, item): Promise<Scored> => {
    const first = await compare(output, expected, true, item);
    const second = await compare(output, expected, false, item);
    const usage = addUsage(first.usage, second.usage);
    if (first.score === second.score) return { score: first.score, reason: first.reason, usage };
    return {
      score: 0.5,
      reason: `the orders disagree. Answer first: ${first.reason} Answer second: ${second.reason}`,
      flags: ['order_disagreement'],
      usage,
    };
  }, judged.limits);
}
