import type { Observation } from '../../src/records/observation.ts';
import type { Fall } from '../stats/change-point.ts';
import type { Candidate, Cause, Dimension } from './report.ts';

/**
 * The cause of a change: a version that changed for good where the scores say that the level changed.
 *
 * The moment of a version change is named before the scores are looked at, while the likeliest cut is the best
 * of n; and levels change at version changes far more often than elsewhere. So a version change is a candidate
 * while its likelihood is within ln n + PRIOR of the best cut's: posterior odds above 1, when a level that
 * changed near a version change is held e^PRIOR ≈ 7 times as likely to have changed with it as at any other run.
 * Measured on coins (.84 to .50, 300 runs before, arl 10⁴): the true cause is passed over in 0.3 % of the alarms
 * (11 % with the support region alone); a harmless change within 240 runs before a fall that had no cause among
 * the versions is blamed in 27 % (4 %). At the alarm the scores cannot say more; later ones could.
 * The one candidate, or the one that is clearly likelier than every other, is the cause; else the cause is
 * unknown and the candidates stand in the evidence.
 */

const PRIOR = 2;
/** A candidate is clearly likelier at e³ ≈ 20 times the likelihood. */
const CLEARLY = 3;
/** A version is that of a stretch of runs when so many of those with a known version have it. */
const MAJORITY = 0.8;
/** Runs with a known version that show what was there before, and what came next. */
const RUNS_BESIDE = 50;

const VERSIONS: Record<Dimension, (run: Observation) => string> = {
  model: (run) => run.servedModel,
  prompt: (run) => run.promptVersion,
  tools: (run) => run.toolsVersion,
  checker: (run) => run.checkerVersion,
};

export interface Attribution {
  cause: Cause | null;
  /** Run at which the change happened by the version change; null where none explains it. */
  atRun: number | null;
  /** Best first. */
  candidates: Candidate[];
}

/**
 * @param runs all runs of the regime up to the alarm, scored or not
 * @param fall where the scores of these runs fell (mirrored, for a rise)
 */
export function attribute(runs: readonly Observation[], fall: Fall): Attribution {
  const scoredBefore = scoredBeforeEach(runs);
  const scored = fall.relative.length - 1;
  const tolerance = Math.log(scored) + PRIOR;
  const candidates: Candidate[] = [];
  for (const dimension of Object.keys(VERSIONS) as Dimension[]) {
    for (const change of lastingChanges(runs, VERSIONS[dimension])) {
      const likelihood = fall.relative[scoredBefore[change.position]!] ?? Number.NEGATIVE_INFINITY;
      if (likelihood < -tolerance) continue;
      candidates.push({
        dimension,
        from: change.from,
        to: change.to,
        at_run: runs[change.position]!.index,
        log_likelihood: likelihood,
      });
    }
  }
  candidates.sort((a, b) => b.log_likelihood - a.log_likelihood);
  const [best, second] = candidates;
  if (!best) return { cause: null, atRun: null, candidates };
  const clear = !second || best.log_likelihood - second.log_likelihood >= CLEARLY;
  const { dimension, from, to } = best;
  if (clear) return { cause: { dimension, from, to }, atRun: best.at_run, candidates };
  // Several things changed in one run: the moment is known, which of them it was is not.
  const rivals = candidates.filter((c) => best.log_likelihood - c.log_likelihood < CLEARLY);
  const oneRun = rivals.every((c) => c.at_run === best.at_run);
  return { cause: null, atRun: oneRun ? best.at_run : null, candidates };
}

interface LastingChange {
  from: string;
  to: string;
  /** Of the first run with the new version, in the list of runs. */
  position: number;
}

/** Where the version changed, at once and then to the end of the list; one place for each pair of versions. */
export function lastingChanges(
  runs: readonly Observation[],
  versionOf: (run: Observation) => string,
): LastingChange[] {
  const known = runs
    .map((run, position) => ({ version: versionOf(run), position }))
    .filter(({ version }) => version !== '' && version !== 'unknown');
  const found = new Map<string, LastingChange & { fit: number }>();
  const after = new Map<string, number>();
  for (let i = known.length - 1; i >= 1; i--) {
    const { version: to, position } = known[i]!;
    after.set(to, (after.get(to) ?? 0) + 1);
    const runsAfter = known.length - i;
    if (known[i - 1]!.version === to || after.get(to)! < MAJORITY * runsAfter) continue;
    const before = known.slice(Math.max(0, i - RUNS_BESIDE), i);
    const from = majority(before.map((k) => k.version));
    if (from === undefined || from === to) continue;
    if (majority(known.slice(i, i + RUNS_BESIDE).map((k) => k.version)) !== to) continue;
    // A canary before the switch gives several places: the one that parts the two versions best is it.
    const count = (version: string) => before.filter((k) => k.version === version).length;
    const fit = count(from) - count(to) + after.get(to)! - (after.get(from) ?? 0);
    const key = JSON.stringify([from, to]);
    const best = found.get(key);
    if (!best || fit >= best.fit) found.set(key, { from, to, position, fit });
  }
  return [...found.values()].map(({ from, to, position }) => ({ from, to, position }));
}

function majority(versions: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const version of versions) counts.set(version, (counts.get(version) ?? 0) + 1);
  return [...counts].find(([, count]) => count >= MAJORITY * versions.length)?.[0];
}

/** For each run the number of scored runs before it. */
function scoredBeforeEach(runs: readonly Observation[]): number[] {
  let scored = 0;
  return runs.map((run) => (run.score === null ? scored : scored++));
}
