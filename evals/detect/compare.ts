import type { Observation } from '../../src/records/observation.ts';
import type { BeforeAfter } from './report.ts';

/** What `measure` says of the runs before index `at` and of those from it on. */
export const compare = <T>(
  runs: readonly Observation[],
  at: number,
  measure: (part: readonly Observation[]) => T,
): BeforeAfter<T> => ({
  before: measure(runs.filter((run) => run.index < at)),
  after: measure(runs.filter((run) => run.index >= at)),
});

/** Mean golden score; null where no run was scored. */
export function meanScore(runs: readonly Observation[]): number | null {
  return mean(runs.flatMap((run) => run.score ?? []));
}

/** Share of the verdicts that passed; null where there was none. */
export function passRate(runs: readonly Observation[]): number | null {
  return mean(runs.flatMap((run) => (run.checkerPass === null ? [] : Number(run.checkerPass))));
}

const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
