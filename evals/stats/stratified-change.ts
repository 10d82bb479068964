import { fallPoint } from './change-point.ts';

/**
 * How likely each place is to be where the level of a series fell, when its values come from unlike strata: inputs
 * that are met again and again, or tasks of unlike difficulty.
 *
 * The model. Stratum i has a level p_i. At the cut a share δ of the strata change, each by the same shift on the
 * logit scale, to logit p_i − β; the others stay. So a change that hits one input in ten is seen on those inputs,
 * where it is loud, instead of in the mean, where it is faint; and when harder inputs come, no level has changed.
 * p_i, β and δ are integrated out: p_i on a grid over the logits of 0.007 … 0.993, under the weights of its group
 * (below); β and δ uniformly over BETAS × DELTAS. A cut moves one value from one side to the other, so one
 * stratum's integral changes a step: n cuts cost n · |BETAS| · |GRID| exponentials.
 *
 * The weights of p_i within a group (a task) are learnt from the group's values before any plausible cut, by
 * maximum likelihood on the grid (Kiefer & Wolfowitz 1956; EM, as in Efron 2016, "Empirical Bayes deconvolution")
 * with a prior of one value spread over the grid; a group that was not seen before is learnt from what there is of
 * it, so that an unknown task's difficulty is never taken for a fall. Values without a stratum of their own share
 * their group's one level, of which nothing is assumed.
 *
 * Values in [0,1] that are not 0 or 1 enter by the Bernoulli quasi-likelihood over their dispersion: residual
 * variance over p(1−p) (McCullagh & Nelder 1989, §9.2), which is 1 for coins.
 */

const POINTS = 41;
const LOGIT_MAX = 5;
const GRID: readonly number[] = Array.from(
  { length: POINTS },
  (_, g) => -LOGIT_MAX + (2 * LOGIT_MAX * g) / (POINTS - 1),
);
const BETAS: readonly number[] = [0.35, 0.7, 1.2, 1.9, 2.8, 4.2, 7];
const DELTAS: readonly number[] = [1, 0.5, 0.2];
const DISPERSION_MIN = 0.02;
/** Values of a group before the cut from which its weights are learnt on these alone. */
const LEARN_MIN = 10;
const EM_ROUNDS = 20;

export interface Value {
  /** In [0, 1]. */
  value: number;
  /** What it is compared with: the group of its kind, and within it its own stratum, where it has one. */
  group: string;
  stratum?: string | undefined;
}

export interface ChangeLikelihood {
  /** Log-likelihood of a fall after the first k values, k = 0..n; −∞ at 0 and n. */
  fall: Float64Array;
  /** Log-likelihood of no change of any level. */
  none: number;
}

/** @param values in the order of time */
export function changeLikelihood(values: readonly Value[]): ChangeLikelihood {
  const n = values.length;
  const fall = new Float64Array(n + 1).fill(Number.NEGATIVE_INFINITY);
  if (n < 2) return { fall, none: 0 };
  const raw = values.map((v) => v.value);
  const cut = fallPoint(raw);
  const scale = 1 / dispersion(raw, cut?.cut ?? n);
  const { strata, ofValue } = stratify(values, cut?.low ?? n, scale);

  const sums = new Float64Array(COMBINATIONS);
  let none = 0;
  for (const stratum of strata) {
    none += stratum.stay;
    integrate(stratum);
    add(sums, stratum, 1);
  }
  for (let k = 1; k < n; k++) {
    const stratum = ofValue[k - 1]!;
    add(sums, stratum, -1);
    const good = raw[k - 1]! * scale;
    stratum.goodBefore += good;
    stratum.badBefore += scale - good;
    integrate(stratum);
    add(sums, stratum, 1);
    fall[k] = logSumExp(sums) - Math.log(COMBINATIONS);
  }
  return { fall, none };
}

const COMBINATIONS = BETAS.length * DELTAS.length;

/** log p and log(1−p) at the grid's points, shifted down by 0 and by each of BETAS. */
const logistic = (x: number) => -Math.log1p(Math.exp(-x));
const SHIFTS = [0, ...BETAS];
const LOG_P = SHIFTS.map((b) => Float64Array.from(GRID, (x) => logistic(x - b)));
const LOG_Q = SHIFTS.map((b) => Float64Array.from(GRID, (x) => logistic(b - x)));

interface Stratum {
  logWeights: Float64Array;
  good: number;
  bad: number;
  goodBefore: number;
  badBefore: number;
  /** Log-likelihood of its values when it stays, and when it changes by each of BETAS at the present cut. */
  stay: number;
  changed: Float64Array;
}

function integrate(stratum: Stratum): void {
  const { good, bad, goodBefore, badBefore, changed } = stratum;
  for (let b = 0; b < BETAS.length; b++)
    changed[b] = logLikelihood(
      stratum.logWeights,
      b + 1,
      goodBefore,
      badBefore,
      good - goodBefore,
      bad - badBefore,
    );
}

const terms = new Float64Array(POINTS);

