import type { z } from 'zod';
import type { ScoredItem } from '../scorer.ts';
import type { ScorerServices } from '../services.ts';
import { judgeOf } from './ask.ts';
import { refuseKin } from './kinship.ts';
import { JUDGE_RULES, judgePrompt, type Part, questionPart } from './prompt.ts';
import type { JudgeSettings, PairwiseSettings } from './settings.ts';
import { askForVerdict, type Verdict } from './verdict.ts';

/** Bytes of the marker that fences what is judged, drawn anew for each question. */
const MARKER_BYTES = 12;

/** A judge is waited for, most of the time; its limits of rate are the gateway's to keep. */
const JUDGED_AT_ONCE_MAX = 8;

/** How every judge is asked: about parts that are fenced off, and never one of the maker's own family. */
export interface Judgement<S extends z.ZodType> {
  /** What it says of the parts of an item. Throws `ScorerError`. */
  of(item: ScoredItem | undefined, parts: readonly Part[]): Promise<Verdict<z.output<S>>>;
  /** What a scorer that asks it is bound by. */
  limits: { atOnceMax: number; close: () => Promise<void> };
}

export function judgement<S extends z.ZodType>(
  settings: JudgeSettings | PairwiseSettings,
  services: ScorerServices,
  { task, schema, tryMs }: { task: string; schema: S; tryMs: number },
): Judgement<S> {
  const closing = new AbortController();
  const ask = judgeOf(settings, services, { signal: closing.signal, tryMs });
  return {
    of: async (item, parts) => {
      refuseKin(settings.model, item, settings);
      const marker = services.clock.randomHex(MARKER_BYTES);
      const prompt = judgePrompt(marker, settings.rubric, [...questionPart(item), ...parts], task);
      const answer = await askForVerdict(ask, { system: JUDGE_RULES, prompt, schema });
      refuseKin(answer.model, item, settings); // a name may be served by anyone
      return answer;
    },
    limits: { atOnceMax: JUDGED_AT_ONCE_MAX, close: async () => closing.abort() },
  };
}
