/** What a scorer may know of the golden item besides what was expected, and of the run that answered it. */
export interface ScoredItem {
  id: string;
  input: string;
  tags: readonly string[];
  /** The model that made the answer; absent where nobody knows. */
  servedModel?: string;
}

/**
 * Holds an answer against what was expected: 1 is right, 0 is wrong, what lies between is partly right.
 * Throws where it cannot tell, which is recorded as an error and never as a score of 0.
 */
export interface Scorer {
  (output: string, expected: string, item?: ScoredItem): number | Promise<number>;
  /** The same with its grounds, where the scorer has more to say than a number. */
  explained?: (output: string, expected: string, item?: ScoredItem) => Scored | Promise<Scored>;
  /** Answers that it scores at the same time without harm; one where it does not say. */
  atOnceMax?: number;
  /** Lets go of what the scorer holds, and cuts off what is under way. */
  close?: () => Promise<void>;
}

/** A score and its grounds. */
export interface Scored {
  score: number;
  /** Why, in a few words; '' where there is nothing to say. */
  reason: string;
  /** What a reader should count: `order_disagreement`, `timeout`, `not_isolated`. */
  flags?: readonly string[];
  usage?: ScorerUsage;
}

/** What a judge took. */
export interface ScorerUsage {
  calls: number;
  inputTokens: number;
  outputTokens: number;
}

/** As much of a reason as is kept. */
export const REASON_LENGTH_MAX = 1_000;

/** A scorer of a function that explains itself. */
export function explaining(
  explained: (output: string, expected: string, item?: ScoredItem) => Scored | Promise<Scored>,
  more: Pick<Scorer, 'atOnceMax' | 'close'> = {},
): Scorer {
  const scorer: Scorer = async (output, expected, item) => (await explained(output, expected, item)).score;
  scorer.explained = async (output, expected, item) => {
    const scored = await explained(output, expected, item);
    return { ...scored, reason: scored.reason.slice(0, REASON_LENGTH_MAX) };
  };
  return Object.assign(scorer, more);
}

/** Why there is no score, by a code that can be counted. */
export class ScorerError extends Error {
  override readonly name = 'ScorerError';
  readonly code: ScorerErrorCode;

  constructor(code: ScorerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export type ScorerErrorCode =
  /** The golden data or the answer is not of a kind that this scorer can hold against another. */
  | 'golden_unusable'
  | 'answer_too_large'
  /** The judge: no key, its family is the maker's, it declined, was cut short, gave no verdict, did not answer. */
  | 'judge_key_missing'
  | 'judge_same_family'
  | 'judge_refused'
  | 'judge_cut_short'
  | 'judge_unparsable'
  | 'judge_rejected'
  | 'judge_unreachable'
  | 'judge_timeout'
  /** The command: this machine cannot shut it in, it cannot be started, it named no score; or scoring was stopped. */
  | 'sandbox_unavailable'
  | 'command_not_run'
  | 'command_gave_no_score'
  | 'scoring_stopped';
