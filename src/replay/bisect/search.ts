import { logBeta } from '../../../evals/stats/count-evidence.ts';
import { logSumExp } from '../../../evals/stats/stratified-change.ts';
import type { Contrast } from './contrast.ts';
import type { Measure, Variant } from './trial.ts';
import type { Total, Trials } from './trials.ts';

/**
 * Which of several explanations holds, with few replays.
 *
 * Two things are kept apart. What to play next is chosen by a posterior over the explanations: each says which variants
 * score alike (its classes), and is weighed by how well one rate a class fits the replays, the rates integrated out
 * (a score between 0 and 1 counts as that share of a success). While none is likely, the variant is played whose next
 * result is expected to tell most; once one is, what it still has to show. What is *said* rests on none of this: an
 * explanation is decided when its claims hold, each of which is a test of its own with a stated error (contrast.ts).
 */
export interface Explanation {
  prior: number;
  /** Variants of one class score alike. */
  classOf(variant: Variant): string;
  /** What has to be shown; of each list one is enough. None: it can be suspected and not be shown. */
  claims: readonly (readonly Contrast[])[];
}

/** So likely an explanation is before it is asked to prove itself. */
const LIKELY = 0.6;
/** A variant of which claims are made is worth so much more than one that only tells explanations apart. */
const REUSE = 1.35;

export interface Searched<E> {
  outcome: 'decided' | 'spent' | 'unplayable';
  /** The likeliest; the one that was shown where the outcome is `decided`. */
  best: E;
  /** In the order of the explanations. */
  posterior: number[];
}

/** Plays variants until an explanation is shown, the budget is spent or a variant cannot be played. */
export async function search<E extends Explanation>(
  explanations: readonly E[],
  candidates: readonly Variant[],
  { trials, measure }: { trials: Trials; measure: Measure },
): Promise<Searched<E>> {
  const claimed = new Set(
    explanations.flatMap(({ claims }) => claims.flat()).flatMap(({ higher, lower }) => [higher, lower]),
  );
  const played = trials.played().map(({ variant }) => variant);
  const weighing = new Weighing(explanations, [...new Set([...candidates, ...claimed, ...played])]);
  for (;;) {
    const posterior = weighing.weigh(trials, measure);
    const at = posterior.indexOf(Math.max(...posterior));
    const best = explanations[at]!;
    const open = best.claims.find((either) => !either.some((contrast) => contrast.holds(trials)));
    if (best.claims.length > 0 && !open) return { outcome: 'decided', best, posterior };
    if (trials.unplayable()) return { outcome: 'unplayable', best, posterior };
    if (trials.isSpent()) return { outcome: 'spent', best, posterior };
    const isClaim = open && posterior[at]! >= LIKELY;
    await trials.play(
      ...(isClaim ? nearest(open).next(trials) : [mostTelling(candidates, claimed, weighing)]),
    );
  }
}

/** The contrast with the most evidence so far. */
const nearest = (either: readonly Contrast[]): Contrast =>
  either.reduce((a, b) => (b.evidence.log > a.evidence.log ? b : a));

/** The variant whose next result is expected to tell most of which explanation holds. */
function mostTelling(
  candidates: readonly Variant[],
  claimed: ReadonlySet<Variant>,
  weighing: Weighing,
): Variant {
  let best = candidates[0]!;
  let most = -1;
  for (const variant of candidates) {
    const gain = weighing.gain(variant) * (claimed.has(variant) ? REUSE : 1);
    if (gain > most) {
      most = gain;
      best = variant;
    }
  }
  return best;
}

/** Jeffreys' prior of the rate of a class. */
const BEFORE_ANY = logBeta(0.5, 0.5);

/** The posterior over the explanations, and what it expects of a variant. */
class Weighing {
  private readonly explanations: readonly Explanation[];
  private readonly places: ReadonlyMap<Variant, number>;
  /** Of each explanation the class of each variant, by its place. */
  private readonly classes: readonly (readonly number[])[];
  /** Of each explanation and class, how many values it has and their sum. */
  private readonly counts: readonly Total[][];
  private posterior: number[] = [];

  constructor(explanations: readonly Explanation[], variants: readonly Variant[]) {
    this.explanations = explanations;
    this.places = new Map(variants.map((variant, place) => [variant, place]));
    this.classes = explanations.map(({ classOf }) => {
      const names = variants.map(classOf);
      const known = [...new Set(names)];
      return names.map((name) => known.indexOf(name));
    });
    this.counts = this.classes.map((classes) =>
      Array.from({ length: Math.max(...classes) + 1 }, () => ({ n: 0, sum: 0 })),
    );
  }

  /** By the replays there are. */
  weigh(trials: Trials, measure: Measure): number[] {
    const totals = [...this.places.keys()].map((variant) => trials.total(variant, measure));
    const weights = this.explanations.map(({ prior }, i) => {
      const counts = this.counts[i]!;
      const classes = this.classes[i]!;
      for (const count of counts) count.n = count.sum = 0;
      totals.forEach(({ n, sum }, place) => {
        const count = counts[classes[place]!]!;
        count.n += n;
        count.sum += sum;
      });
      let log = Math.log(prior);
      for (const { n, sum } of counts) if (n > 0) log += logBeta(0.5 + sum, 0.5 + n - sum) - BEFORE_ANY;
      return log;
    });
    const total = logSumExp(weights);
    this.posterior = weights.map((weight) => Math.exp(weight - total));
    return this.posterior;
  }

  /** How much the next result of a variant is expected to tell, in nats. */
  gain(variant: Variant): number {
    const place = this.places.get(variant)!;
    let mean = 0;
    let within = 0;
    this.posterior.forEach((weight, i) => {
      const { n, sum } = this.counts[i]![this.classes[i]![place]!]!;
      const rate = (sum + 0.5) / (n + 1);
      mean += weight * rate;
      within += weight * entropy(rate);
    });
    return entropy(mean) - within;
  }
}

const entropy = (p: number): number => (p <= 0 || p >= 1 ? 0 : -p * Math.log(p) - (1 - p) * Math.log1p(-p));
