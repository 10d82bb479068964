/** What the detector says of a loop. */

export type Dimension = 'model' | 'prompt' | 'tools' | 'checker';

export interface Cause {
  dimension: Dimension;
  from: string;
  to: string;
}

/** A version change that the scores do not speak against as the moment of the change. */
export interface Candidate extends Cause {
  /** First run of the new version. */
  at_run: number;
  /** Log-likelihood of the change being there, relative to the likeliest cut: 0 is best. */
  log_likelihood: number;
}

export interface BeforeAfter<T> {
  before: T;
  after: T;
}

/** An alarm, with the names of `backtest --json`. */
export interface Alarm {
  kind: 'golden_drop' | 'golden_rise';
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
  /** Runs, scored runs and verdicts that the figures before and after the change stand on. */
  runs: BeforeAfter<number>;
  scored: BeforeAfter<number>;
  verdicts: BeforeAfter<number>;
  /** First and last run of the support region of the change, and where the scores alone would put it. */
  change_at_run_interval: [number, number];
  change_at_run_by_score: number;
  /** What `e_value` had to reach, and the average run length to a false alarm that this guarantees. */
  threshold: number;
  arl: number;
  /** What the loop was held against: its own scores, their mean, and the bound the bets were laid on. */
  baseline: { n: number; mean: number; bound: number };
  candidates: Candidate[];
  /** Runs to look at: scored after the change and on the wrong (after a rise: the better) side of the mean before. */
  look_at: string[];
}
