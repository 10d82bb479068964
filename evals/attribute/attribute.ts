import type { Observation } from '../../src/records/observation.ts';
import { judgeMoved } from '../stats/count-evidence.ts';
import { changeLikelihood, logSumExp } from '../stats/stratified-change.ts';
import type { Candidate, Cause, FleetEvidence, Kind, PairedOutputs, TaskMix } from './cause.ts';
import { comparisonOf, evidenceFor, fallenShare } from './evidence.ts';
import { asEvidence, byScore, byVerdict, judgedTwice } from './pairs.ts';
import { PLAUSIBLE, UNCHANGED, VERSION } from './prior.ts';
import { type Point, pointsOf } from './series.ts';
import { type TaskShift, taskShift } from './task-mix.ts';
import { VERSIONS, type Versioned, versionChanges } from './versions.ts';

/**
 * The cause of a change, as a posterior over what may have caused it:
 *
 *   a version change c at its run           VERSION · plausible(c) · L(c's cut) · evidence(c)
 *   a shift of the task mix, levels alike   UNCHANGED · L(no level changed)
 *   the judge moved, and no version says so plausible · Σ_k L(k) · evidence
 *   none of these, at any run               Σ_k L(k)
 *
 * L is the likelihood of the series under a fall at that cut, within inputs and tasks (stratified-change.ts); VERSION,
 * UNCHANGED and `plausible` are the prior (prior.ts); `evidence` are answers that were judged twice (pairs.ts), and
 * what other loops did on the same model.
 *
 * The cause is what has at least CONFIDENCE of the posterior; else it is unknown, and the candidates stand in the
 * evidence.
 *
 * Measured (test/unit/attribute-simulated.test.ts: a harmless version change every 100 to 400 runs, falls from
 * .84→.50 to .90→.80, 500 loops each of the first three, 200 of the others), right / wrong in %, at the alarm and
 * judged again 200 runs later:
 *   prompt  88.7 / 2.8   92.3 / 0.8      checker 96.4 / 0.0   99.5 / 0.0
 *   tools   89.1 / 2.0   91.1 / 1.2      tasks   97.0 / 1.5   98.0 / 1.0
 *   dataset 95.5 / 1.2   99.4 / 0.2
 * Of falls without any cause among the versions 24 % are put to a harmless change that was close, 17 % later.
 */
const CONFIDENCE = 0.7;
/** What is less likely is not worth an engineer's look. */
const CANDIDATE_MIN = 0.01;
const CANDIDATES_MAX = 10;
/** Share of the posterior that the interval of the change holds. */
const INTERVAL = 0.95;
/** Pairs judged for the worse that it takes to think of a judge without a version. */
const UNVERSIONED_PAIRS_MIN = 2;

export interface Attribution {
  cause: Cause | null;
  /** Run at which the change happened by what caused it; null where that is not known. */
  atRun: number | null;
  /** Where the series alone puts the change, and the runs between which it is with probability INTERVAL. */
  byScore: number;
  interval: [number, number];
  /** Best first. */
  candidates: Candidate[];
  /** Probability that the cause is none of the candidates. */
  unexplained: number;
  paired: PairedOutputs[];
  taskMix: TaskMix | null;
}

interface Hypothesis {
  cause: Cause;
  atRun: number;
  relative: number;
  logWeight: number;
}

/**
 * @param runs all runs of the regime so far, scored or not
 * @param values of what fell (mirrored where it rose): a value in [0,1] a run, null where it has none; at least one
 */
