import { LoopscopeError } from '../errors.ts';
import { type Points, pointsAround, pointsBefore, recordedFall } from '../replay/bisect/points.ts';
import { DIMENSIONS, type Dimension, type Measure } from '../replay/bisect/trial.ts';
import { type Alert, listAlerts } from '../store/alerts.ts';
import type { Store } from '../store/client.ts';
import { loopsWithRun } from '../store/traces.ts';
import { RUNS_AROUND_MAX, runStart, runsAround, type VersionedRun } from '../store/versions.ts';

/**
 * Between which points is searched: those around the change that an alert tells of, a bad run and the last good one made
 * with other versions, or two runs that are named.
 */
export interface Found {
  points: Points;
  /** Where the change is put, in milliseconds, and the runs around it, oldest first. */
  changeAt: number;
  runs: VersionedRun[];
  alert: Alert | undefined;
  /** What fell; `undefined` where nobody said. */
  measure: Measure | undefined;
  /** How far the golden score fell by the records. */
  recordedFall: number | undefined;
  /** How likely the alert holds a change of each dimension for the cause. */
  weights: Partial<Record<Dimension, number>>;
}

export interface Asked {
  loop: string;
  /** A run that went badly. */
  run?: string | undefined;
  good?: string | undefined;
  bad?: string | undefined;
}

/** Kinds of alerts that tell of a change, and what fell. */
const KINDS: Readonly<Record<string, Measure | undefined>> = {
  golden_drop: 'golden',
  checker_drift: 'checker',
  no_effect: undefined,
  output_collapse: undefined,
};

/** Throws `not_found` and `usage` where the points cannot be known. */
export async function findPoints(store: Store, asked: Asked): Promise<Found> {
  const { loop, run } = asked;
  const bad = asked.bad ?? run;
  if (asked.good !== undefined) {
    if (bad === undefined)
      throw new LoopscopeError('usage', '--good takes a bad run beside it: --good RUN --bad RUN.');
    return between(store, loop, asked.good, bad);
  }
  const badAt = bad === undefined ? undefined : await startOf(store, loop, bad);
  const alert = newest(await listAlerts(store, { loop }), badAt);
  if (alert) return around(store, loop, alert, bad);
  if (bad === undefined)
    throw new LoopscopeError(
      'not_found',
      `No alert tells when loop ${loop} changed. Say between which runs: \`loopscope bisect --good RUN --bad RUN --loop ${loop}\`.`,
    );
  const runs = await runsAround(store, { loop, at: badAt!, limit: RUNS_AROUND_MAX });
  const points = pointsBefore(runs, bad);
  if (!points)
    throw new LoopscopeError(
      'not_found',
      `Of the ${RUNS_AROUND_MAX} runs before ${bad} no good one was made with other versions of model, prompt, tools or checker. Say which is the good one with --good RUN.`,
    );
  return found(runs, points, firstChange(runs, points));
}

/** The newest alert that tells of a change; of a bad run, one by whose change it was bad. */
const newest = (alerts: readonly Alert[], badAt: number | undefined): Alert | undefined =>
  alerts
    .filter(
      ({ kind, change_at, resolved_at }) =>
        Object.hasOwn(KINDS, kind) &&
        (badAt === undefined ||
          (Date.parse(change_at) <= badAt && (resolved_at === null || badAt <= Date.parse(resolved_at)))),
    )
    .toSorted((a, b) => Date.parse(b.started_at) - Date.parse(a.started_at))[0];

async function around(store: Store, loop: string, alert: Alert, bad: string | undefined): Promise<Found> {
  const changeAt = Date.parse(alert.change_at);
  const runs = await runsAround(store, { loop, at: changeAt, limit: RUNS_AROUND_MAX });
  const points = pointsAround(runs, changeAt);
  if (!points)
    throw new LoopscopeError(
      'not_found',
      `There are no runs on both sides of ${alert.change_at}, where alert ${alert.alert_id} puts the change.`,
    );
  const named = bad === undefined ? undefined : runs.find(({ runId }) => runId === bad);
  return {
    ...found(runs, { ...points, bad: named ?? points.bad }, changeAt),
    alert,
    measure: KINDS[alert.kind],
    weights: weightsOf(alert),
  };
}

