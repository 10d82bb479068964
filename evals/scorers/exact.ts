import type { Scorer } from './scorer.ts';

/** Right when the answer is what was expected, character by character. */
export const exact = (): Scorer => (output, expected) => (output === expected ? 1 : 0);
