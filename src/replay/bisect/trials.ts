import { seededRandom } from '../../clock.ts';
import type { Measure, Trial, TrialResult, Variant } from './trial.ts';

/**
 * The replays made so far. Every variant plays the same inputs in the same order, so that the nth replay of one and the
 * nth of another are a pair, and none is made twice for another question.
 *
 * The order is drawn: each input once, which is a sample of the loop's inputs; when they are used up, inputs drawn
 * with replacement, which is one of the inputs at hand.
 */
export interface TrialsOptions {
  items: number;
  seed: number;
  replaysMax: number;
  costUsdMax: number;
}

export interface Total {
  n: number;
  sum: number;
}

/** Failures of one variant in a row that end the search: it cannot be played. */
export const FAILED_IN_A_ROW_MAX = 6;

export class Trials {
  replays = 0;
  failed = 0;
  costUsd = 0;
  /** Replays of which nobody knows what they cost. */
  costUnknown = 0;
  readonly failures = new Map<string, number>();
  private readonly trial: Trial;
  private readonly options: TrialsOptions;
  private readonly results = new Map<string, TrialResult[]>();
  private readonly variants = new Map<string, Variant>();
  private readonly totals: Record<Measure, Map<string, Total & { seen: number }>> = {
    golden: new Map(),
    checker: new Map(),
  };
  private readonly order: number[];
  private readonly random: () => number;

  constructor(trial: Trial, options: TrialsOptions) {
    if (!(options.items >= 1)) throw new RangeError(`expected at least one input, got ${options.items}`);
    this.trial = trial;
    this.options = options;
    this.random = seededRandom(options.seed);
    this.order = Array.from({ length: options.items }, (_, i) => i);
    for (let i = this.order.length - 1; i > 0; i--) {
      const j = Math.floor(this.random() * (i + 1));
      [this.order[i], this.order[j]] = [this.order[j]!, this.order[i]!];
    }
  }

  /** Makes the next replay of each of these variants, at the same time. */
  async play(...variants: readonly Variant[]): Promise<void> {
    await Promise.all(
      variants.map(async (variant) => {
        const results = this.of(variant);
        const at = results.length;
        const result = await this.trial(variant, this.itemAt(at));
        results[at] = result;
        this.count(result);
      }),
    );
  }

  /** What the replays of a variant gave, in order. */
  of(variant: Variant): TrialResult[] {
    const key = keyOf(variant);
    const results = this.results.get(key) ?? [];
    this.results.set(key, results);
    this.variants.set(key, variant);
    return results;
  }

  /** How many values of a measure a variant has, and their sum. */
  total(variant: Variant, measure: Measure): Readonly<Total> {
    const totals = this.totals[measure];
    const key = keyOf(variant);
    const total = totals.get(key) ?? { n: 0, sum: 0, seen: 0 };
    totals.set(key, total);
    const results = this.of(variant);
    for (; total.seen < results.length; total.seen++) {
      const value = measured(results[total.seen]!, measure);
      if (value === null) continue;
      total.n++;
      total.sum += value;
    }
    return total;
  }

  /** Every variant that was played, in the order of their first replays. */
  played(): { variant: Variant; results: readonly TrialResult[] }[] {
    return [...this.results]
      .filter(([, results]) => results.length > 0)
      .map(([key, results]) => ({ variant: this.variants.get(key)!, results }));
  }

  /** Whether no replay more may be made. */
  isSpent(): boolean {
    return this.replays >= this.options.replaysMax || this.costUsd >= this.options.costUsdMax;
  }

  /** A variant whose last replays all failed, and why the last one did. */
  unplayable(): { variant: Variant; reason: string } | undefined {
    for (const { variant, results } of this.played()) {
      const last = results.slice(-FAILED_IN_A_ROW_MAX);
      const reasons = last.flatMap((result) => (result.outcome === 'failed' ? [result.reason] : []));
      if (reasons.length === FAILED_IN_A_ROW_MAX) return { variant, reason: reasons.at(-1)! };
    }
    return undefined;
  }

  /** The input at a place in the order. */
  itemAt(at: number): number {
    while (this.order.length <= at) this.order.push(Math.floor(this.random() * this.options.items));
    return this.order[at]!;
  }

  private count(result: TrialResult): void {
    this.replays++;
    if (result.costUsd === null) this.costUnknown++;
    else this.costUsd += result.costUsd;
    if (result.outcome === 'scored') return;
    this.failed++;
    const code = result.reason.split(':', 1)[0]!;
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
  }
}

/** What a replay gave by a measure; `null` where it gave nothing. */
export const measured = (result: TrialResult, measure: Measure): number | null =>
  result.outcome === 'failed' ? null : result[measure];

const keys = new WeakMap<Variant, string>();

function keyOf(variant: Variant): string {
  const key = keys.get(variant) ?? JSON.stringify(Object.entries(variant).sort());
  keys.set(variant, key);
  return key;
}
