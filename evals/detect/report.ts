/** What the detector says of a loop. */

import type { Candidate, Cause, FleetEvidence, Kind, PairedOutputs, TaskMix } from '../attribute/cause.ts';
import type { Measure } from './measures.ts';

export type { Candidate, Cause, Dimension, Kind } from '../attribute/cause.ts';

export interface BeforeAfter<T> {
  before: T;
  after: T;
}

/** An alarm, with the names of `backtest --json`. */
export interface Alarm {
  kind: Kind;
  /** Index among all the loop's runs, scored or not. */
  at_run: number;
  at: string;
  change_at_run: number;
  change_at: string;
  cause: Cause | null;
  e_value: number;
  /** Shares of the verdicts that passed; null where there was no verdict. */
  checker_pass_rate: BeforeAfter<number | null>;
  /** Mean golden scores; null where no run was scored. */
  golden: BeforeAfter<number | null>;
  evidence: Evidence;
}

export interface Evidence {
  /** What fell or rose (measures.ts), how many of the runs have a value of it, and their means. */
  measure: Measure;
  measured: BeforeAfter<{ n: number; mean: number | null }>;
  /** Runs, scored runs and verdicts that the figures before and after the change stand on. */
  runs: BeforeAfter<number>;
  scored: BeforeAfter<number>;
  verdicts: BeforeAfter<number>;
  /** First run that was looked at, and the last: the alarm's, or a later one where it was judged again. */
  regime_from_run: number;
  judged_at_run: number;
  /** Runs between which the measure alone puts the change with 95 % probability, and where it puts it. */
  change_at_run_interval: [number, number];
  change_at_run_by_score: number;
  /** What `e_value` had to reach, and the average run length to a false alarm that this guarantees. */
  threshold: number;
  arl: number;
  /** What the loop was held against: its own scores, their mean, and the bound the bets were laid on. */
  baseline: { n: number; mean: number; bound: number };
  candidates: Candidate[];
  /** Probability that it was none of the candidates. */
  unexplained: number;
  /** The same answers judged before and after; what the shift of the tasks did; what other loops did. */
  paired_outputs: PairedOutputs[];
  task_mix: TaskMix | null;
  fleet: FleetEvidence[];
  /** What fell by the same change as well; absent where nothing did. */
  joined?: Joined[];
  /** Runs to look at: after the change and on the wrong (after a rise: the better) side of the mean before. */
  look_at: string[];
  /** Command that replays the first of them; null without one. */
  replay: string | null;
}

/** A measure of another kind that fell by the change an alarm tells of, and when that was found. */
export interface Joined {
  kind: Kind;
  at: string;
  at_run: number;
  e_value: number;
}
