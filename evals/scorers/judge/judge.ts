import { z } from 'zod';
import { explaining, type Scorer } from '../scorer.ts';
import type { ScorerServices } from '../services.ts';
import { TRY_MS_MAX } from './ask.ts';
import { judgement } from './judgement.ts';
import type { JudgeSettings } from './settings.ts';

/** The reason comes first: a model that has given its score argues for it. */
const ScoreVerdict = z
  .strictObject({ reason: z.string(), score: z.number() })
  .refine(({ score }) => score >= 0 && score <= 1, {
    path: ['score'],
    message: 'expected a number from 0 to 1',
  });

const TASK =
  'Hold the answer against the rubric and, where there is one, against what was expected. Give your reason in a few ' +
  'sentences, then a score from 0 (wrong) to 1 (right), by the levels of the rubric where it names some.';

/**
 * A model that grades an answer by a rubric. It decides nothing by itself: how far to believe its scores is what
 * `calibrate` says of it. No verdict is an error and never a score of 0.
 */
export function judge(
  { judge: settings }: { judge: JudgeSettings },
  services: ScorerServices,
  tryMs: number = TRY_MS_MAX,
): Scorer {
  const judged = judgement(settings, services, { task: TASK, schema: ScoreVerdict, tryMs });
  return explaining(async (output, expected, item) => {
    const { verdict, usage } = await judged.of(item, [
      { name: 'expected answer', text: expected },
      { name: 'answer to judge', text: output },
    ]);
    return { ...verdict, usage };
  }, judged.limits);
}
