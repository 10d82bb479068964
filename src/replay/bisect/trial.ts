/**
 * What bisect needs of the world: to play one recorded input with chosen versions and be told how it went.
 */

/** What can be another between two points, in the order in which it is named. */
export const DIMENSIONS = ['model', 'prompt', 'tools', 'checker'] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** A version of each dimension that is varied. */
export type Variant = Readonly<Partial<Record<Dimension, string>>>;

/** What a replay is measured by: our own score of the answer, or whether the checker's verdict agrees with that score. */
export type Measure = 'golden' | 'checker';

export type TrialResult =
  | {
      outcome: 'scored';
      /** In [0, 1]. */
      golden: number;
      /** 1 where the verdict is what the golden score says, 0 where it is not; `null` where nobody judged. */
      checker: number | null;
      /** US dollars; `null` where nobody knows. */
      costUsd: number | null;
      /** Under which the replay can be looked at; '' where it is not kept. */
      replay: string;
    }
  /** No score, which is not a score of 0. `reason` begins with a code. */
  | { outcome: 'failed'; reason: string; costUsd: number | null };

/** Plays input `item` of those at hand with these versions. Never throws but for bugs. */
export type Trial = (variant: Variant, item: number) => Promise<TrialResult>;