async function between(store: Store, loop: string, good: string, bad: string): Promise<Found> {
  const [goodAt, badAt] = [await startOf(store, loop, good), await startOf(store, loop, bad)];
  if (goodAt >= badAt)
    throw new LoopscopeError(
      'usage',
      `The good run has to be before the bad one; ${good} began at ${new Date(goodAt).toISOString()}, ${bad} at ${new Date(badAt).toISOString()}.`,
    );
  const runs = await runsAround(store, { loop, at: Math.ceil((goodAt + badAt) / 2), limit: RUNS_AROUND_MAX });
  const named = (id: string) => {
    const run = runs.find(({ runId }) => runId === id);
    if (run) return run;
    throw new LoopscopeError(
      'usage',
      `Runs ${good} and ${bad} are over ${RUNS_AROUND_MAX} runs apart. Name two that are nearer to the change.`,
    );
  };
  const points = { good: named(good), bad: named(bad) };
  return found(runs, points, firstChange(runs, points));
}

const found = (runs: VersionedRun[], points: Points, changeAt: number): Found => ({
  points,
  changeAt,
  runs,
  alert: undefined,
  measure: undefined,
  recordedFall: recordedFall(runs, changeAt),
  weights: {},
});

/** When the first run began that was made with the bad point's versions, as far as the points differ in them. */
function firstChange(runs: readonly VersionedRun[], { good, bad }: Points): number {
  const first = runs.find(
    (run) =>
      run.startedAt > good.startedAt &&
      (run.servedModel !== good.servedModel ||
        run.promptVersion !== good.promptVersion ||
        run.toolsVersion !== good.toolsVersion ||
        run.checkerVersion !== good.checkerVersion),
  );
  return (first ?? bad).startedAt;
}

function weightsOf({ evidence }: Alert): Found['weights'] {
  const weights: Partial<Record<Dimension, number>> = {};
  const { candidates } = evidence as { candidates?: { dimension: string; probability: number }[] };
  for (const { dimension, probability } of candidates ?? []) {
    const known = DIMENSIONS.find((name) => name === dimension);
    if (known) weights[known] = Math.max(weights[known] ?? 0, probability);
  }
  return weights;
}

async function startOf(store: Store, loop: string, runId: string): Promise<number> {
  const at = await runStart(store, { loop, runId });
  if (at !== undefined) return at;
  throw new LoopscopeError(
    'not_found',
    `Loop ${loop} has no run "${runId}". \`loopscope runs --loop ${loop}\` lists the latest.`,
  );
}

/** The loop that is meant by its name, or by a run of it. Throws `not_found`, or `usage` where it could be several. */
export async function loopMeant(
  store: Store,
  named: { target?: string | undefined; loop?: string | undefined; bad?: string | undefined },
  isLoop: (name: string) => boolean,
): Promise<{ loop: string; run?: string }> {
  const { target, loop, bad } = named;
  if (loop !== undefined) return { loop, ...(target !== undefined && target !== loop && { run: target }) };
  if (target !== undefined && isLoop(target)) return { loop: target };
  const run = target ?? bad;
  if (run === undefined)
    throw new LoopscopeError('usage', 'expected a run or a loop: `loopscope bisect primes`.');
  const loops = await loopsWithRun(store, run);
  if (loops.length > 1)
    throw new LoopscopeError(
      'usage',
      `Several loops have a run "${run}": ${loops.join(', ')}. Say which with --loop.`,
    );
  if (loops.length === 0)
    throw new LoopscopeError(
      'not_found',
      `There is no loop and no run "${run}". \`loopscope status\` lists the loops.`,
    );
  return { loop: loops[0]!, ...(target !== undefined && { run: target }) };
}
