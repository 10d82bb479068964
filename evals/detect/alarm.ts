import type { Observation } from '../../src/records/observation.ts';
import { type Fall, fallPoint } from '../stats/change-point.ts';
import { attribute } from './attribute.ts';
import type { Bound } from './baseline.ts';
import { compare, meanScore, passRate } from './history.ts';
import type { Alarm } from './report.ts';

const LOOK_AT_MAX = 20;

export interface Finding {
  kind: Alarm['kind'];
  /** The run that raised the alarm. */
  run: Observation;
  eValue: number;
  threshold: number;
  arl: number;
  bound: Bound;
}

/** Dates an alarm, finds its cause and gathers its evidence, from the regime's runs up to the alarm. */
export function describeAlarm(finding: Finding, runs: readonly Observation[]): Alarm {
  const { kind, run, bound } = finding;
  const scored = runs.filter((r): r is Observation & { score: number } => r.score !== null);
  const falling = scored.map((r) => (kind === 'golden_drop' ? r.score : 1 - r.score));
  const fall = fallPoint(falling) ?? everywhere(falling.length);
  const indexAt = (cut: number) => scored[Math.min(cut, scored.length - 1)]!.index;
  const { cause, atRun, candidates } = attribute(runs, fall);
  const byScore = indexAt(fall.cut);
  const changeAtRun = atRun ?? byScore;
  const golden = compare(runs, changeAtRun, meanScore);
  const reference = golden.before ?? bound.mean;
  const isTelling = (score: number) => (kind === 'golden_drop' ? score < reference : score > reference);
  return {
    kind,
    at_run: run.index,
    at: run.at,
    change_at_run: changeAtRun,
    change_at: runs.find((r) => r.index === changeAtRun)!.at,
    cause,
    e_value: finding.eValue,
    checker_pass_rate: compare(runs, changeAtRun, passRate),
    golden,
    evidence: {
      runs: compare(runs, changeAtRun, (part) => part.length),
      scored: compare(runs, changeAtRun, (part) => part.filter((r) => r.score !== null).length),
      verdicts: compare(runs, changeAtRun, (part) => part.filter((r) => r.checkerPass !== null).length),
      change_at_run_interval: [indexAt(fall.low), indexAt(fall.high)],
      change_at_run_by_score: byScore,
      threshold: finding.threshold,
      arl: finding.arl,
      baseline: { n: bound.n, mean: bound.mean, bound: bound.value },
      candidates,
      look_at: scored
        .filter((r) => r.index >= changeAtRun && isTelling(r.score))
        .slice(0, LOOK_AT_MAX)
        .map((r) => r.runId),
    },
  };
}

/**
 * The mean fell below what the loop had learnt before the runs that are still remembered: then all that is
 * remembered is after the fall, and nothing says where in it the change was.
 */
const everywhere = (scores: number): Fall => ({
  cut: 0,
  low: 0,
  high: Math.max(0, scores - 1),
  relative: new Array<number>(scores + 1).fill(Number.NEGATIVE_INFINITY),
});
