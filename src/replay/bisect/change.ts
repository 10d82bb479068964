import type { Dimension, Variant } from './trial.ts';

/**
 * What differs between a good and a bad point, and the variants between the two: each change made or not, so that with k
 * changes there are 2^k. A set of changes is a bit mask, bit i for the i-th change; 0 is the good point.
 */
export interface Change {
  dimension: Dimension;
  /** Its versions in the order in which they were in force, from the good point's to the bad one's; at least two. */
  history: readonly string[];
  /** How likely it is thought to be the cause, before any replay; relative to the others. */
  weight?: number;
}

export class Changes {
  readonly list: readonly Change[];
  /** By mask. */
  readonly variants: readonly Variant[];
  private readonly masks: ReadonlyMap<Variant, number>;

  /** Throws where there is nothing to tell apart: no change, or one from a version to itself. */
  constructor(list: readonly Change[]) {
    if (list.length === 0 || list.some(({ history }) => history.length < 2 || history[0] === history.at(-1)))
      throw new RangeError('expected at least one change, each between two versions');
    this.list = list;
    this.variants = Array.from({ length: 2 ** list.length }, (_, mask) =>
      Object.fromEntries(
        list.map(({ dimension, history }, i) => [dimension, mask & (1 << i) ? history.at(-1)! : history[0]!]),
      ),
    );
    this.masks = new Map(this.variants.map((variant, mask) => [variant, mask]));
  }

  get good(): Variant {
    return this.variants[0]!;
  }

  get bad(): Variant {
    return this.variants.at(-1)!;
  }

  /** The good point with only these changes made. */
  only(mask: number): Variant {
    return this.variants[mask]!;
  }

  /** The bad point with only these changes taken back. */
  without(mask: number): Variant {
    return this.variants[this.variants.length - 1 - mask]!;
  }

  /** The changes a variant has made. Throws for a variant of another set of changes. */
  maskOf(variant: Variant): number {
    const mask = this.masks.get(variant);
    if (mask === undefined) throw new RangeError('expected a variant of these changes');
    return mask;
  }
}
