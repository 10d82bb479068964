import { type Standing, watch } from '../../evals/detect/watch.ts';
import { type FleetAgreement, fleetAgreement } from '../../evals/estimate/fleet-agreement.ts';
import { estimateLoop, type LoopEstimate } from '../../evals/estimate/loop-estimate.ts';
import { LOOP_STATES, type LoopState, loopState } from '../../evals/standing/loop-state.ts';
import { wilson } from '../../evals/stats/binomial-interval.ts';
import { arlOf, type Suite } from '../../evals/suite.ts';
import { UNMEASURED_ALERT_KIND } from '../../evals/unmeasured/alert.ts';
import { seededRandom } from '../clock.ts';
import type { Observation } from '../records/observation.ts';
import type { Registry } from '../registry/load.ts';
import { type Alert, listAlerts } from '../store/alerts.ts';
import type { Store } from '../store/client.ts';
import { type LoopTotals, loopTotals } from '../store/fleet.ts';
import { SHOWN_SCORES_MAX } from '../store/loop-facts.ts';
import { loopSeries, scoreCounts } from '../store/scores.ts';

/** The fleet as `status --json` prints it. `null` is "nobody knows", which is not 0. */
export interface StatusDocument {
  loops: LoopStatus[];
  /** Of the checkers of all these loops with the truth. */
  agreement: FleetAgreement;
}

export interface LoopStatus {
  loop: string;
  state: LoopState;
  registered: boolean;
  owner: string | null;
  runs: number;
  last_run_at: string | null;
  checker_pass_rate: number | null;
  /** Mean of the latest golden scores since the last change of level, with a 95 % interval. */
  golden: { score: number | null; low: number | null; high: number | null; n: number };
  /**
   * From verdicts and scores together, since the last change of level: success, and how good the checker is. `null`
   * where nothing was ever scored.
   */
  estimates: LoopEstimate | null;
  effects_per_run: number | null;
  effects_rejected: number;
  useful_outcomes: number;
  /** Of the calls whose cost is known; too low by `calls_without_cost`. */
  cost_usd: number | null;
  calls_without_cost: number;
  cost_per_useful_outcome_usd: number | null;
  served_models: string[];
  last_alert: { kind: string; state: string; started_at: string } | null;
  detector: { phase: Standing['phase']; e_value: number; threshold: number } | null;
}

export interface FleetSources {
  store: Store;
  registry: Registry;
  suites: readonly Suite[];
  /** Milliseconds since the epoch. */
  now: number;
  /** A run without an explicit end counts as over when it was quiet this long. */
  runIdleMs: number;
}

/** The same fleet is shown with the same intervals. */
const AGREEMENT_SEED = 1;

/** How every loop stands that is registered or ever made a run, worst first; or how one does. */
export async function statusDocument(sources: FleetSources, loop?: string): Promise<StatusDocument> {
  const { store, registry } = sources;
  const totals = new Map((await loopTotals(store, loop)).map((t) => [t.loop, t]));
  const alerts = Map.groupBy(await listAlerts(store, { loop }), (alert) => alert.loop);
  const scored = await scoreCounts(store);
  const names = new Set([...registry.loops.keys(), ...totals.keys()]);
  const loops: LoopStatus[] = [];
  for (const name of names) {
    if (loop !== undefined && name !== loop) continue;
    const series = scored.has(name)
      ? await loopSeries(store, name, Math.floor(sources.now - sources.runIdleMs))
      : [];
    loops.push(loopStatus(sources, name, totals.get(name), alerts.get(name) ?? [], series));
  }
  const rank = (status: LoopStatus) => LOOP_STATES.indexOf(status.state);
  loops.sort((a, b) => rank(a) - rank(b) || (a.loop < b.loop ? -1 : 1));
  const counts = loops.flatMap(({ estimates }) => estimates?.counts ?? []);
  return { loops, agreement: fleetAgreement(counts, seededRandom(AGREEMENT_SEED)) };
}

function loopStatus(
  { registry, suites, now }: FleetSources,
  loop: string,
  totals: LoopTotals | undefined,
  alerts: readonly Alert[],
  series: readonly Observation[],
): LoopStatus {
  const definition = registry.loop(loop);
  const { state: detector } = watch(series, { arl: arlOf(loop, suites) });
  // A model that will retire is no failure yet.
  const firing = alerts.filter(
    ({ state, evidence }) => state === 'firing' && evidence['reason'] !== 'retires',
  );
  const open = firing.find(({ kind }) => kind !== UNMEASURED_ALERT_KIND);
  const told = open ?? firing[0];
  const latest = alerts.toSorted((a, b) => Date.parse(b.started_at) - Date.parse(a.started_at))[0];
  const sinceChange = open && series.filter((run) => Date.parse(run.at) >= Date.parse(open.change_at));
  const regime = sinceChange ?? series.filter((run) => run.index >= detector.regimeStart);
  const golden = meanScore(regime);
  return {
    loop,
    state: loopState({
      now,
      schedule: definition?.schedule,
      lastRunAt: totals?.lastRunAt ?? null,
      recent: { verdicts: totals?.recentVerdicts ?? 0, passes: totals?.recentPasses ?? 0 },
      alert: told && { kind: told.kind, passRateSince: passRate(sinceChange ?? []) },
      detector,
      goldenHigh: golden.high,
    }),
    registered: definition !== undefined || totals?.registered === true,
    owner: definition?.owner ?? null,
    ...figures(totals),
    golden,
    estimates: series.length > 0 ? estimateLoop(regime) : null,
    last_alert: latest ? { kind: latest.kind, state: latest.state, started_at: latest.started_at } : null,
    detector:
      detector.scored > 0
        ? { phase: detector.phase, e_value: detector.eValue, threshold: detector.threshold }
        : null,
  };
}

type Figures = Omit<
  LoopStatus,
  'loop' | 'state' | 'registered' | 'owner' | 'golden' | 'estimates' | 'last_alert' | 'detector'
>;

function figures(totals: LoopTotals | undefined): Figures {
  const { runs = 0, verdicts = 0, usefulOutcomes = 0, costUsd = null } = totals ?? {};
  return {
    runs,
    last_run_at: totals ? new Date(totals.lastRunAt).toISOString() : null,
    checker_pass_rate: verdicts > 0 ? totals!.passes / verdicts : null,
    effects_per_run: runs > 0 ? totals!.effects / runs : null,
    effects_rejected: totals?.effectsRejected ?? 0,
    useful_outcomes: usefulOutcomes,
    cost_usd: costUsd,
    calls_without_cost: totals?.callsWithoutCost ?? 0,
    cost_per_useful_outcome_usd: costUsd !== null && usefulOutcomes > 0 ? costUsd / usefulOutcomes : null,
    served_models: totals?.servedModels ?? [],
  };
}

function passRate(runs: readonly Observation[]): number | null {
  const verdicts = runs.flatMap(({ checkerPass }) => (checkerPass === null ? [] : [Number(checkerPass)]));
  return verdicts.length > 0 ? sum(verdicts) / verdicts.length : null;
}

function meanScore(runs: readonly Observation[]): LoopStatus['golden'] {
  const scores = runs.flatMap(({ score }) => (score === null ? [] : [score])).slice(-SHOWN_SCORES_MAX);
  const interval = wilson(sum(scores), scores.length);
  if (!interval) return { score: null, low: null, high: null, n: 0 };
  return { score: sum(scores) / scores.length, ...interval, n: scores.length };
}

const sum = (figures: readonly number[]) => figures.reduce((a, b) => a + b, 0);
