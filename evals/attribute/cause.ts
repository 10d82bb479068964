/** What the detector can say has changed, and what attribution says of why. */

/** What the series that changed measures. */
export type Kind = 'golden_drop' | 'golden_rise' | 'checker_drift' | 'no_effect' | 'output_collapse';

export type Dimension = 'model' | 'prompt' | 'tools' | 'checker' | 'dataset' | 'tasks';

/** Versions before and after; '' where there is none to name. For `tasks`, the mix before and after. */
export interface Cause {
  dimension: Dimension;
  from: string;
  to: string;
}

/** Something that changed, and how well it explains what the runs show. */
export interface Candidate extends Cause {
  /** First run of the new version. */
  at_run: number;
  /** Log-likelihood of the change being there, relative to the likeliest cut: 0 is best. */
  log_likelihood: number;
  /** Posterior probability of being the cause, by all the evidence. */
  probability: number;
}

/** Pairs of runs with the same input and the byte-identical answer, one before and one after. */
export interface PairedOutputs {
  /** What was judged of the answers: by the golden data, or by the checker. */
  of: 'score' | 'verdict';
  pairs: number;
  /** Pairs judged better before, and those judged better after. */
  worse: number;
  better: number;
  /** Exact two-sided McNemar test of "as many one way as the other"; null without a pair that differs. */
  p_value: number | null;
}

/** The fall, parted into what the tasks' own levels did and what their mix did (Kitagawa 1955). */
export interface TaskMix {
  /** Their sum is the mean after minus the mean before. */
  within: number;
  mix: number;
  /** Permutation tests: of the same mix before and after, and of the same levels before and after. */
  mix_p_value: number;
  within_p_value: number;
}

/**
 * The other loops around a candidate change of model: those that moved to the new model within the window, those
 * that did not, and how many of each fell within it.
 */
export interface FleetEvidence {
  from: string;
  to: string;
  moved: number;
  moved_fell: number;
  stayed: number;
  stayed_fell: number;
}
