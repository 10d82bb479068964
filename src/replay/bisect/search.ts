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
    explanations.flatMap(({ claims }) => claims.flat()).flatMap((c) => [c.higher, c.lower]),
  );
  for (;;) {
    const model = fit(explanations, trials, measure);
    const { posterior } = model;
    const at = posterior.indexOf(Math.max(...posterior));
    const best = explanations[at]!;
    const open = best.claims.find((either) => !either.some((contrast) => contrast.holds(trials)));
    if (best.claims.length > 0 && !open) return { outcome: 'decided', best, posterior };
    if (trials.unplayable()) return { outcome: 'unplayable', best, posterior };
    if (trials.isSpent()) return { outcome: 'spent', best, posterior };
    const isClaim = open && posterior[at]! >= LIKELY;
    await trials.play(
      ...(isClaim ? nearest(open).next(trials) : [mostTelling(candidates, explanations, model, claimed)]),
    );
  }
}

/** The contrast with the most evidence so far. */
const nearest = (either: readonly Contrast[]): Contrast =>
  either.reduce((a, b) => (b.evidence.log > a.evidence.log ? b : a));

/** Jeffreys' prior of a class's rate. */
const BEFORE_ANY = logBeta(0.5, 0.5);

interface Fit {
  posterior: number[];
  /** Of each explanation, what its classes have scored. */
  counts: Map<string, Total>[];
}

function fit(explanations: readonly Explanation[], trials: Trials, measure: Measure): Fit {
  const played = trials.played().map(({ variant }) => ({ variant, total: trials.total(variant, measure) }));
  const counts = explanations.map(({ classOf }) => {
    const classes = new Map<string, Total>();
    for (const { variant, total } of played) {
      const name = classOf(variant);
      const count = classes.get(name) ?? { n: 0, sum: 0 };
      classes.set(name, { n: count.n + total.n, sum: count.sum + total.sum });
    }
    return classes;
  });
  const weights = explanations.map(({ prior }, i) => {
    let log = Math.log(prior);
    for (const { n, sum } of counts[i]!.values()) log += logBeta(0.5 + sum, 0.5 + n - sum) - BEFORE_ANY;
    return log;
  });
  const total = logSumExp(weights);
  return { counts, posterior: weights.map((weight) => Math.exp(weight - total)) };
}

/** The variant whose next result is expected to tell most of which explanation holds, in nats. */
function mostTelling(
  candidates: readonly Variant[],
  explanations: readonly Explanation[],
  { posterior, counts }: Fit,
  claimed: ReadonlySet<Variant>,
): Variant {
  let best = candidates[0]!;
  let most = -1;
  for (const variant of candidates) {
    let mean = 0;
    let within = 0;
    explanations.forEach(({ classOf }, i) => {
      const { n, sum } = counts[i]!.get(classOf(variant)) ?? { n: 0, sum: 0 };
      const rate = (sum + 0.5) / (n + 1);
      mean += posterior[i]! * rate;
      within += posterior[i]! * entropy(rate);
    });
    const gain = (entropy(mean) - within) * (claimed.has(variant) ? REUSE : 1);
    if (gain > most) {
      most = gain;
      best = variant;
    }
  }
  return best;
}

const entropy = (p: number): number => (p <= 0 || p >= 1 ? 0 : -p * Math.log(p) - (1 - p) * Math.log1p(-p));
