import { addPair, isEnough, noPairs, type PairedEvidence } from '../../../evals/stats/paired-evidence.ts';
import type { Measure, Variant } from './trial.ts';
import { measured, type Trials } from './trials.ts';

/**
 * "One variant scores higher than another", tested over the inputs that both have played. A replay that failed leaves
 * its pair out. The evidence is kept up as replays come: each pair is looked at once, in order.
 */
export class Contrast {
  readonly higher: Variant;
  readonly lower: Variant;
  /** With what chance it may be wrong. */
  readonly error: number;
  readonly evidence: PairedEvidence = noPairs();
  private readonly measure: Measure;
  private readonly shift: number;
  private seen = 0;

  /** `shift` tests "higher by more than that"; below 0, "lower by less than that". */
  constructor(higher: Variant, lower: Variant, options: { measure: Measure; error: number; shift?: number }) {
    this.higher = higher;
    this.lower = lower;
    this.measure = options.measure;
    this.error = options.error;
    this.shift = options.shift ?? 0;
  }

  /** Whether it is shown by the replays there are. */
  holds(trials: Trials): boolean {
    const higher = trials.of(this.higher);
    const lower = trials.of(this.lower);
    for (; this.seen < Math.min(higher.length, lower.length); this.seen++) {
      const above = measured(higher[this.seen]!, this.measure);
      const below = measured(lower[this.seen]!, this.measure);
      // Moved and scaled so that it stays in [−1, 1].
      if (above !== null && below !== null)
        addPair(this.evidence, (above - below - this.shift) / (1 + Math.abs(this.shift)));
    }
    return isEnough(this.evidence, this.error);
  }

  /** The variants to play for the next pair: the one that lags behind, or both. */
  next(trials: Trials): Variant[] {
    const higher = trials.of(this.higher).length;
    const lower = trials.of(this.lower).length;
    if (higher === lower) return [this.higher, this.lower];
    return [higher < lower ? this.higher : this.lower];
  }
}
