/** What a scorer may know of the golden item besides what was expected. */
export interface ScoredItem {
  id: string;
  input: string;
  tags: readonly string[];
}

/**
 * Holds an answer against what was expected: 1 is right, 0 is wrong, what lies between is partly right.
 * Throws where it cannot tell, which is recorded as an error and never as a score of 0.
 */
export interface Scorer {
  (output: string, expected: string, item?: ScoredItem): number | Promise<number>;
  /** Lets go of what the scorer holds. */
  close?: () => Promise<void>;
}
