import { bettingLower } from './betting-bound.ts';
import { clopperPearson, type Interval } from './binomial-interval.ts';
import { predictionPowered } from './prediction-powered.ts';
import { type Stratum, stratifiedBetting, stratifiedExact } from './stratified-rate.ts';

/**
 * How often does a loop succeed? From the verdicts of all its runs and the golden scores of some of them.
 *
 * The one assumption: which runs have a score has nothing to do with how good they were, other than by their verdict.
 * What is estimated is the rate of the loop, not the share among just these runs. By method:
 *   labels-only         more than `LABELLED_SHARE` of the runs have a score: their verdicts hardly say more than they
 *                       do. Clopper & Pearson for scores 0 and 1, betting bounds of both sides for others.
 *   stratified-exact    scores 0 and 1, up to `EXACT_LABELS_MAX` of them. Holds its level for any numbers (measured:
 *                       never below 97 %). With 10 or 30 scores it is on average at most 1.12 times as wide as the exact
 *                       interval of the scores alone, also where the checker is useless; with 100 scores, 10,000 verdicts
 *                       and a checker that is right in 96 %, .64 times.
 *   ppi++               other scores, many in each stratum and far enough from all 0 and all 1 (`isPlenty`), where
 *                       the normal interval holds its level (measured: 94.6 to 95.2 %).
 *   stratified-betting  the rest. Holds its level for any numbers, and is the widest.
 * Where a stratum has runs and no score, its rate is anybody's guess and the interval allows for any; the estimate
 * then is the mean of the scores there are.
 */
export interface RunSeen {
  /** `null`: no verdict, which is not a pass. */
  pass: boolean | null;
  /** In [0, 1]; `null`: not scored. */
  score: number | null;
}

export type SuccessMethod = 'labels-only' | 'stratified-exact' | 'stratified-betting' | 'ppi++';

export interface SuccessRate extends Interval {
  estimate: number;
  /** Scores it stands on, and runs in all. */
  n: number;
  N: number;
  method: SuccessMethod;
}

const LABELLED_SHARE = 0.25;
export const EXACT_LABELS_MAX = 2000;
const PLENTY_LABELS = 50;
const PLENTY_OUTCOMES = 15;

/** `undefined` without a score. Runs in the loop's order. */
export function successRate(runs: readonly RunSeen[], confidence = 0.95): SuccessRate | undefined {
  const scores = runs.flatMap(({ score }) => score ?? []);
  const [n, N] = [scores.length, runs.length];
  if (n === 0) return undefined;
  const isBinary = scores.every((x) => x === 0 || x === 1);
  const passed = stratumOf(runs.filter((run) => run.pass === true));
  const rest = stratumOf(runs.filter((run) => run.pass !== true));
  const found = { n, N, estimate: postStratified(passed, rest) ?? mean(scores) };
  if (n > LABELLED_SHARE * N)
    return {
      ...found,
      estimate: mean(scores),
      ...labelsOnly(scores, isBinary, confidence),
      method: 'labels-only',
    };
  if (isBinary && n <= EXACT_LABELS_MAX)
    return { ...found, ...stratifiedExact(passed, rest, confidence)!, method: 'stratified-exact' };
  if (isPlenty(passed) && isPlenty(rest)) {
    const { estimate, low, high } = poweredBy(runs, confidence);
    return { n, N, estimate, low, high, method: 'ppi++' };
  }
  return { ...found, ...stratifiedBetting(passed, rest, confidence)!, method: 'stratified-betting' };
}

const stratumOf = (runs: readonly RunSeen[]): Stratum => ({
  runs: runs.length,
  scores: runs.flatMap(({ score }) => score ?? []),
});

const isPlenty = ({ runs, scores }: Stratum): boolean => {
  const successes = sum(scores);
  return (
    runs === 0 ||
    (scores.length >= PLENTY_LABELS && Math.min(successes, scores.length - successes) >= PLENTY_OUTCOMES)
  );
};

/** The strata's means, weighted by their runs; `undefined` where one of them has runs and no score. */
function postStratified(...strata: readonly Stratum[]): number | undefined {
  const filled = strata.filter(({ runs }) => runs > 0);
  if (filled.some(({ scores }) => scores.length === 0)) return undefined;
  const total = sum(filled.map(({ runs }) => runs));
  return sum(filled.map(({ runs, scores }) => (runs / total) * mean(scores)));
}

function labelsOnly(scores: readonly number[], isBinary: boolean, confidence: number): Interval {
  if (isBinary) return clopperPearson(sum(scores), scores.length, confidence)!;
  const error = (1 - confidence) / 2;
  const failures = scores.map((x) => 1 - x);
  return { low: bettingLower(scores, error)!, high: 1 - bettingLower(failures, error)! };
}

function poweredBy(runs: readonly RunSeen[], confidence: number) {
  const labelled = runs.flatMap(({ pass, score }) =>
    score === null ? [] : [{ y: score, f: Number(pass === true) }],
  );
  const unlabelled = runs.filter(({ score }) => score === null);
  const rate = unlabelled.filter(({ pass }) => pass === true).length / unlabelled.length;
  return predictionPowered(
    labelled,
    { count: unlabelled.length, mean: rate, variance: rate * (1 - rate) },
    confidence,
  )!;
}

const sum = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0);
const mean = (xs: readonly number[]): number => sum(xs) / xs.length;
