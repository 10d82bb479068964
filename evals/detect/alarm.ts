import type { Observation } from '../../src/records/observation.ts';
import { attribute } from '../attribute/attribute.ts';
import type { FleetEvidence } from '../attribute/cause.ts';
import type { Bound } from './baseline.ts';
import { compare, meanScore, passRate } from './compare.ts';
import { type Measure, valuesOf } from './measures.ts';
import type { Alarm } from './report.ts';

const LOOK_AT_MAX = 20;
/** Runs after the alarm that are looked at to judge it again: by then the loop may have changed once more. */
const LATER_RUNS_MAX = 300;

export interface Finding {
  kind: Alarm['kind'];
  measure: Measure;
  /** The run that raised the alarm. */
  run: Observation;
  eValue: number;
  threshold: number;
  arl: number;
  bound: Bound;
}

/** What is known beside the loop's own runs. */
export interface MoreEvidence {
  fleet?: readonly FleetEvidence[];
}

/** Dates an alarm, finds its cause and gathers its evidence, from the regime's runs up to the alarm. */
export function describeAlarm(
  { kind, measure, run, eValue, threshold, arl, bound }: Finding,
  runs: readonly Observation[],
  more: MoreEvidence = {},
): Alarm {
  const known = { kind, at_run: run.index, at: run.at, e_value: eValue };
  return judge(known, { measure, threshold, arl, bound }, runs, more);
}

/**
 * The same alarm in the light of what came after it, or is known besides: where the change was, its cause and the
 * figures, which at the alarm rested on few runs. The alarm itself stands as it was. Runs from before its regime and
 * more than LATER_RUNS_MAX after it are not looked at; the caller leaves out those after the loop recovered.
 *
 * @param runs the loop's, in its order of time
 */
export function rejudge(alarm: Alarm, runs: readonly Observation[], more: MoreEvidence = {}): Alarm {
  const { kind, at_run, at, e_value, evidence } = alarm;
  const { measure, threshold, arl, baseline, regime_from_run } = evidence;
  const bound = { value: baseline.bound, n: baseline.n, mean: baseline.mean };
  const last = at_run + LATER_RUNS_MAX;
  const known = runs.filter((run) => run.index >= regime_from_run && run.index <= last);
  // What is left of a loop's runs after a long time may not reach back to its alarm.
  if (known.length === 0 || known[0]!.index > alarm.change_at_run) return alarm;
  return judge({ kind, at_run, at, e_value }, { measure, threshold, arl, bound }, known, more);
}

type Known = Pick<Alarm, 'kind' | 'at_run' | 'at' | 'e_value'>;

function judge(
  known: Known,
  { measure, threshold, arl, bound }: Pick<Finding, 'measure' | 'threshold' | 'arl' | 'bound'>,
  runs: readonly Observation[],
  { fleet = [] }: MoreEvidence,
): Alarm {
  const rose = known.kind === 'golden_rise';
  const measured = valuesOf(measure, runs);
  const values = rose ? measured.map((value) => (value === null ? null : 1 - value)) : measured;
  const found = attribute(known.kind, runs, values, fleet);
  const changeAtRun = found.atRun ?? found.byScore;
  const ofRun = new Map(runs.map((run, position) => [run, values[position] ?? null]));
  const figures = (part: readonly Observation[]) => {
    const own = part.flatMap((run) => ofRun.get(run) ?? []);
    return { n: own.length, mean: own.length === 0 ? null : own.reduce((a, b) => a + b, 0) / own.length };
  };
  const fallen = compare(runs, changeAtRun, figures);
  const reference = fallen.before.mean ?? (rose ? 1 - bound.mean : bound.mean);
  const lookAt = runs
    .filter((run) => run.index >= changeAtRun && (ofRun.get(run) ?? reference) < reference)
    .slice(0, LOOK_AT_MAX)
    .map((run) => run.runId);
  return {
    ...known,
    change_at_run: changeAtRun,
    change_at: runs.find((r) => r.index === changeAtRun)!.at,
    cause: found.cause,
    checker_pass_rate: compare(runs, changeAtRun, passRate),
    golden: compare(runs, changeAtRun, meanScore),
    evidence: {
      measure,
      measured: compare(runs, changeAtRun, (part) => upright(figures(part), rose)),
      runs: compare(runs, changeAtRun, (part) => part.length),
      scored: compare(runs, changeAtRun, (part) => part.filter((r) => r.score !== null).length),
      verdicts: compare(runs, changeAtRun, (part) => part.filter((r) => r.checkerPass !== null).length),
      regime_from_run: runs[0]!.index,
      judged_at_run: runs.at(-1)!.index,
      change_at_run_interval: found.interval,
      change_at_run_by_score: found.byScore,
      threshold,
      arl,
      baseline: { n: bound.n, mean: bound.mean, bound: bound.value },
      candidates: found.candidates,
      unexplained: found.unexplained,
      paired_outputs: found.paired,
      task_mix: found.taskMix,
      fleet: fleet.filter((f) => found.candidates.some((c) => c.from === f.from && c.to === f.to)),
      look_at: lookAt,
      replay: lookAt[0] === undefined ? null : `loopscope replay ${asArgument(lookAt[0])}`,
    },
  };
}

interface Figures {
  n: number;
  mean: number | null;
}

const upright = ({ n, mean }: Figures, mirrored: boolean): Figures => ({
  n,
  mean: mirrored && mean !== null ? 1 - mean : mean,
});

/** Run ids are the loop's to choose; pasted into a shell they stay one word. */
const asArgument = (text: string): string =>
  /^[\w.:@/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
