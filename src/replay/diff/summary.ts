import { areAlike } from './diff.ts';
import type { RunDiff, StepDiff } from './difference.ts';
import { stepTitle } from './said.ts';

/** A diff in a sentence or two. */
export function summaryOf(diff: RunDiff): string {
  const { counts, steps, firstDivergence, firstAction } = diff;
  const asides = [
    counts.volatile > 0 && `${steps_(counts.volatile)} but for ids, times or the order of keys`,
    counts.unknown > 0 &&
      `${steps_(counts.unknown)} could not be compared as a whole, since not all was recorded`,
  ].filter((text) => text !== false);
  const aside = asides.length === 0 ? '' : ` (${asides.join('; ')})`;
  if (areAlike(diff)) return `Alike: ${steps_(steps.length)}${aside}.`;
  if (firstDivergence === null) return `Every step is alike${aside}; the runs as a whole differ.`;
  const parts = [
    counts.changed > 0 && `${steps_(counts.changed)} changed`,
    counts.carried > 0 && `${steps_(counts.carried)} changed only by what came before`,
    counts.only_a > 0 && `${counts.only_a} only in a`,
    counts.only_b > 0 && `${counts.only_b} only in b`,
    `${counts.same + counts.volatile + counts.unknown} alike`,
  ].filter((text) => text !== false);
  const first = steps[firstDivergence]!;
  const action =
    firstAction === null || firstAction === firstDivergence
      ? ''
      : ` An agent first did something else at ${placeText(steps[firstAction]!)}.`;
  return `They differ first at ${placeText(first)}.${action} ${parts.join(', ')}${aside}.`;
}

const steps_ = (n: number): string => (n === 1 ? '1 step' : `${n} steps`);

/** `step 4 (maker: tool book)`; places are a's, from 1 on. */
function placeText(step: StepDiff): string {
  const { aIndex, bIndex } = step;
  const place = aIndex === null ? `step ${bIndex! + 1} of b` : `step ${aIndex + 1}`;
  return `${place} (${stepTitle(step)})`;
}
