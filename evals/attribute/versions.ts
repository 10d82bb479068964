import type { Observation } from '../../src/records/observation.ts';
import type { Dimension } from './cause.ts';

/**
 * Where a version changed for good: the runs before mostly had the one, those right after mostly the other, and the
 * first did not come back. What came and went while the level stayed where it was is no cause.
 */

/** A version is that of a stretch of runs when so many of those with a known version have it. */
const MAJORITY = 0.8;
/** Runs with a known version that show what was there before, and what came next. */
const RUNS_BESIDE = 50;

export type Versioned = Exclude<Dimension, 'tasks'>;

export const VERSIONS: Readonly<Record<Versioned, (run: Observation) => string>> = {
  model: (run) => run.servedModel,
  prompt: (run) => run.promptVersion,
  tools: (run) => run.toolsVersion,
  checker: (run) => run.checkerVersion,
  dataset: (run) => run.datasetVersion,
};

export interface VersionChange {
  from: string;
  to: string;
  /** Of the first run with the new version, in the list of runs. */
  position: number;
}

/** The lasting changes of a version, one place for each pair of versions. */
export function versionChanges(
  runs: readonly Observation[],
  versionOf: (run: Observation) => string,
): VersionChange[] {
  const known = runs
    .map((run, position) => ({ version: versionOf(run), position }))
    .filter(({ version }) => version !== '' && version !== 'unknown');
  const versions = known.map((k) => k.version);
  const found = new Map<string, VersionChange & { fit: number }>();
  const after = new Map<string, number>();
  for (let i = known.length - 1; i >= 1; i--) {
    const to = versions[i]!;
    after.set(to, (after.get(to) ?? 0) + 1);
    if (versions[i - 1] === to || majority(versions, i, i + RUNS_BESIDE) !== to) continue;
    const first = Math.max(0, i - RUNS_BESIDE);
    const from = majority(versions, first, i);
    if (from === undefined || from === to) continue;
    const returned = after.get(from) ?? 0;
    if (returned > (1 - MAJORITY) * (known.length - i)) continue;
    // A canary before the switch gives several places: the one that parts the two versions best is it.
    const fit = count(versions, from, first, i) - count(versions, to, first, i) + after.get(to)! - returned;
    const key = JSON.stringify([from, to]);
    const best = found.get(key);
    if (!best || fit >= best.fit) found.set(key, { from, to, position: known[i]!.position, fit });
  }
  return [...found.values()].map(({ from, to, position }) => ({ from, to, position }));
}

function count(versions: readonly string[], version: string, from: number, to: number): number {
  let n = 0;
  for (let i = from; i < to; i++) if (versions[i] === version) n++;
  return n;
}

function majority(versions: readonly string[], from: number, to: number): string | undefined {
  const end = Math.min(to, versions.length);
  const counts = new Map<string, number>();
  for (let i = from; i < end; i++) counts.set(versions[i]!, (counts.get(versions[i]!) ?? 0) + 1);
  for (const [version, n] of counts) if (n >= MAJORITY * (end - from)) return version;
  return undefined;
}
