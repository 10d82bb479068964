/**
 * Which runs are scored when a suite may not score all of them. The choice hangs on the hash of the run's id and
 * on how many runs there are, never on what came out, so the sample speaks for all runs.
 *
 * A day that is over is filled up to the cap, lowest hashes first. In the day that is still running, runs are
 * let in at the share that would have filled the cap the day before: the sample then covers the whole day, where
 * first come, first served would be blind from the moment the cap is reached.
 */
export interface Candidate {
  run_id: string;
  /** UTC day of the run's start, `YYYY-MM-DD`. */
  day: string;
  /** Hash of the run id, uniform in [0, 1). */
  u: number;
}

export interface DayCounts {
  /** Runs of the day that meet a golden item, scored or not. */
  matched: number;
  /** Those among them that have been looked at: a scorer's failure counts too. */
  scored: number;
}

/** The candidates to score now, in their given order. `today` is the UTC day of now. */
export function chooseRuns<C extends Candidate>(
  candidates: readonly C[],
  days: ReadonlyMap<string, DayCounts>,
  runsPerDay: number,
  today: string,
): C[] {
  const chosen = new Set<C>();
  for (const [day, runs] of Map.groupBy(candidates, (c) => c.day)) {
    const left = runsPerDay - (days.get(day)?.scored ?? 0);
    if (left <= 0) continue;
    const dayBefore = days.get(previousDay(day))?.matched ?? 0;
    const share = day < today || dayBefore <= runsPerDay ? 1 : runsPerDay / dayBefore;
    const admitted = runs.filter((run) => run.u < share).sort((a, b) => a.u - b.u);
    for (const run of admitted.slice(0, left)) chosen.add(run);
  }
  return candidates.filter((c) => chosen.has(c));
}

const DAY_MS = 86_400_000;

/** UTC day of a time in milliseconds. */
export const utcDay = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

const previousDay = (day: string): string => utcDay(Date.parse(`${day}T00:00:00Z`) - DAY_MS);
