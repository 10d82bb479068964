import { betaQuantile } from './beta.ts';
import { clopperPearson, type Interval, normalQuantile } from './binomial-interval.ts';

/**
 * How good is the checker? Its verdicts held against the truth, where the truth is known.
 *
 *   sensitivity  P(pass | good)     PPV  P(good | pass)
 *   specificity  P(fail | bad)      NPV  P(bad | fail)
 *
 * Labels that are a uniform sample: each is a proportion of counts, with the exact interval of Clopper & Pearson,
 * which covers at least at its level for any n. PPV and NPV need uniformity only within a verdict; sensitivity and
 * specificity need it across both.
 * Labels chosen with known unequal chances: each is a ratio of sums of weights w = 1/π (Hájek), with the interval of
 * Clopper & Pearson at the effective size of its denominator (Korn & Graubard, Survey Methodology 24, 1998): the size
 * at which a plain proportion p would vary as this one does, p(1−p)·(Σw)²/Σw²(y−p)², and no more than what unequal
 * weights leave at best, (Σw)²/Σw² (Kish 1965). That is no longer exact, but holds its level well, also for rates near
 * 0 and 1; with equal weights it is the exact interval again.
 */
export interface Judged {
  /** The verdict. */
  pass: boolean;
  /** The truth. */
  good: boolean;
  /** The chance with which it was chosen to be labelled; 1 where all had the same. */
  probability?: number;
}

export interface Rate extends Interval {
  estimate: number;
  /** Labels it stands on, and how many of equal weight they are worth. */
  n: number;
  effectiveN: number;
}

/** `undefined` where nothing was seen that the rate is a share of. */
export interface CheckerAccuracy {
  sensitivity: Rate | undefined;
  specificity: Rate | undefined;
  ppv: Rate | undefined;
  npv: Rate | undefined;
}

/** The four rates of a checker. */
export function checkerAccuracy(judged: readonly Judged[], confidence = 0.95): CheckerAccuracy {
  // An impossible chance is refused wherever it stands, also where all are alike.
  for (const j of judged) weightOf(j);
  const good = judged.filter((j) => j.good);
  const bad = judged.filter((j) => !j.good);
  const passed = judged.filter((j) => j.pass);
  const failed = judged.filter((j) => !j.pass);
  return {
    sensitivity: rate(good, (j) => j.pass, confidence),
    specificity: rate(bad, (j) => !j.pass, confidence),
    ppv: rate(passed, (j) => j.good, confidence),
    npv: rate(failed, (j) => !j.good, confidence),
  };
}

function rate(among: readonly Judged[], isHit: (j: Judged) => boolean, confidence: number): Rate | undefined {
  const n = among.length;
  if (n === 0) return undefined;
  const hits = among.filter(isHit).length;
  if (among.every((j) => j.probability === among[0]!.probability))
    return { estimate: hits / n, ...clopperPearson(hits, n, confidence)!, n, effectiveN: n };
  const weighted = among.map((j) => ({ weight: weightOf(j), y: Number(isHit(j)) }));
  const total = sum(weighted.map(({ weight }) => weight));
  const estimate = hits === n ? 1 : sum(weighted.map(({ weight, y }) => weight * y)) / total;
  const kish = total ** 2 / sum(weighted.map(({ weight }) => weight ** 2));
  const spread = sum(weighted.map(({ weight, y }) => (weight * (y - estimate)) ** 2));
  const effectiveN = spread > 0 ? Math.min(kish, (estimate * (1 - estimate) * total ** 2) / spread) : kish;
  const error = (1 - confidence) / 2;
  const successes = estimate * effectiveN;
  return {
    estimate,
    low: hits === 0 ? 0 : betaQuantile(error, successes, effectiveN - successes + 1),
    high: hits === n ? 1 : betaQuantile(1 - error, successes + 1, effectiveN - successes),
    n,
    effectiveN,
  };
}

function weightOf({ probability = 1 }: Judged): number {
  if (!(probability > 0 && probability <= 1))
    throw new RangeError(`expected a chance in (0, 1], got ${probability}`);
  return 1 / probability;
}

const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);

export interface RoganGladen extends Interval {
  estimate: number;
  variance: number;
}

/**
 * The success rate from the pass rate alone, given how good the checker was found to be: with p passes of `verdicts`,
 * sensitivity q1 of `goodLabels` and specificity q0 of `badLabels`, θ = (p + q0 − 1)/(q0 + q1 − 1) and
 * Var θ = [p(1−p)/N + θ²·q1(1−q1)/n1 + (1−θ)²·q0(1−q0)/n0] / (q0 + q1 − 1)² (Rogan & Gladen, Am. J. Epidemiol. 107,
 * 1978). The interval is that of Lang & Reiczigel (Prev. Vet. Med. 113, 2014): the same with z²/2 and one success and
 * one failure added, and a shift; asymptotic, but near its level in small samples.
 *
 * The trap: it believes that the checker is as good today as when it was measured. A silent failure IS a checker that
 * lets bad work pass, a collapse of q0; then p stays high, q0 on record stays high, and θ is high while nothing is
 * useful. It is an estimate for labels and verdicts of the same time only, and never a monitor. Where labels are a
 * sample of the runs, `successRate` needs no such belief.
 *
 * `undefined` where nothing was measured, or the checker was found to be no better than chance (q0 + q1 ≤ 1).
 */
export function roganGladen(
  counts: {
    passes: number;
    verdicts: number;
    goodPassed: number;
    goodLabels: number;
    badFailed: number;
    badLabels: number;
  },
  confidence = 0.95,
): RoganGladen | undefined {
  const { verdicts, goodLabels, badLabels } = counts;
  if (verdicts === 0 || goodLabels === 0 || badLabels === 0) return undefined;
  const plain = correct(counts.passes, verdicts, counts.goodPassed, goodLabels, counts.badFailed, badLabels);
  const z = normalQuantile(0.5 + confidence / 2);
  const more = correct(
    counts.passes + (z * z) / 2,
    verdicts + z * z,
    counts.goodPassed + 1,
    goodLabels + 2,
    counts.badFailed + 1,
    badLabels + 2,
  );
  if (!(plain.youden > 0 && more.youden > 0)) return undefined;
  const shift =
    2 * z * z * (more.theta * more.sensitivityVariance - (1 - more.theta) * more.specificityVariance);
  const half = z * Math.sqrt(more.variance);
  return {
    estimate: clip(plain.theta),
    variance: plain.variance,
    low: clip(more.theta + shift - half),
    high: clip(more.theta + shift + half),
  };
}

function correct(x: number, n: number, x1: number, n1: number, x0: number, n0: number) {
  const [p, q1, q0] = [x / n, x1 / n1, x0 / n0];
  const youden = q0 + q1 - 1;
  const theta = (p + q0 - 1) / youden;
  const sensitivityVariance = (q1 * (1 - q1)) / n1;
  const specificityVariance = (q0 * (1 - q0)) / n0;
  const variance =
    ((p * (1 - p)) / n + theta ** 2 * sensitivityVariance + (1 - theta) ** 2 * specificityVariance) /
    youden ** 2;
  return { theta, youden, variance, sensitivityVariance, specificityVariance };
}

const clip = (x: number): number => Math.min(1, Math.max(0, x));
