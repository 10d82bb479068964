import type { Observation } from '../../src/records/observation.ts';
import { evidence, evidenceOfBestStart } from '../stats/e-detector.ts';
import { closeEpisode, type Open, openEpisode } from './episodes.ts';
import type { AlarmEvent, WatchEvent } from './event.ts';
import {
  acceptLevel,
  type Level,
  type LevelChange,
  type LevelSettings,
  newLevel,
  stepLevel,
} from './level.ts';
import {
  MEASURE_NAMES,
  MEASURES,
  type Measure,
  type Memory,
  measured,
  noMemory,
  SCORE_MEASURES,
} from './measures.ts';
import type { Kind } from './report.ts';

/**
 * The detector of a loop: one fold over its runs, a level (level.ts) for each measure (measures.ts).
 *
 *     initialWatch ─► stepWatch, a run at a time ─► events ─► describeEvent, with the loop's runs ─► alarms
 *
 * The promise: while no measure of the loop falls, its first alarm of whatever kind comes after at least `arl`
 * runs on average.
 *
 * The argument. Let M_i be the evidence of measure i, w_i its weight, Σ w_i = 1, and B = BASELINE_ERROR. Measure i
 * alarms at M_i ≥ A/w_i with A = arl/(1 − B), and its bounds are wrong with probability at most w_i·B. Until any
 * bound is wrong (time N; P(N < ∞) ≤ Σ w_i·B = B), every M_i(t) − n_i(t) is a supermartingale, n_i(t) ≤ t the
 * number of runs that had a value of it; so S = Σ w_i·M_i satisfies E[S_τ] ≤ E[τ]. The first alarm T of any
 * measure has S_T ≥ w_i·M_i(T) ≥ A. Optional stopping at T∧N as in level.ts: E[T] ≥ A·P(T ≤ N) ≥ arl. ∎
 * The measures of one run may depend on each other in any way: each has its own bound on its mean given the past and
 * that the run has a value. Each also keeps its own promise, arl/w_i of its own values: where few runs of many are
 * scored, 1.1·arl scores for the golden score, and 40·arl runs for the effects.
 *
 * The state is plain data of a few kilobytes, whatever the loop's age: it can be stored as JSON between any two
 * runs. It holds no runs; who wants an alarm described brings those. Runs may be given in the order in which
 * their scores arrive (level.ts says why), each once; or each when it is over, and its score when that arrives.
 */
export interface WatchSettings {
  /** Average number of runs to a false alarm. */
  arl: number;
  /** Values of a measure before it is watched: the first epoch of its baseline. */
  learnScores?: number;
}

/** Where nobody asks for another number. */
export const LEARN_SCORES = 50;

/** Bounds the probability that any lower bound of the loop's baselines is ever wrong. */
export const BASELINE_ERROR = 0.05;

/** Evidence for a golden fall from which other measures wait for it, and the runs they do at most. */
const HOLD_FROM = 3;
const HOLD_RUNS_MAX = 100;

/** Plain data. */
export interface WatchState {
  arl: number;
  learnScores: number;
  /** Runs so far; one whose score was stepped by itself counts twice. */
  runs: number;
  /** The latest of them in the loop's order: scores may come late. */
  latest: { index: number; at: string; runId: string } | null;
  /** Of a measure that no run had a value of there is none. */
  levels: { [measure in Measure]?: Level };
  memory: Memory;
  /** What is alarmed. */
  open: Open[];
}

/** A loop of which nothing is known. */
export function initialWatch({ arl, learnScores = LEARN_SCORES }: WatchSettings): WatchState {
  if (!(arl >= 1)) throw new RangeError(`expected an arl of at least 1 run, got ${arl}`);
  return { arl, learnScores, runs: 0, latest: null, levels: {}, memory: noMemory(), open: [] };
}

const NONE: readonly WatchEvent[] = [];

/** A run later. Changes `state` in place; returns what happened to the loop, nearly always nothing. */
export const stepWatch = (state: WatchState, run: Observation): readonly WatchEvent[] =>
  step(state, run, MEASURE_NAMES);

/** The score of a run that was stepped before, without it. Its effects and its answer have been looked at then. */
export const stepScore = (state: WatchState, run: Observation): readonly WatchEvent[] =>
  step(state, run, SCORE_MEASURES);

