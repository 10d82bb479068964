import { seededRandom } from '../../src/clock.ts';
import { contentHash } from '../../src/records/normalize.ts';

/** Draws from one reproducible stream. */
export interface Draw {
  /** True with this probability. */
  chance(p: number): boolean;
  /** A whole number, both ends included. */
  int(from: number, to: number): number;
  pick<const A extends readonly [unknown, ...unknown[]]>(from: A): A[number];
  /** As many different ones, in drawn order. */
  sample<T>(from: readonly T[], count: number): T[];
}

/** A stream of its own for each name, so that a change to one loop leaves the others as they are. */
export function drawFor(seed: number, name: string): Draw {
  const random = seededRandom(Number.parseInt(contentHash(`${seed}/${name}`).slice(0, 8), 16));
  const int = (from: number, to: number) => from + Math.floor(random() * (to - from + 1));
  return {
    int,
    chance: (p) => random() < p,
    pick: (from) => from[int(0, from.length - 1)]!,
    sample(from, count) {
      const left = [...from];
      const drawn = Math.min(count, left.length);
      // Fisher and Yates, as far as it is needed.
      for (let i = 0; i < drawn; i++) {
        const j = int(i, left.length - 1);
        [left[i], left[j]] = [left[j]!, left[i]!];
      }
      return left.slice(0, drawn);
    },
  };
}