function logLikelihood(
  logWeights: Float64Array,
  shift: number,
  goodBefore: number,
  badBefore: number,
  goodAfter: number,
  badAfter: number,
): number {
  const logP = LOG_P[0]!;
  const logQ = LOG_Q[0]!;
  const shiftedP = LOG_P[shift]!;
  const shiftedQ = LOG_Q[shift]!;
  for (let g = 0; g < POINTS; g++)
    terms[g] =
      logWeights[g]! +
      goodBefore * logP[g]! +
      badBefore * logQ[g]! +
      goodAfter * shiftedP[g]! +
      badAfter * shiftedQ[g]!;
  return logSumExp(terms);
}

function add(sums: Float64Array, { stay, changed }: Stratum, sign: 1 | -1): void {
  let i = 0;
  for (const delta of DELTAS)
    for (let b = 0; b < BETAS.length; b++) {
      const both = delta === 1 ? changed[b]! : mix(stay, changed[b]!, delta);
      sums[i] = sums[i]! + sign * both;
      i++;
    }
}

/** log((1−δ)·e^a + δ·e^b) */
function mix(a: number, b: number, delta: number): number {
  const top = Math.max(a, b);
  return top + Math.log((1 - delta) * Math.exp(a - top) + delta * Math.exp(b - top));
}

export function logSumExp(values: ArrayLike<number>): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) if (values[i]! > top) top = values[i]!;
  if (top === Number.NEGATIVE_INFINITY) return top;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i]! - top);
  return top + Math.log(sum);
}

/** Variance about the means before and after `cut`, over that of coins with these means. */
function dispersion(values: readonly number[], cut: number): number {
  let residual = 0;
  let coins = 0;
  for (const part of [values.slice(0, cut), values.slice(cut)]) {
    const mean = part.reduce((a, b) => a + b, 0) / part.length;
    for (const value of part) {
      residual += (value - mean) ** 2;
      coins += mean * (1 - mean);
    }
  }
  return coins <= 0 ? 1 : Math.min(1, Math.max(DISPERSION_MIN, residual / coins));
}

/** @param calm values before any plausible cut */
function stratify(values: readonly Value[], calm: number, scale: number) {
  const places = Map.groupBy(values.keys(), (i) => key(values[i]!));
  const ofValue = new Array<Stratum>(values.length);
  const strata: Stratum[] = [];
  const own = new Map<string, { stratum: Stratum; goodCalm: number; badCalm: number }[]>();
  for (const indices of places.values()) {
    const counts = (list: readonly number[]) => {
      const good = list.reduce((sum, i) => sum + values[i]!.value, 0);
      return { good: good * scale, bad: (list.length - good) * scale };
    };
    const { good, bad } = counts(indices);
    const stratum: Stratum = {
      logWeights: EVEN,
      good,
      bad,
      goodBefore: 0,
      badBefore: 0,
      stay: 0,
      changed: new Float64Array(BETAS.length),
    };
    for (const i of indices) ofValue[i] = stratum;
    strata.push(stratum);
    const { group, stratum: name } = values[indices[0]!]!;
    if (name === undefined) continue;
    const before = counts(indices.filter((i) => i < calm));
    if (!own.has(group)) own.set(group, []);
    own.get(group)!.push({ stratum, goodCalm: before.good, badCalm: before.bad });
  }
  for (const members of own.values()) {
    const seen = members.reduce((sum, m) => sum + m.goodCalm + m.badCalm, 0) / scale;
    const logWeights = learnWeights(
      members.map((m) =>
        seen >= LEARN_MIN
          ? { good: m.goodCalm, bad: m.badCalm }
          : { good: m.stratum.good, bad: m.stratum.bad },
      ),
    );
    for (const { stratum } of members) stratum.logWeights = logWeights;
  }
  for (const s of strata) s.stay = logLikelihood(s.logWeights, 0, 0, 0, s.good, s.bad);
  return { strata, ofValue };
}

const key = ({ group, stratum }: Value) => JSON.stringify([group, stratum]);

const EVEN = new Float64Array(POINTS).fill(-Math.log(POINTS));

function learnWeights(counts: readonly { good: number; bad: number }[]): Float64Array {
  // Strata with the same counts are one term.
  const alike = [
    ...Map.groupBy(
      counts.filter((c) => c.good + c.bad > 0),
      (c) => `${c.good} ${c.bad}`,
    ).values(),
  ];
  let weights = EVEN;
  const post = new Float64Array(POINTS);
  for (let round = 0; round < EM_ROUNDS; round++) {
    const next = new Float64Array(POINTS).fill(1 / POINTS);
    let total = 1;
    for (const group of alike) {
      const { good, bad } = group[0]!;
      for (let g = 0; g < POINTS; g++) post[g] = weights[g]! + good * LOG_P[0]![g]! + bad * LOG_Q[0]![g]!;
      const norm = logSumExp(post);
      for (let g = 0; g < POINTS; g++) next[g] = next[g]! + group.length * Math.exp(post[g]! - norm);
      total += group.length;
    }
    weights = next.map((w) => Math.log(w / total));
  }
  return weights;
}
