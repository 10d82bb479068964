import type { Changes } from './change.ts';
import { Contrast } from './contrast.ts';
import type { Explanation } from './search.ts';
import type { Measure, Variant } from './trial.ts';

/**
 * Where along the versions of one dimension the loop fell, the other dimensions being as at the good point.
 *
 * A step is named when the version before it is shown to score higher than the one after it, for each of n steps at
 * error/n: the chance to name a step at which nothing falls is at most `error`. The versions between are halved by what is
 * expected to tell most (search.ts), so that n steps take about log n versions.
 */
export interface StepExplanation extends Explanation {
  from: string;
  to: string;
}

export interface History {
  variants: Variant[];
  explanations: StepExplanation[];
}

/** The explanations of the change at place `at`. */
export function historyOf(
  changes: Changes,
  at: number,
  { measure, error }: { measure: Measure; error: number },
): History {
  const { dimension, history } = changes.list[at]!;
  const last = history.length - 1;
  const variants = history.map((version, i) =>
    i === 0 ? changes.good : i === last ? changes.only(1 << at) : { ...changes.good, [dimension]: version },
  );
  const places = new Map(variants.map((variant, i) => [variant, i]));
  const explanations = history.slice(1).map(
    (to, i): StepExplanation => ({
      from: history[i]!,
      to,
      prior: 1 / last,
      classOf: (variant) => {
        const place = places.get(variant);
        // What was played of other dimensions tells nothing here.
        if (place === undefined) return JSON.stringify(variant);
        return place <= i ? 'good' : 'bad';
      },
      claims: [[new Contrast(variants[i]!, variants[i + 1]!, { measure, error: error / last })]],
    }),
  );
  return { variants, explanations };
}