export function attribute(
  kind: Kind,
  runs: readonly Observation[],
  values: readonly (number | null)[],
  fleet: readonly FleetEvidence[] = [],
): Attribution {
  const points = pointsOf(kind, runs, values);
  const likelihood = changeLikelihood(points);
  const located = locate(likelihood.fall);
  const indexAt = (cut: number) => runs[points[Math.min(cut, points.length - 1)]!.position]!.index;
  const anywhere = logSumExp(likelihood.fall);
  const top = likelihood.fall[located.best]!;

  const before = countBefore(runs.length, points);
  const valued = points.map((p) => runs[p.position]!);
  const share = fallenShare(points, located.best);
  const plausible = PLAUSIBLE[kind];
  const changes = (Object.keys(VERSIONS) as Versioned[]).flatMap((dimension) =>
    versionChanges(runs, VERSIONS[dimension]).map((change) => ({ dimension, ...change })),
  );
  const hypotheses = changes.map((change): Hypothesis => {
    const { dimension, from, to, position } = change;
    const fall = likelihood.fall[before[position]!]!;
    return {
      cause: { dimension, from, to },
      atRun: runs[position]!.index,
      relative: fall - top,
      logWeight:
        Math.log(VERSION * plausible[dimension]) + fall + evidenceFor(kind, change, { valued, share, fleet }),
    };
  });
  const shift = taskShift(kind, points);
  if (shift?.explains)
    hypotheses.push({
      cause: { dimension: 'tasks', from: shift.from, to: shift.to },
      atRun: indexAt(shift.change.cut),
      relative: Math.min(0, likelihood.none - top),
      logWeight: Math.log(UNCHANGED) + likelihood.none,
    });
  const paired: PairedOutputs[] = [];
  for (const [dimension, of, compare] of [
    ['dataset', 'score', byScore(kind)],
    ['checker', 'verdict', byVerdict],
  ] as const) {
    const { across, within } = judgedTwice(
      valued.slice(0, located.best),
      valued.slice(located.best),
      compare,
    );
    if (across.pairs > 0) paired.push(asEvidence(of, across));
    const versioned = hypotheses.some(
      (h) =>
        h.cause.dimension === dimension &&
        h.atRun >= indexAt(located.low) &&
        h.atRun <= indexAt(located.high),
    );
    if (versioned || !comparisonOf(kind, dimension) || across.worse < UNVERSIONED_PAIRS_MIN) continue;
    hypotheses.push({
      cause: { dimension, from: '', to: '' },
      atRun: indexAt(located.best),
      relative: 0,
      logWeight: anywhere + Math.log(plausible[dimension]) + judgeMoved(across, within, share),
    });
  }
  return {
    ...decide(hypotheses, anywhere),
    byScore: indexAt(located.best),
    interval: [indexAt(located.low), indexAt(located.high)],
    paired,
    taskMix: shift ? mixEvidence(shift) : null,
  };
}

function decide(hypotheses: readonly Hypothesis[], anywhere: number) {
  const total = logSumExp([anywhere, ...hypotheses.map((h) => h.logWeight)]);
  const candidates = hypotheses
    .map(
      ({ cause, atRun, relative, logWeight }): Candidate => ({
        ...cause,
        at_run: atRun,
        log_likelihood: relative,
        probability: Math.exp(logWeight - total),
      }),
    )
    .sort((a, b) => b.probability - a.probability);
  const [best] = candidates;
  const known = best !== undefined && best.probability >= CONFIDENCE;
  // Several things changed in one run: the moment is known, which of them it was is not.
  const together = candidates
    .filter((c) => c.at_run === best!.at_run)
    .reduce((sum, c) => sum + c.probability, 0);
  return {
    cause: known ? { dimension: best.dimension, from: best.from, to: best.to } : null,
    atRun: best && together >= CONFIDENCE ? best.at_run : null,
    candidates: candidates.filter((c) => c.probability >= CANDIDATE_MIN).slice(0, CANDIDATES_MAX),
    unexplained: Math.exp(anywhere - total),
  };
}

/** The likeliest cut, and the smallest set of cuts that holds INTERVAL of the posterior, from first to last. */
function locate(fall: Float64Array): { best: number; low: number; high: number } {
  const cuts = [...fall.keys()].filter((k) => fall[k]! > Number.NEGATIVE_INFINITY);
  if (cuts.length === 0) return { best: 0, low: 0, high: Math.max(0, fall.length - 2) };
  const total = logSumExp(fall);
  cuts.sort((a, b) => fall[b]! - fall[a]!);
  let held = 0;
  let size = 0;
  while (held < INTERVAL && size < cuts.length) held += Math.exp(fall[cuts[size++]!]! - total);
  const region = cuts.slice(0, size);
  return { best: cuts[0]!, low: Math.min(...region), high: Math.max(...region) };
}

/** For each run the number of points before it. */
function countBefore(runs: number, points: readonly Point[]): number[] {
  const counts = new Array<number>(runs).fill(0);
  let next = 0;
  for (let position = 0; position < runs; position++) {
    counts[position] = next;
    if (points[next]?.position === position) next++;
  }
  return counts;
}

const mixEvidence = ({ change }: TaskShift): TaskMix => ({
  within: change.within,
  mix: change.mix,
  mix_p_value: change.mixP,
  within_p_value: change.withinP,
});