function step(state: WatchState, run: Observation, measures: readonly Measure[]): readonly WatchEvent[] {
  if (run.score !== null && !(run.score >= 0 && run.score <= 1))
    throw new RangeError(`run ${run.runId}: expected a score in [0, 1], got ${run.score}`);
  state.runs++;
  if (!state.latest || run.index >= state.latest.index)
    state.latest = { index: run.index, at: run.at, runId: run.runId };
  let events: WatchEvent[] | undefined;
  for (const measure of measures) {
    const value = measured(measure, run, state.memory);
    if (value === undefined) continue;
    state.levels[measure] ??= newLevel();
    const change = stepLevel(state.levels[measure], value, state.runs, settingsOf(state, measure));
    if (change) events = [...(events ?? NONE), ...eventsOf(state, measure, change)];
  }
  return events ?? NONE;
}

/** What a measure's level is held against, now. */
export function settingsOf(state: WatchState, measure: Measure): LevelSettings {
  const { weight } = MEASURES[measure];
  const at = state.arl / (1 - BASELINE_ERROR);
  return {
    fallAt: at / weight,
    riseAt: at,
    learn: state.learnScores,
    baselineError: BASELINE_ERROR * weight,
    isHeld: measure !== 'golden' && isGoldenAbout(state),
  };
}

/**
 * The golden score is about to say of a change what other measures would only hint at: they wait for it, so that
 * one alarm tells of the worst. Not for long, where scores are rare.
 */
function isGoldenAbout({ levels: { golden }, runs }: WatchState): boolean {
  if (!golden || golden.recovery) return false;
  return evidenceOfBestStart(golden.fall) >= HOLD_FROM && runs - golden.fall.since.start < HOLD_RUNS_MAX;
}

function eventsOf(state: WatchState, measure: Measure, change: LevelChange): WatchEvent[] {
  const { fall: kind, rise } = MEASURES[measure];
  if (change.type === 'rose') return rise ? [alarmOf(state, measure, rise, null, change)] : [];
  // Two measures can be of one kind.
  if (MEASURE_NAMES.some((other) => other !== measure && isDown(state, other, kind))) return [];
  if (change.type === 'fell') {
    const { joins } = openEpisode(state.open, kind, state.runs, change.start);
    return [alarmOf(state, measure, kind, joins, change)];
  }
  const { led, heir } = closeEpisode(state.open, kind);
  const { runId, at } = state.latest!;
  const events: WatchEvent[] = led ? [{ type: 'recovered', kind, runId, at }] : [];
  return heir ? [...events, alarmOfHeir(state, heir.kind)] : events;
}

const isDown = ({ levels }: WatchState, measure: Measure, kind: Kind): boolean =>
  MEASURES[measure].fall === kind && Boolean(levels[measure]?.recovery);

function alarmOf(
  state: WatchState,
  measure: Measure,
  kind: Kind,
  joins: Kind | null,
  { type, eValue, bound, regime }: Omit<LevelChange, 'start'>,
): AlarmEvent {
  const { arl, latest } = state;
  const { fallAt, riseAt } = settingsOf(state, measure);
  const { runId, at } = latest!;
  const threshold = type === 'rose' ? riseAt : fallAt;
  return { type: 'alarm', kind, joins, measure, runId, at, eValue, threshold, arl, bound, regime };
}

/** What alarmed as part of another's episode and has outlasted it. */
function alarmOfHeir(state: WatchState, kind: Kind): AlarmEvent {
  const measure = MEASURE_NAMES.find((name) => isDown(state, name, kind))!;
  const { fall, baseline, regime } = state.levels[measure]!;
  const change = { type: 'fell', eValue: evidence(fall), bound: baseline.low!, regime } as const;
  return alarmOf(state, measure, kind, null, change);
}

/**
 * Somebody says that what an alarm of this kind told of is how the loop is to be from now on: all measures that its
 * episode took down are learnt anew. Changes `state` in place; false where no such alarm is open.
 */
export function acceptWatch(state: WatchState, kind: Kind): boolean {
  const episode = state.open.filter((entry) => entry.kind === kind || entry.joins === kind);
  if (!episode.some((entry) => entry.joins === null)) return false;
  for (const measure of MEASURE_NAMES) {
    if (episode.some((entry) => isDown(state, measure, entry.kind))) acceptLevel(state.levels[measure]!);
  }
  state.open = state.open.filter((entry) => !episode.includes(entry));
  return true;
}
