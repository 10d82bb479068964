import { advance, type EDetector, evidence, evidenceOfBestStart, noEvidence } from '../stats/e-detector.ts';
import { type Baseline, type Bound, forget, learn, noBaseline, relearn } from './baseline.ts';
import { type Recovery, recovered, startRecovery } from './recovery.ts';

/**
 * The level of one stream of values in [0,1]: whether its mean fell below, or rose above, what it was.
 *
 * The promise. With thresholds A, and an error β for each of the two bounds of the baseline: while the mean does
 * not fall (it may rise), the first `fell` comes after at least (1 − β)·A values on average; and while it does not
 * rise, the first `rose` likewise. It holds for any distribution of values in [0,1] and any length of the
 * baseline, because the baseline's uncertainty is in it.
 *
 * The argument. Values X_t ∈ [0,1] with E[X_t | past] = μ_t for fixed μ_1 ≤ μ_2 ≤ … (no fall).
 *  1. At fixed numbers of values a lower bound for the present mean is learnt (baseline.ts). Earlier means are
 *     not above the present one, so each bound is wrong with at most its level of probability; the levels of all
 *     epochs, methods and regimes sum to at most β. m_t, the highest of them so far, is known before X_{t+1}.
 *     Let N be the first time a bound is wrong: P(N < ∞) ≤ β.
 *  2. Until N, m ≤ μ, so every bet 1 + λ(m − X) is non-negative with conditional mean ≤ 1, and the mixture of
 *     Shiryaev–Roberts processes M (e-detector.ts) makes M_t − t a supermartingale, started at the end of the
 *     first epoch. Changing m between values changes nothing in this: it is known before the value.
 *  3. Let T be the first time M ≥ A. Optional stopping at T∧N gives E[T] ≥ E[T∧N] ≥ E[M_{T∧N}] ≥ A·P(T ≤ N).
 *     If E[T∧N] is finite, then T ≤ N wherever N = ∞, so P(T ≤ N) ≥ 1 − β, and E[T] ≥ (1 − β)·A. ∎
 * A rise starts a new regime: the lower bound is kept (by the assumption it still holds) and tightened from
 * values after it, at levels that are part of the sum. The rise is the mirror image, on 1 − X.
 * What is not promised: the time between one false alarm and the next, as the bounds are then known to be unlucky.
 *
 * The order of the values is the one in which they are given. Any order will do that does not depend on what the
 * values are going to be: "past" is then what was given before. Scores that come late may be given late.
 *
 * How long it takes, measured at an arl of 10⁴ in values after the fall: from .84 to .50 50 when 200 values came
 * before it, 38 when 1,000 did; .90 to .70 130 and 70; .90 to .80 2,000 or more and 320; .98 to .90 600 and 140. At
 * ten runs a week that is a month to years. Of small falls after few values no detector says more: with n values before
 * and t after a fall by δ of values of variance σ², the best test there is has about δ²/(2σ²)·nt/(n + t) nats of
 * evidence, and an arl of 10⁴ asks for ln 10⁴ = 9.2. For .90 to .80 that is 310 values when 1,000 came before.
 *
 * After a fall the level is `alarmed` and falls no more until it has recovered (recovery.ts); then it is held
 * against its old baseline again. The evidence goes on growing meanwhile, for those who ask more of it.
 */

/** e³: strong evidence. */
const BEST_START_MIN = 20;

/** Plain data. */
export interface Level {
  /** Values of the present regime: what lies before it does not date a change. */
  regime: number;
  baseline: Baseline;
  fall: EDetector;
  rise: EDetector;
  /** While alarmed. */
  recovery: Recovery | null;
}

/** What a level is held against. */
export interface LevelSettings {
  /** What the evidence for a fall, and that for a rise, has to reach. */
  fallAt: number;
  riseAt: number;
  /** Values of the first epoch of the baseline. */
  learn: number;
  /** Bounds the probability that the lower bound of the baseline is ever wrong, and likewise the upper one. */
  baselineError: number;
  /** No fall is called for now, whatever the evidence: it can only come later. */
  isHeld: boolean;
}

export interface LevelChange {
  type: 'fell' | 'rose' | 'recovered';
  /** The evidence that reached its threshold, and the bound it was laid on; of a recovery, those of its fall. */
  eValue: number;
  bound: Bound;
  /** Values of the regime so far, and where the first value since the change stands. */
  regime: number;
  start: number;
}

/** Of which nothing is known. */
export const newLevel = (): Level => ({
  regime: 0,
  baseline: noBaseline(),
  fall: noEvidence(),
  rise: noEvidence(),
  recovery: null,
});

/** A value later, in place. `position` is where the value stands, as the caller counts. */
export function stepLevel(
  level: Level,
  value: number,
  position: number,
  settings: LevelSettings,
): LevelChange | undefined {
  const { baseline, fall, rise, recovery } = level;
  const { low, high } = baseline;
  level.regime++;
  if (low) advance(fall, value, low.value, position);
  if (recovery) return recovered(recovery, value, position) ? mend(level, recovery) : undefined;
  if (high) advance(rise, 1 - value, 1 - high.value, position);
  if (low && !settings.isHeld && reaches(fall, settings.fallAt)) return fell(level, value, low);
  if (high && reaches(rise, settings.riseAt)) return rose(level, high);
  learn(baseline, value, settings.learn, settings.baselineError);
  return undefined;
}

/** The second condition only ever delays an alarm: it asks for values that speak for a change, not for time. */
const reaches = (detector: EDetector, threshold: number): boolean =>
  evidence(detector) >= threshold && evidenceOfBestStart(detector) >= BEST_START_MIN;

function fell(level: Level, value: number, bound: Bound): LevelChange {
  const { baseline, fall, regime } = level;
  const { since } = fall;
  // The value that raised the alarm was not learnt.
  forget(baseline, { n: since.n - 1, sum: since.sum - value, squares: since.squares - value * value });
  level.recovery = startRecovery(baseline.n > 0 ? baseline.sum / baseline.n : bound.mean, since);
  return { type: 'fell', eValue: evidence(fall), bound, regime, start: since.start };
}

function rose(level: Level, bound: Bound): LevelChange {
  const { rise, regime } = level;
  level.baseline = relearn(level.baseline);
  level.regime = rise.since.n;
  level.rise = noEvidence();
  return { type: 'rose', eValue: evidence(rise), bound, regime, start: rise.since.start };
}

function mend(level: Level, { evidence: { since } }: Recovery): LevelChange {
  const { regime, fall, baseline } = level;
  level.regime = since.n;
  level.recovery = null;
  level.fall = noEvidence();
  level.rise = noEvidence();
  return { type: 'recovered', eValue: evidence(fall), bound: baseline.low!, regime, start: since.start };
}

/** The level a fall led to is taken for normal: it is learnt anew, from here on. In place. */
export function acceptLevel(level: Level): void {
  level.baseline = { ...noBaseline(), regime: level.baseline.regime + 1 };
  level.regime = level.recovery?.n ?? level.regime;
  level.recovery = null;
  level.fall = noEvidence();
  level.rise = noEvidence();
}
