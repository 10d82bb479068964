import { z } from 'zod';
import { explaining, type Scorer } from '../scorer.ts';
import type { ScorerServices } from '../services.ts';
import { judgeOf, TRY_MS_MAX } from './ask.ts';
import { refuseKin } from './kinship.ts';
import { JUDGE_RULES, judgePrompt, questionPart } from './prompt.ts';
import type { JudgeSettings } from './settings.ts';
import { askForVerdict } from './verdict.ts';

/** Bytes of the marker that fences what is judged. */
export const MARKER_BYTES = 12;

/** A judge is waited for, most of the time; its limits of rate are the gateway's to keep. */
export const JUDGED_AT_ONCE_MAX = 8;

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
  const closing = new AbortController();
  const ask = judgeOf(settings, services, { signal: closing.signal, tryMs });
  return explaining(
    async (output, expected, item) => {
      refuseKin(settings.model, item, settings);
      const parts = [
        ...questionPart(item),
        { name: 'expected answer', text: expected },
        { name: 'answer to judge', text: output },
      ];
      const prompt = judgePrompt(services.clock.randomHex(MARKER_BYTES), settings.rubric, parts, TASK);
      const { verdict, model, usage } = await askForVerdict(ask, {
        system: JUDGE_RULES,
        prompt,
        schema: ScoreVerdict,
      });
      refuseKin(model, item, settings);
      return { ...verdict, usage };
    },
    { atOnceMax: JUDGED_AT_ONCE_MAX, close: async () => closing.abort() },
  );
}
