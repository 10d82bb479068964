import { type Change, Changes } from './change.ts';
import { Contrast } from './contrast.ts';
import { type Cause, causesOf } from './explanations.ts';
import { historyOf } from './history.ts';
import { search } from './search.ts';
import type { Measure, Trial, Variant } from './trial.ts';
import { Trials } from './trials.ts';

/**
 * Finds the change that made a loop worse between a good and a bad point, by replaying the same inputs with its changes
 * made and taken back. Answers vary, so that nothing is said on a single replay:
 *
 * 1. The good point has to score higher than the bad one when replayed (at `error`, shared by the measures that are
 *    looked at). A fall as large as the records show is ruled out, where one is known: "does not reproduce".
 * 2. Which changes explain it is searched for, and shown at `error` (explanations.ts).
 * 3. Where the change has several versions behind it, the step at which it fell is searched for among them (history.ts).
 *
 * All tests are betting ones on pairs, valid at every moment (evals/stats/paired-evidence.ts): looking after each replay,
 * and choosing the next one by what was seen, costs nothing of the error. The good and the bad point's replays serve every
 * later comparison with them. A replay that failed is counted and is no score.
 *
 * Measured (test/unit/bisect-simulated.test.ts: four changes, 100 loops each, answers that vary as coins do): the one behind a
 * fall from .84 to .50 is named in 100 of 100 with 144 to 155 replays, from .90 to .70 in 99 to 100 with 301 to 320; trying all
 * to the same certainty takes 360 to 430, and 690 to 860.
 */
export interface BisectOptions {
  changes: readonly Change[];
  trial: Trial;
  /** Inputs at hand: recorded runs. */
  items: number;
  /** What to look at; the first to fall is what is searched with. */
  measures: readonly Measure[];
  /** How far it fell by the records. */
  recordedFall?: number;
  /** Chance to be wrong, of each kind of statement. */
  error?: number;
  seed: number;
  replaysMax: number;
  costUsdMax?: number;
  onProgress?: (progress: Progress) => void;
}

export interface Progress {
  stage: 'reproduce' | 'search' | 'history';
  replays: number;
  costUsd: number;
}

export const ERROR = 0.05;
/** Of the replays, so many at most are spent on whether there is a fall at all. */
const REPRODUCE_SHARE = 0.6;

export type Outcome =
  /** One change explains it; two do together; none does alone. */
  | 'one'
  | 'together'
  | 'more'
  /** The recorded fall is ruled out; or none could be shown. */
  | 'not_reproduced'
  | 'not_shown'
  /** It reproduces, and the replays were used up before it was known why. */
  | 'undecided'
  /** A variant fails whenever it is played. */
  | 'unplayable';

export interface Bisected {
  outcome: Outcome;
  measure: Measure;
  /** What is named, narrowed to a step where that was found; empty where nothing is. */
  culprits: readonly Change[];
  how: Cause['how'];
  /** What each change is thought to be, where nothing was shown: the posterior that it alone explains the fall. */
  suspicion: readonly number[];
  /** The two variants whose difference decided, the higher first. */
  decided: readonly [Variant, Variant] | undefined;
  unplayable: { variant: Variant; reason: string } | undefined;
  changes: Changes;
  trials: Trials;
}

/** Searches. Throws for changes that are none, and what `trial` throws. */
export async function bisect(options: BisectOptions): Promise<Bisected> {
  const { replaysMax, costUsdMax = Number.POSITIVE_INFINITY, items, seed, onProgress } = options;
  const error = options.error ?? ERROR;
  const changes = new Changes(options.changes);
  let stage: Progress['stage'] = 'reproduce';
  const told: Trial = async (variant, item) => {
    const result = await options.trial(variant, item);
    onProgress?.({ stage, replays: trials.replays + 1, costUsd: trials.costUsd });
    return result;
  };
  const trials = new Trials(told, { items, seed, replaysMax, costUsdMax });
  const end = (outcome: Outcome, more: Partial<Bisected> = {}): Bisected => ({
    outcome,
    measure: options.measures[0]!,
    culprits: [],
    how: undefined,
    suspicion: [],
    decided: undefined,
    unplayable: trials.unplayable(),
    changes,
    trials,
    ...more,
  });

  const reproduced = await reproduce(changes, trials, { ...options, error });
  if ('outcome' in reproduced) return end(reproduced.outcome);
  const { measure } = reproduced;

  stage = 'search';
  const causes = causesOf(changes, { measure, error });
  const searched = await search(causes, changes.variants.slice(1, -1), { trials, measure });
  const { best, posterior } = searched;
  if (searched.outcome !== 'decided')
    return end(searched.outcome === 'spent' ? 'undecided' : 'unplayable', {
      measure,
      suspicion: posterior.slice(0, changes.list.length),
    });
  const named = changes.list.filter((_, i) => best.mask & (1 << i));
  const decided = [changes.without(best.mask), changes.only(best.mask)] as const;
  const [culprit] = named;
  if (best.kind !== 'one' || culprit!.history.length === 2)
    return end(best.kind, { measure, culprits: best.kind === 'more' ? [] : named, how: best.how, decided });

  stage = 'history';
  const { variants, explanations } = historyOf(changes, changes.list.indexOf(culprit!), { measure, error });
  const stepped = await search(explanations, variants.slice(1, -1), { trials, measure });
  if (stepped.outcome !== 'decided') return end('one', { measure, culprits: named, decided });
  const { from, to } = stepped.best;
  const at = explanations.indexOf(stepped.best);
  return end('one', {
    measure,
    culprits: [{ ...culprit!, history: [from, to] }],
    decided: [variants[at]!, variants[at + 1]!],
  });
}

type Reproduced = { measure: Measure } | { outcome: 'not_reproduced' | 'not_shown' | 'unplayable' };

/** Plays the good and the bad point until one of the measures is shown to have fallen, or cannot be. */
async function reproduce(
  { good, bad, list }: Changes,
  trials: Trials,
  { measures, recordedFall, replaysMax, error }: BisectOptions & { error: number },
): Promise<Reproduced> {
  const share = error / measures.length;
  const falls = measures.map((measure) => new Contrast(good, bad, { measure, error: share }));
  const [measure] = measures;
  // "The bad point is lower by less than the records show."
  const refuted =
    measures.length === 1 && recordedFall !== undefined && recordedFall > 0
      ? new Contrast(bad, good, { measure: measure!, error, shift: -recordedFall })
      : undefined;
  const enough = list.length === 1 ? replaysMax : replaysMax * REPRODUCE_SHARE;
  for (;;) {
    const fallen = falls.findIndex((fall) => fall.holds(trials));
    if (fallen >= 0) return { measure: measures[fallen]! };
    if (refuted?.holds(trials)) return { outcome: 'not_reproduced' };
    if (trials.unplayable()) return { outcome: 'unplayable' };
    if (trials.isSpent() || trials.replays >= enough) return { outcome: 'not_shown' };
    await trials.play(good, bad);
  }
}
