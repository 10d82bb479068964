import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import { type Appended, appendScores, scoreVersion } from '../src/store/append-scores.ts';
import type { Store } from '../src/store/client.ts';
import { type GoldenIndex, type GoldenRow, loadIndex } from '../src/store/golden.ts';
import {
  contentsOf,
  dayCounts,
  type ScoreQuery,
  type ScoreRow,
  type UnscoredRun,
  unscoredRuns,
} from '../src/store/scores.ts';
import { chooseRuns, utcDay } from './sample.ts';
import { makeScorer, type ScoreResult, scorerName, tryScore } from './scorers/registry.ts';
import type { Scorer } from './scorers/scorer.ts';
import { scorerServices } from './scorers/services.ts';
import { openSpending, type Spending } from './spending.ts';
import type { Suite } from './suite.ts';

/**
 * Scores the runs of a suite's loop that are over, meet a golden item and have no score of the suite yet.
 *
 * Scores are stored batch by batch, and a run with a stored score is not looked at again: dying at any moment costs at
 * most the batch in hand. Should others score the suite at the same time, one of the batches is stored and the other
 * chosen anew (see append-scores.ts): no run gets two scores.
 */
const BATCH_RUNS_MAX = 100;
/** A slow scorer's batch is stored after this time, however few it has. */
const BATCH_MS_MAX = 2_000;
const ERROR_LENGTH_MAX = 500;
/** Batches in a row that others were faster with. After that the others may finish. */
const OVERTAKEN_MAX = 10;
/** What others have appended shows by then. */
const SETTLED_MS = 1_000;

export interface SuiteResult {
  /** Runs that got a score, and those that got an error in its place. */
  scored: number;
  errors: number;
  /** Recent runs that meet no golden item. */
  unmatched: number;
  /** Runs that wait, since the day's cap of costs is reached. */
  overCap: number;
  /** Mean of the scores made now; `undefined` where there are none. */
  mean: number | undefined;
  /** Errors by their code. */
  errorCodes: Record<string, number>;
}

export interface ScoreContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals' | 'gateway' | 'keyOf' | 'providers' | 'prices' | 'models'>;
  /** The running gateway, where judges are called; the configured one without it. */
  gatewayUrl?: string | undefined;
  /** Stops at the run in hand; what is scored by then is kept. */
  signal?: AbortSignal;
  /** Told after each stored batch: how many runs are done, of how many. */
  onProgress?: (done: number, of: number) => void;
}

/**
 * Runs a suite now. Throws `not_found` when its dataset has no golden data, `cost_unknown` (spending.ts), and what the
 * store throws.
 */
export async function runSuite(suite: Suite, context: ScoreContext): Promise<SuiteResult> {
  const { store, clock, config, signal, onProgress } = context;
  const index = await loadIndex(store, suite.dataset);
  if (!index)
    throw new LoopscopeError(
      'not_found',
      `Suite ${suite.suite} needs golden data for dataset ${suite.dataset}, and there is none. Import some: \`loopscope golden import FILE --dataset ${suite.dataset}\`.`,
    );
  const query = {
    loop: suite.loop,
    suite: suite.suite,
    dataset: suite.dataset,
    version: index.version,
    idleBefore: Math.floor(clock.now() - config.evals.run_idle_s * 1000),
  };
  const spending = await openSpending(suite, context);
  const perDay = Math.min(suite.sample.runs_per_day, spending.affordablePerDay ?? Number.POSITIVE_INFINITY);
  const chosen = await choose(suite, query, perDay, context);
  const tally = new Tally(chosen.unmatched);
  if (chosen.runs.length === 0 || signal?.aborted) return tally.result();

  const services = scorerServices(config, clock, context.gatewayUrl, spending.paid);
  const scorer = makeScorer(suite.scorer, suite.directory, services);
  const abandon = () => void scorer.close?.();
  signal?.addEventListener('abort', abandon, { once: true });
  try {
    let { version, runs } = chosen;
    let done = 0;
    let overtaken = 0;
    while (runs.length > 0 && overtaken < OVERTAKEN_MAX && !signal?.aborted) {
      const batch = await scoreBatch(runs.slice(0, BATCH_RUNS_MAX), {
        suite,
        index,
        scorer,
        spending,
        store,
        clock,
        signal,
      });
      if (batch.length === 0) {
        if (!signal?.aborted) tally.overCap = runs.length;
        break;
      }
      if ((await append(suite, batch, version, context)) === 'appended') {
        for (const row of batch) tally.add(row);
        version += batch.length;
        runs = runs.slice(batch.length);
        done += batch.length;
        overtaken = 0;
      } else {
        overtaken++;
        ({ version, runs } = await choose(suite, query, perDay, context));
      }
      onProgress?.(done, done + runs.length);
    }
  } finally {
    signal?.removeEventListener('abort', abandon);
    await scorer.close?.();
  }
  return tally.result();
}

