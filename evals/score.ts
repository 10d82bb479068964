import type { Clock } from '../src/clock.ts';
import type { Config } from '../src/config.ts';
import { LoopscopeError } from '../src/errors.ts';
import { contentHash } from '../src/records/normalize.ts';
import type { Store } from '../src/store/client.ts';
import { type GoldenIndex, type GoldenRow, loadIndex } from '../src/store/golden.ts';
import {
  contentsOf,
  dayCounts,
  insertScores,
  type ScoreRow,
  type UnscoredRun,
  unscoredRuns,
} from '../src/store/scores.ts';
import { chooseRuns, utcDay } from './sample.ts';
import { makeScorer, type ScoreResult, scorerName, tryScore } from './scorers/registry.ts';
import type { Scorer } from './scorers/scorer.ts';
import type { Suite } from './suite.ts';

/**
 * Scores the runs of a suite's loop that are over, meet a golden item and have no score of the suite yet.
 *
 * Scores are stored batch by batch. What a batch holds is recognised when it is stored again, and a run with a
 * stored score is not looked at again: dying at any moment costs at most the batch in hand, and no run two scores.
 */
const BATCH_RUNS_MAX = 100;
/** A slow scorer's batch is stored after this time, however few it has. */
const BATCH_MS_MAX = 2_000;
const ERROR_LENGTH_MAX = 500;

export interface SuiteResult {
  /** Runs that got a score, and those that got an error in its place. */
  scored: number;
  errors: number;
  /** Recent runs that meet no golden item. */
  unmatched: number;
  /** Mean of the scores made now; `undefined` where there are none. */
  mean: number | undefined;
  /** Errors by their code. */
  errorCodes: Record<string, number>;
}

export interface ScoreContext {
  store: Store;
  clock: Clock;
  config: Pick<Config, 'evals'>;
  /** Stops at the run in hand; what is scored by then is kept. */
  signal?: AbortSignal;
  /** Told after each stored batch: how many runs are done, of how many. */
  onProgress?: (done: number, of: number) => void;
}

/**
 * Runs a suite now. Throws `not_found` when its dataset has no golden data, and what the store throws.
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
  const perDay = suite.sample.runs_per_day;
  const days = await dayCounts(store, query);
  const runs = chooseRuns(
    await unscoredRuns(store, query, perDay),
    new Map(days.map((d) => [d.day, d])),
    perDay,
    utcDay(clock.now()),
  );
  const tally = new Tally(days.reduce((sum, d) => sum + d.unmatched, 0));
  if (runs.length === 0) return tally.result();

  const scorer = makeScorer(suite.scorer, suite.directory);
  const abandon = () => void scorer.close?.();
  signal?.addEventListener('abort', abandon, { once: true });
  try {
    let done = 0;
    while (done < runs.length && !signal?.aborted) {
      const batch = await scoreBatch(runs.slice(done, done + BATCH_RUNS_MAX), {
        suite,
        index,
        scorer,
        store,
        clock,
        signal,
      });
      await insertScores(
        store,
        batch,
        `score/${contentHash([suite.loop, suite.suite, ...batch.map((r) => r.run_id)].join('\0'))}`,
      );
      for (const row of batch) tally.add(row);
      done += batch.length;
      onProgress?.(done, runs.length);
    }
  } finally {
    signal?.removeEventListener('abort', abandon);
    await scorer.close?.();
  }
  return tally.result();
}

interface Scoring {
  suite: Suite;
  index: GoldenIndex;
  scorer: Scorer;
  store: Store;
  clock: Clock;
  signal: AbortSignal | undefined;
}

/** The rows of `runs`, or of the first of them when the scorer is slow or is told to stop. */
async function scoreBatch(runs: readonly UnscoredRun[], scoring: Scoring): Promise<ScoreRow[]> {
  const { suite, index, store, clock, signal } = scoring;
  const contents = await contentsOf(
    store,
    runs.map((run) => run.output_hash),
  );
  const startedAt = clock.now();
  const rows: ScoreRow[] = [];
  for (const run of runs) {
    const item = goldenItem(index, run);
    const result = await scoreOne(contents.get(run.output_hash), item, scoring.scorer);
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
  scorer: Scorer,
): Promise<ScoreResult> {
  if (item === undefined) return { error: 'item_missing: the golden item went away between two reads' };
  if (output === undefined)
    return { error: 'content_missing: the answer of the run was not kept; scoring needs `capture: full`' };
  const { item_id: id, input, tags, expected } = item;
  return tryScore(() => scorer(output, expected, { id, input, tags }));
}

class Tally {
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
      mean: this.scored === 0 ? undefined : this.sum / this.scored,
      errorCodes: this.errorCodes,
    };
  }
}
