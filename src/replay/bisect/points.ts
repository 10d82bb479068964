import type { VersionedRun } from '../../store/versions.ts';
import type { Change } from './change.ts';
import { DIMENSIONS, type Dimension } from './trial.ts';

/**
 * The good and the bad point of a loop, as two of its runs, and what changed between them.
 *
 * A change is of a version that both points name. Between them each version counts once, where it was first seen: a loop
 * whose models take turns has a history and no to and fro.
 */
export interface Points {
  good: VersionedRun;
  bad: VersionedRun;
}

/** Runs between the moment that a change is put at and either point: that moment is an estimate. */
const MARGIN_RUNS = 20;
/** Versions of one dimension that are looked at between the points, the newest. */
const HISTORY_MAX = 33;
/** A run with such a score is a good one. */
const GOOD_SCORE = 0.5;

/** The points around a moment at which something changed; `undefined` where there is no run on one of its sides. */
export function pointsAround(runs: readonly VersionedRun[], changeAt: number): Points | undefined {
  const before = runs.filter(({ startedAt }) => startedAt < changeAt);
  const after = runs.filter(({ startedAt }) => startedAt >= changeAt);
  const good = before.at(-MARGIN_RUNS) ?? before[0];
  const bad = after[MARGIN_RUNS - 1] ?? after.at(-1);
  return good && bad ? { good, bad } : undefined;
}

/**
 * A bad run, and the last good one before it that was made with other versions; `undefined` where there is none. Good is
 * what has a good score; where nothing has one, what its checker passed.
 */
export function pointsBefore(runs: readonly VersionedRun[], runId: string): Points | undefined {
  const at = runs.findIndex((run) => run.runId === runId);
  const bad = runs[at];
  if (!bad) return undefined;
  const earlier = runs
    .slice(0, at)
    .filter((run) => changesBetween([run, bad], { good: run, bad }).length > 0);
  const isScored = earlier.some(({ goldenScore }) => goldenScore !== null);
  const good = earlier.findLast(({ goldenScore, checkerPass }) =>
    isScored ? goldenScore !== null && goldenScore >= GOOD_SCORE : checkerPass === true,
  );
  return good ? { good, bad } : undefined;
}

/** The version of a dimension that a run was made with; `''` where nobody said. */
export function versionIn(run: VersionedRun, dimension: Dimension): string {
  switch (dimension) {
    case 'model':
      return run.servedModel || run.model;
    case 'prompt':
      return run.promptVersion;
    case 'tools':
      return run.toolsVersion;
    case 'checker':
      return run.checkerVersion;
  }
}

/** What changed from the good to the bad point, with the versions between. */
export function changesBetween(runs: readonly VersionedRun[], { good, bad }: Points): Change[] {
  const between = runs.filter(({ startedAt }) => startedAt >= good.startedAt && startedAt <= bad.startedAt);
  return DIMENSIONS.flatMap((dimension): Change[] => {
    const [from, to] = [versionIn(good, dimension), versionIn(bad, dimension)];
    if (from === to || from === '' || to === '') return [];
    const seen = new Set(between.map((run) => versionIn(run, dimension)).filter((version) => version !== ''));
    const middle = [...seen].filter((version) => version !== from && version !== to);
    return [{ dimension, history: [from, ...middle.slice(-(HISTORY_MAX - 2)), to] }];
  });
}

/** Dimensions that one point names a version of and the other does not: nobody knows whether they changed. */
export const unknownBetween = ({ good, bad }: Points): Dimension[] =>
  DIMENSIONS.filter(
    (dimension) => (versionIn(good, dimension) === '') !== (versionIn(bad, dimension) === ''),
  );

/** How far the golden score fell by the runs on either side of a moment; `undefined` where one side has none. */
export function recordedFall(runs: readonly VersionedRun[], changeAt: number): number | undefined {
  const mean = (side: readonly VersionedRun[]) => {
    const scores = side.flatMap(({ goldenScore }) => goldenScore ?? []);
    return scores.length === 0 ? undefined : scores.reduce((a, b) => a + b, 0) / scores.length;
  };
  const before = mean(runs.filter(({ startedAt }) => startedAt < changeAt));
  const after = mean(runs.filter(({ startedAt }) => startedAt >= changeAt));
  return before === undefined || after === undefined ? undefined : before - after;
}

/**
 * The runs whose inputs are replayed: those that `isMeasured`, nearest to the moment first and as many from either side,
 * each input once.
 */
export function itemsAround(
  runs: readonly VersionedRun[],
  changeAt: number,
  { max, isMeasured }: { max: number; isMeasured: (run: VersionedRun) => boolean },
): VersionedRun[] {
  const before = runs.filter(({ startedAt }) => startedAt < changeAt).reverse();
  const after = runs.filter(({ startedAt }) => startedAt >= changeAt);
  const seen = new Set<string>();
  const chosen: VersionedRun[] = [];
  for (let i = 0; i < Math.max(before.length, after.length) && chosen.length < max; i++)
    for (const run of [before[i], after[i]]) {
      if (!run || !isMeasured(run) || chosen.length >= max) continue;
      const input = run.inputHash || run.itemId || run.runId;
      if (seen.has(input)) continue;
      seen.add(input);
      chosen.push(run);
    }
  return chosen;
}
