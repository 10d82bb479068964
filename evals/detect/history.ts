import type { Observation } from '../../src/records/observation.ts';
import type { BeforeAfter } from './report.ts';

/**
 * The recent runs of a loop: what dates a change and finds its cause. Bounded: past these limits the oldest
 * runs are forgotten, and an older change is dated to the oldest run that is left.
 */
const SCORED_RUNS_MAX = 5_000;
const RUNS_MAX = 20_000;
/** Forgetting moves the whole list, so it is done for many runs at once. */
const SLACK = 1.25;

export interface History {
  runs: Observation[];
  scored: number;
}

/** Adds a run, in place. */
export function remember(history: History, run: Observation): void {
  history.runs.push(run);
  if (run.score !== null) history.scored++;
  if (history.runs.length <= RUNS_MAX * SLACK && history.scored <= SCORED_RUNS_MAX * SLACK) return;
  let cut = Math.max(0, history.runs.length - RUNS_MAX);
  let surplus = history.scored - SCORED_RUNS_MAX;
  for (let i = 0; i < history.runs.length && (i < cut || surplus > 0); i++) {
    if (history.runs[i]!.score !== null) {
      surplus--;
      history.scored--;
    }
    cut = Math.max(cut, i + 1);
  }
  history.runs.splice(0, cut);
}

/** The runs from index `from` on. */
export function since(history: History, from: number): Observation[] {
  const first = history.runs.findIndex((run) => run.index >= from);
  return first < 0 ? [] : history.runs.slice(first);
}

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
