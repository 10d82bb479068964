import { fallP, pairsNeeded } from './paired-test.ts';
import type { ItemScore, ScoreSet } from './score-set.ts';

/**
 * Holds a scoring of a suite against an earlier one, item by item. Only items that both scored, with the same expected
 * answer, say anything of a change; everything else is counted and named, since a regression can hide in what was
 * not answered.
 */
export interface Comparison {
  verdict: Verdict;
  /** Chance that a change that does nothing is called a regression, at most. */
  error: number;
  /** `null` where no item differs. */
  p_value: number | null;
  /** Items compared, and their means before and now; `null` where there are none. */
  pairs: number;
  pairs_needed: number;
  mean_before: number | null;
  mean_now: number | null;
  /** Items that fell and rose, the furthest first. */
  fell: ItemChange[];
  rose: ItemChange[];
  /** Items of which a run could not be scored now, and those that the baseline has and nobody answered. */
  failed: { item: string; error: string }[];
  missing: string[];
  /** Items that the baseline has no score of, and those of which something else was expected then. */
  added: number;
  redefined: number;
}

/**
 * `regressed` and `no_regression` are what the test says. `too_few`: with so few items in common no outcome could have
 * been a regression. `nothing_to_compare`: none in common.
 */
export type Verdict = 'regressed' | 'no_regression' | 'too_few' | 'nothing_to_compare';

export interface ItemChange {
  item: string;
  before: number;
  now: number;
  reason: string;
}

export function compare(baseline: ScoreSet, current: ScoreSet, error: number): Comparison {
  const before = byItem(baseline.scores);
  const now = byItem(current.scores);
  const changes: ItemChange[] = [];
  const failed: Comparison['failed'] = [];
  let added = 0;
  let redefined = 0;
  for (const [item, { mean, expected, error: why, reason }] of now) {
    const then = before.get(item);
    if (why !== undefined) failed.push({ item, error: why });
    if (mean === undefined) continue;
    if (then?.mean === undefined) added++;
    else if (expected !== '' && then.expected !== '' && expected !== then.expected) redefined++;
    else changes.push({ item, before: then.mean, now: mean, reason });
  }
  const missing = [...before].flatMap(([item, { mean }]) =>
    mean !== undefined && !now.has(item) ? [item] : [],
  );
  const p = fallP(changes.map((change) => change.now - change.before));
  const needed = pairsNeeded(error);
  return {
    verdict: verdictOf(changes.length, needed, p, error),
    error,
    p_value: p ?? null,
    pairs: changes.length,
    pairs_needed: needed,
    mean_before: meanOf(changes.map((change) => change.before)) ?? null,
    mean_now: meanOf(changes.map((change) => change.now)) ?? null,
    fell: furthest(changes.filter((change) => change.now < change.before)),
    rose: furthest(changes.filter((change) => change.now > change.before)),
    failed,
    missing,
    added,
    redefined,
  };
}

/** Why a gate stays closed, in words; none where it opens. Nothing is green by silence. */
export function refusals({
  verdict,
  error,
  p_value,
  pairs,
  pairs_needed,
  failed,
  missing,
}: Comparison): string[] {
  const reasons: Record<Verdict, string | undefined> = {
    no_regression: undefined,
    regressed: `scores fell (p = ${p_value?.toPrecision(2)}, at most ${error} where nothing changed)`,
    too_few: `${pairs} items to compare, and with fewer than ${pairs_needed} no fall could be told from chance`,
    nothing_to_compare: 'no item has a score in both',
  };
  return [
    reasons[verdict],
    failed.length > 0 ? `${failed.length} items could not be scored` : undefined,
    missing.length > 0 ? `${missing.length} items of the baseline were not answered` : undefined,
  ].filter((reason) => reason !== undefined);
}

interface ItemMean {
  /** Over its runs that have a score; `undefined` where none has. */
  mean: number | undefined;
  expected: string;
  /** Of the first run that could not be scored; and of the run with the lowest score. */
  error: string | undefined;
  reason: string;
}

function byItem(scores: readonly ItemScore[]): Map<string, ItemMean> {
  const items = new Map<string, ItemMean>();
  for (const [item, rows] of Map.groupBy(scores, (row) => row.item)) {
    const scored = rows.filter((row) => row.score !== null);
    const worst = scored.toSorted((a, b) => a.score! - b.score!)[0];
    items.set(item, {
      mean: meanOf(scored.map((row) => row.score!)),
      expected: rows[0]!.expected_hash,
      error: rows.find((row) => row.score === null)?.error,
      reason: worst?.reason ?? '',
    });
  }
  return items;
}

function verdictOf(pairs: number, needed: number, p: number | undefined, error: number): Verdict {
  if (pairs === 0) return 'nothing_to_compare';
  if (p !== undefined && p <= error) return 'regressed';
  return pairs < needed ? 'too_few' : 'no_regression';
}

const furthest = (changes: readonly ItemChange[]) =>
  changes.toSorted((a, b) => Math.abs(b.now - b.before) - Math.abs(a.now - a.before));

const meanOf = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
