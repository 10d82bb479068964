import type { Clock } from '../../src/clock.ts';
import type { Config } from '../../src/config.ts';
import { contentHash } from '../../src/records/normalize.ts';
import type { Store } from '../../src/store/client.ts';
import { appendDraw, labelCandidates, lastDraw } from '../../src/store/label-queue.ts';
import { labelledRuns } from '../../src/store/labels.ts';
import { chooseForLabels, learnErrors } from '../stats/active-sampling.ts';
import type { Suite } from '../suite.ts';

/**
 * Chooses the runs that people are asked about. A run is looked at once, when it is over, and never again after it was
 * passed over: the probability on record is then the true one, whatever the rows are used for.
 *
 * The budget fills up by `per_day` a day and holds one day's labels; it starts full. A draw takes the runs since the last
 * one and spends what the budget has, as far as there are runs for it. It waits until the budget has a label for every
 * run, or half a day's labels. Drawn run by run, the first of a day would all be chosen and the last hardly ever, and
 * such uneven weights are what makes an estimate wide. In any span of days as many labels are asked for, on
 * average, as the days have, and at most one day's more.
 */

/** Runs that are looked at together: the newest. Older ones follow at the next draw, as long as they are in reach. */
const CANDIDATES_MAX = 10_000;
/** The newest labels are what the sampler learns from where checkers err. */
const LEARN_FROM_MAX = 10_000;
const DAY_MS = 86_400_000;

export interface Draw {
  /** Runs that were looked at, and those of them that people are asked about. */
  considered: number;
  chosen: number;
}

const NOTHING: Draw = { considered: 0, chosen: 0 };

export interface DrawContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals'>;
}

/** Draws for a suite's loop where it is time to; a suite without `labels` asks for none. Throws what the store throws. */
export async function drawForLabels(
  { loop, labels }: Pick<Suite, 'loop' | 'labels'>,
  { store, clock, config }: DrawContext,
): Promise<Draw> {
  if (!labels) return NOTHING;
  const at = clock.now();
  const budget = budgetAt(at, labels.per_day, await lastDraw(store, loop));
  if (!isTime(1, budget, labels.per_day)) return NOTHING;
  const idleBefore = Math.floor(at - config.evals.run_idle_s * 1000);
  const candidates = await labelCandidates(store, { loop, idleBefore, limit: CANDIDATES_MAX });
  if (!isTime(candidates.length, budget, labels.per_day)) return NOTHING;
  // What was said of a run before anybody was asked must not sway whether people are asked about it.
  const own = new Set(candidates.map((run) => run.runId));
  const labelled = await labelledRuns(store, { limit: LEARN_FROM_MAX });
  const learnt = learnErrors(labelled.filter((run) => run.loop !== loop || !own.has(run.runId)));
  const chosen = new Map(
    chooseForLabels(candidates, learnt, { labels: budget, floor: labels.floor }).map((run) => [
      run.runId,
      run.probability,
    ]),
  );
  const runs = candidates.map(({ runId }) => ({ runId, probability: chosen.get(runId) ?? null }));
  await appendDraw(
    store,
    { loop, at, budgetLeft: budget - Math.min(budget, candidates.length), runs },
    // Two processes that look at the same runs at the same time store one draw.
    `draw/${contentHash(JSON.stringify([loop, ...runs.map((run) => run.runId)]))}`,
  );
  return { considered: runs.length, chosen: chosen.size };
}

/** Labels that a loop's budget has at `at`: what the last draw left and what has come since, a day's at most. */
export function budgetAt(
  at: number,
  perDay: number,
  last: { at: number; budgetLeft: number } | undefined,
): number {
  if (!last) return perDay;
  const since = Math.max(0, at - last.at);
  return Math.min(perDay, last.budgetLeft + (perDay * since) / DAY_MS);
}

/** Whether to draw from `runs` runs now rather than wait for more labels; if not from one run, then not from several. */
export const isTime = (runs: number, budget: number, perDay: number): boolean =>
  runs > 0 && budget >= Math.min(runs, perDay / 2);
