import type { Interval } from '../../evals/stats/binomial-interval.ts';
import { extendSequence, sequenceInterval, startSequence } from '../../evals/stats/confidence-sequence.ts';
import { type Bisected, ERROR } from '../replay/bisect/bisect.ts';
import type { Change } from '../replay/bisect/change.ts';
import type { Measure, TrialResult, Variant } from '../replay/bisect/trial.ts';
import { measured, type Trials } from '../replay/bisect/trials.ts';
import { count, decimal, percent, UNKNOWN, usd } from './format.ts';
import type { Column } from './table.ts';

/** What bisect says: a sentence for a person, and what it stands on. */

/** How it ended, in a sentence. */
export function sentenceOf(result: Bisected): string {
  const { outcome, culprits, how, trials, changes, measure, suspicion, unplayable } = result;
  const took = `${count(trials.replays)} ${trials.replays === 1 ? 'replay' : 'replays'}, ${costText(trials)}`;
  switch (outcome) {
    case 'one': {
      const [{ dimension, history }] = culprits as [Change];
      return `it was the ${dimension}: ${history[0]} → ${history.at(-1)}${between(history)}, ${took}`;
    }
    case 'together':
      return `not one change alone: ${culprits.map(({ dimension }) => dimension).join(' and ')} ${HOW[how ?? 'add']}, ${took}`;
    case 'more':
      return `not one change alone: no single one of ${changes.list.map(({ dimension }) => dimension).join(', ')} explains it, ${took}`;
    case 'not_reproduced':
      return `does not reproduce: ${pointsText(result)}, which rules out the fall that is on record, ${took}`;
    case 'not_shown':
      return `not shown: ${pointsText(result)}, too near to each other for so few, ${took}`;
    case 'undecided': {
      const most = suspicion.indexOf(Math.max(...suspicion));
      const likely = `the likeliest is ${changes.list[most]!.dimension} (${percent(suspicion[most])})`;
      return `not decided: it reproduces by ${MEASURES[measure]}, and no change is shown to be behind it; ${likely}, ${took}`;
    }
    case 'unplayable':
      return `cannot be replayed with ${versionsText(unplayable!.variant)}: ${unplayable!.reason}, ${took}`;
  }
}

const HOW = {
  both: 'only together',
  either: 'each, either is enough',
  add: 'together, each does a part',
} as const;

export const MEASURES: Readonly<Record<Measure, string>> = {
  golden: 'golden score',
  checker: "the checker's agreement with the golden score",
};

const between = ({ length }: readonly string[]) =>
  length > 2 ? ` (somewhere in ${count(length - 1)} steps)` : '';

const pointsText = ({ trials, changes, measure }: Bisected): string => {
  const mean = (variant: Variant) => {
    const { n, sum } = trials.total(variant, measure);
    return n === 0 ? UNKNOWN : decimal(sum / n);
  };
  return `replayed, the good point scores ${mean(changes.good)} and the bad one ${mean(changes.bad)}`;
};

export const costText = ({ costUsd, costUnknown, replays }: Trials): string =>
  costUnknown === replays && replays > 0
    ? 'cost unknown'
    : `${costUnknown > 0 ? 'at least ' : ''}${usd(costUsd)}`;

/** `model a, prompt b` */
export const versionsText = (variant: Variant): string =>
  Object.entries(variant)
    .map(([dimension, version]) => `${dimension} ${version}`)
    .join(', ');

/** What was played with a set of versions, and what came of it. Intervals hold at all times at once, 95 % each. */
export interface VariantRow {
  name: string;
  versions: Variant;
  replays: number;
  failed: number;
  golden: Estimate | null;
  checker: Estimate | null;
  cost_usd: number | null;
}

export interface Estimate {
  mean: number;
  low: number;
  high: number;
  n: number;
}

export const variantRows = ({ trials, changes }: Bisected): VariantRow[] =>
  trials.played().map(({ variant, results }) => ({
    name: nameOf(variant, changes.list),
    versions: variant,
    replays: results.length,
    failed: results.filter(({ outcome }) => outcome === 'failed').length,
    golden: estimate(results, 'golden'),
    checker: estimate(results, 'checker'),
    cost_usd: results.every(({ costUsd }) => costUsd === null)
      ? null
      : results.reduce((sum, { costUsd }) => sum + (costUsd ?? 0), 0),
  }));

/** A variant by what is other in it than at the good point. */
function nameOf(variant: Variant, list: readonly Change[]): string {
  const moved = list.filter(({ dimension, history }) => variant[dimension] !== history[0]);
  if (moved.length === 0) return 'good point';
  const isWhole = moved.every(({ dimension, history }) => variant[dimension] === history.at(-1));
  if (moved.length === list.length && isWhole) return 'bad point';
  const name = ({ dimension, history }: Change) =>
    variant[dimension] === history.at(-1) ? dimension : `${dimension} ${variant[dimension]}`;
  return `good point with ${moved.map(name).join(', ')}`;
}

function estimate(results: readonly TrialResult[], measure: Measure): Estimate | null {
  let sequence = startSequence(ERROR);
  for (const result of results) {
    const value = measured(result, measure);
    if (value !== null) sequence = extendSequence(sequence, value);
  }
  const interval: Interval | undefined = sequenceInterval(sequence);
  return interval ? { mean: sequence.sum / sequence.n, ...interval, n: sequence.n } : null;
}

export const COLUMNS: readonly Column<VariantRow>[] = [
  { header: 'replayed as', cell: ({ name }) => name },
  { header: 'replays', align: 'right', cell: ({ replays }) => count(replays) },
  {
    header: 'failed',
    align: 'right',
    cell: ({ failed }) => ({ text: count(failed), style: failed > 0 ? 'red' : undefined }),
  },
  { header: 'golden', cell: ({ golden }) => estimateText(golden) },
  { header: 'checker agrees', cell: ({ checker }) => estimateText(checker) },
  { header: 'cost', align: 'right', cell: ({ cost_usd }) => usd(cost_usd) },
];

const estimateText = (value: Estimate | null): string =>
  value ? `${decimal(value.mean)} (${decimal(value.low)}–${decimal(value.high)}, n=${value.n})` : UNKNOWN;

/** Of the variants that decided, the two replays of one input that are furthest apart, the better one first. */
export function decidingReplays({ decided, trials, measure }: Bisected): [string, string] | undefined {
  if (!decided) return undefined;
  const [higher, lower] = decided.map((variant) => trials.of(variant)) as [TrialResult[], TrialResult[]];
  let best: [string, string] | undefined;
  let most = 0;
  for (let i = 0; i < Math.min(higher.length, lower.length); i++) {
    const [a, b] = [higher[i]!, lower[i]!];
    if (a.outcome !== 'scored' || b.outcome !== 'scored') continue;
    const apart = (measured(a, measure) ?? 0) - (measured(b, measure) ?? 0);
    if (apart <= most || a.replay === '' || b.replay === '') continue;
    most = apart;
    best = [a.replay, b.replay];
  }
  return best;
}
