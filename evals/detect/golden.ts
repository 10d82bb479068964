import type { Observation } from '../../src/records/observation.ts';
import { fallPoint } from '../stats/change-point.ts';
import { advance, type EDetector, evidence, evidenceOfBestStart, noEvidence } from '../stats/e-detector.ts';
import { describeAlarm } from './alarm.ts';
import { BASELINE_ERROR, type Baseline, type Bound, forget, learn, noBaseline, relearn } from './baseline.ts';
import { type History, remember, since } from './history.ts';
import { type Recovery, recovered, startRecovery } from './recovery.ts';
import type { Alarm } from './report.ts';

/**
 * The detector on golden scores: a fold over a loop's runs.
 *
 * The promise. While the mean score does not fall (it may rise), the first `golden_drop` comes after at least
 * `arl` scored runs on average; and while it does not rise, the first `golden_rise` likewise. It holds for any
 * distribution of scores in [0,1] and any length of the baseline, because the baseline's uncertainty is in it.
 *
 * The argument. Scores X_t ∈ [0,1] with E[X_t | past] = μ_t for fixed μ_1 ≤ μ_2 ≤ … (no fall).
 *  1. At fixed numbers of scores a lower bound for the present mean is learnt (baseline.ts). Earlier means are
 *     not above the present one, so each bound is wrong with at most its level of probability; the levels of all
 *     epochs, methods and regimes sum to at most β = BASELINE_ERROR. m_t, the highest of them so far, is known
 *     before X_{t+1}. Let N be the first time a bound is wrong: P(N < ∞) ≤ β.
 *  2. Until N, m ≤ μ, so every bet 1 + λ(m − X) is non-negative with conditional mean ≤ 1, and the mixture of
 *     Shiryaev–Roberts processes M (e-detector.ts) makes M_t − t a supermartingale, started at the end of the
 *     first epoch. Changing m between scores changes nothing in this: it is known before the score.
 *  3. Let T be the first time M ≥ A. Optional stopping at T∧N gives E[T] ≥ E[T∧N] ≥ E[M_{T∧N}] ≥ A·P(T ≤ N).
 *     If E[T∧N] is finite, then T ≤ N wherever N = ∞, so P(T ≤ N) ≥ 1 − β. With A = arl/(1 − β): E[T] ≥ arl. ∎
 * A rise starts a new regime: the lower bound is kept (by the assumption it still holds) and tightened from
 * scores after the alarm, at levels that are part of the sum. The rise is the mirror image, on 1 − X.
 * What is not promised: the time between one false alarm and the next, as the bounds are then known to be unlucky.
 *
 * After a drop the loop is `alarmed` and no second alarm is raised until it has recovered (recovery.ts); then it
 * is held against its old baseline again.
 */
export interface Settings {
  /** Average number of scored runs to a false alarm. */
  arl: number;
  /** Scored runs before the detector starts: the first epoch of the baseline. */
  learnScores?: number;
}

/** Where nobody asks for another number: scored runs before the detector starts. */
export const LEARN_SCORES = 50;
/** e³: strong evidence. */
const BEST_START_MIN = 20;

/** Plain data: it can be stored as JSON and taken up again. */
export interface GoldenState {
  arl: number;
  learnScores: number;
  scored: number;
  /** First run of the present regime: what lies before it does not date a change. */
  regimeStart: number;
  baseline: Baseline;
  fall: EDetector;
  rise: EDetector;
  history: History;
  /** While alarmed. */
  recovery: Recovery | null;
  /** Run at which the loop fell, while alarmed. */
  fellAtRun: number | null;
}

export type GoldenEvent = { type: 'alarm'; alarm: Alarm } | { type: 'recovered'; at_run: number; at: string };

/** A loop of which nothing is known. */
export function initial(settings: Settings): GoldenState {
  if (!(settings.arl >= 1)) throw new RangeError(`expected an arl of at least 1 run, got ${settings.arl}`);
  return {
    arl: settings.arl,
    learnScores: settings.learnScores ?? LEARN_SCORES,
    scored: 0,
    regimeStart: 0,
    baseline: noBaseline(),
    fall: noEvidence(),
    rise: noEvidence(),
    history: { runs: [], scored: 0 },
    recovery: null,
    fellAtRun: null,
  };
}

/** What the evidence has to reach for an alarm. */
export const threshold = (state: GoldenState): number => state.arl / (1 - BASELINE_ERROR);

/**
 * A run later. Runs come in the loop's order. The state passed in is used up: its lists are carried over into
 * the new one, not copied.
 */
export function step(
  state: GoldenState,
  run: Observation,
): { state: GoldenState; events: readonly GoldenEvent[] } {
  remember(state.history, run);
  if (run.score === null) return { state, events: NONE };
  if (!(run.score >= 0 && run.score <= 1))
    throw new RangeError(`run ${run.runId}: expected a score in [0, 1], got ${run.score}`);
  const next = { ...state, scored: state.scored + 1 };
  return state.recovery ? mend(next, run, state.recovery, run.score) : watchOn(next, run, run.score);
}

const NONE: readonly GoldenEvent[] = [];

function watchOn(state: GoldenState, run: Observation, score: number) {
  const { low, high } = state.baseline;
  if (low) state.fall = advance(state.fall, score, low.value);
  if (high) state.rise = advance(state.rise, 1 - score, 1 - high.value);
  if (low && isAlarming(state, state.fall)) return fell(state, run, low);
  if (high && isAlarming(state, state.rise)) return rose(state, run, high);
  learn(state.baseline, score, state.learnScores);
  return { state, events: NONE };
}

/** The second condition only ever delays an alarm: it asks for scores that speak for a change, not for time. */
const isAlarming = (state: GoldenState, detector: EDetector): boolean =>
  evidence(detector) >= threshold(state) && evidenceOfBestStart(detector) >= BEST_START_MIN;

function fell(state: GoldenState, run: Observation, low: Bound) {
  const alarm = alarmOf('golden_drop', state, run, low);
  const fallen = since(state.history, alarm.change_at_run).flatMap((r) => r.score ?? []);
  forget(state.baseline, fallen.length - 1);
  state.recovery = startRecovery(alarm.golden.before ?? low.mean, fallen);
  state.fellAtRun = alarm.change_at_run;
  return { state, events: [{ type: 'alarm', alarm } as const] };
}

function rose(state: GoldenState, run: Observation, high: Bound) {
  const alarm = alarmOf('golden_rise', state, run, high);
  state.baseline = relearn(state.baseline);
  state.rise = noEvidence();
  state.regimeStart = alarm.change_at_run;
  return { state, events: [{ type: 'alarm', alarm } as const] };
}

function alarmOf(kind: Alarm['kind'], state: GoldenState, run: Observation, bound: Bound): Alarm {
  const eValue = evidence(kind === 'golden_drop' ? state.fall : state.rise);
  return describeAlarm(
    { kind, run, eValue, threshold: threshold(state), arl: state.arl, bound },
    since(state.history, state.regimeStart),
  );
}

function mend(state: GoldenState, run: Observation, recovery: Recovery, score: number) {
  if (!recovered(recovery, score)) return { state, events: NONE };
  const ill = since(state.history, state.fellAtRun ?? 0).filter((r) => r.score !== null);
  const rise = fallPoint(ill.map((r) => 1 - r.score!));
  state.regimeStart = ill[rise?.cut ?? 0]!.index;
  state.recovery = null;
  state.fellAtRun = null;
  state.fall = noEvidence();
  state.rise = noEvidence();
  return { state, events: [{ type: 'recovered', at_run: run.index, at: run.at } as const] };
}