/** The runs to score now, and the version of the suite's scores that they were chosen at. */
async function choose(suite: Suite, query: ScoreQuery, perDay: number, { store, clock }: ScoreContext) {
  const version = await scoreVersion(store, suite);
  const days = await dayCounts(store, query);
  const runs = chooseRuns(
    await unscoredRuns(store, query, perDay),
    new Map(days.map((d) => [d.day, d])),
    perDay,
    utcDay(clock.now()),
  );
  return { version, runs, unmatched: days.reduce((sum, d) => sum + d.unmatched, 0) };
}

async function append(
  suite: Suite,
  batch: readonly ScoreRow[],
  version: number,
  { store, clock, signal }: ScoreContext,
): Promise<Appended> {
  const appended = await appendScores(store, suite, batch, { version, anew: false });
  if (appended !== 'refused') return appended;
  await clock.sleep(SETTLED_MS, signal);
  return appendScores(store, suite, batch, { version, anew: true });
}

interface Scoring {
  suite: Suite;
  index: GoldenIndex;
  scorer: Scorer;
  spending: Spending;
  store: Store;
  clock: Clock;
  signal: AbortSignal | undefined;
}

/** The rows of `runs`, or of the first of them when the scorer is slow, is told to stop, or has spent what it may. */
async function scoreBatch(runs: readonly UnscoredRun[], scoring: Scoring): Promise<ScoreRow[]> {
  const { suite, index, spending, store, clock, signal } = scoring;
  const contents = await contentsOf(
    store,
    runs.map((run) => run.output_hash),
  );
  const startedAt = clock.now();
  const rows: ScoreRow[] = [];
  for (const run of runs) {
    if (spending.isSpent()) break;
    const item = goldenItem(index, run);
    const result = await scoreOne(contents.get(run.output_hash), item, run, scoring.scorer);
    const costUsd = spending.take();
    if (signal?.aborted) break; // cut off on purpose: no failure of the scorer
    rows.push({
      loop: suite.loop,
      suite: suite.suite,
      run_id: run.run_id,
      item_id: item?.item_id ?? '',
      dataset: suite.dataset,
      dataset_version: index.version,
      scorer: scorerName(suite.scorer),
      score: 'score' in result ? result.score : null,
      error: 'error' in result ? result.error.slice(0, ERROR_LENGTH_MAX) : '',
      cost_usd: costUsd,
      scored_at: clock.now(),
    });
    if (clock.now() - startedAt > BATCH_MS_MAX) break;
  }
  return rows;
}

/** The item a run named, or else the one whose input it had. */
const goldenItem = (index: GoldenIndex, run: UnscoredRun): GoldenRow | undefined =>
  index.byItem.get(run.item_id) ?? index.byInput.get(run.input_hash);

async function scoreOne(
  output: string | undefined,
  item: GoldenRow | undefined,
  { maker_served_model: servedModel }: UnscoredRun,
  scorer: Scorer,
): Promise<ScoreResult> {
  if (item === undefined) return { error: 'item_missing: the golden item went away between two reads' };
  if (output === undefined)
    return { error: 'content_missing: the answer of the run was not kept; scoring needs `capture: full`' };
  const { item_id: id, input, tags, expected } = item;
  return tryScore(() => scorer(output, expected, { id, input, tags, ...(servedModel && { servedModel }) }));
}

class Tally {
  overCap = 0;
  private scored = 0;
  private sum = 0;
  private readonly errorCodes: Record<string, number> = {};
  private readonly unmatched: number;

  constructor(unmatched: number) {
    this.unmatched = unmatched;
  }

  add({ score, error }: ScoreRow): void {
    if (score === null) {
      const code = error.split(':', 1)[0]!;
      this.errorCodes[code] = (this.errorCodes[code] ?? 0) + 1;
    } else {
      this.scored++;
      this.sum += score;
    }
  }

  result(): SuiteResult {
    return {
      scored: this.scored,
      errors: Object.values(this.errorCodes).reduce((a, b) => a + b, 0),
      unmatched: this.unmatched,
      overCap: this.overCap,
      mean: this.scored === 0 ? undefined : this.sum / this.scored,
      errorCodes: this.errorCodes,
    };
  }
}
