import { makeScorer } from '../../evals/scorers/registry.ts';
import type { Scorer } from '../../evals/scorers/scorer.ts';
import type { ScorerServices } from '../../evals/scorers/services.ts';
import type { Suite } from '../../evals/suite.ts';
import type { Registry } from '../registry/load.ts';

/** How each loop's answers are held against what was expected, by its suites. */
export interface SuiteScorers {
  /** The scorer of the suite the loop names, else of its first; `undefined` where it has none. */
  scorerFor(loop: string): Scorer | undefined;
  close(): Promise<void>;
}

export function suiteScorers(
  registry: Registry,
  suites: readonly Suite[],
  services: ScorerServices,
): SuiteScorers {
  const made = new Map<string, Scorer>();
  return {
    scorerFor: (loop) => {
      const own = suites.filter((suite) => suite.loop === loop);
      const suite = own.find((s) => s.suite === registry.loop(loop)?.suite) ?? own[0];
      if (!suite) return undefined;
      const scorer = made.get(suite.suite) ?? makeScorer(suite.scorer, suite.directory, services);
      made.set(suite.suite, scorer);
      return scorer;
    },
    close: async () => {
      for (const scorer of made.values()) await scorer.close?.();
    },
  };
}
