import { randomUUID } from 'node:crypto';
import pino from 'pino';
import { createDetection } from '../../evals/detection.ts';
import { createMetrics, type Metrics } from '../../evals/metrics.ts';
import type { Suite } from '../../evals/suite.ts';
import type { Clock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runSpanId, runTraceId } from '../../src/span/ids.ts';
import type { Store } from '../../src/store/client.ts';
import { insertRuns, type TestRun } from './eval-runs.ts';

/** Detection on a store, without the role around it. */
export interface Detector {
  look(suites?: readonly Suite[]): Promise<number>;
  metrics: Metrics;
  /** Rows that looks were told since this was asked last. */
  rowsTold(): number;
}

export function startDetection(store: Store, clock: Clock, fleetFdr = 0.05): Detector {
  let rows = 0;
  const counting: Store = {
    ...store,
    stream: async function* <Row extends readonly unknown[]>(sql: string, params?: Record<string, unknown>) {
      for await (const piece of store.stream<Row>(sql, params)) {
        if (sql.includes('arrayJoin')) rows += piece.length;
        yield piece;
      }
    },
  };
  const metrics = createMetrics();
  const config = loadConfig(undefined, {});
  const detection = createDetection({
    store: counting,
    clock,
    config: { evals: { ...config.evals, fleet_fdr: fleetFdr } },
    metrics,
    log: pino({ level: 'silent' }),
  });
  return {
    look: (suites = []) => detection.look(suites),
    metrics,
    rowsTold: () => {
      const told = rows;
      rows = 0;
      return told;
    },
  };
}

/** Runs with what they changed in the world. */
export async function insertRunsWithEffects(
  store: Store,
  runs: readonly (TestRun & { effects: number })[],
): Promise<void> {
  const effects = runs.flatMap(({ loop, run, at, effects: n }) =>
    Array.from({ length: n }, (_, i) => {
      const TraceId = runTraceId(loop, run);
      return {
        Timestamp: new Date(at + 3).toISOString(),
        TraceId,
        SpanId: recordSpanId(TraceId, 'effect', String(i)),
        ParentSpanId: runSpanId(TraceId),
        SpanName: 'effect',
        SpanKind: 'Internal',
        ServiceName: 'loopscope',
        SpanAttributes: { [A.loop]: loop, [A.runId]: run, [A.record]: 'effect' },
        Duration: 0,
        StatusCode: 'Unset',
      };
    }),
  );
  await store.insert('otel_traces', effects, randomUUID());
  await insertRuns(store, runs);
}

export interface TestScore {
  loop: string;
  run: string;
  score: number | null;
  suite?: string;
  /** Milliseconds since the epoch; when it is inserted without it. */
  arrivedAt?: number;
}

/** Scores as a suite stores them, all at once. */
export async function insertTestScores(store: Store, scores: readonly TestScore[]): Promise<void> {
  await store.insert(
    'eval_scores',
    scores.map(({ loop, run, score, suite = 'golden', arrivedAt }) => ({
      loop,
      suite,
      run_id: run,
      item_id: '',
      dataset: 'd',
      dataset_version: 'v1',
      scorer: 'text',
      score,
      error: score === null ? 'scorer_failed: it does not matter why' : '',
      scored_at: new Date(arrivedAt ?? Date.now()).toISOString(),
      ...(arrivedAt === undefined ? {} : { arrived_at: new Date(arrivedAt).toISOString() }),
    })),
    randomUUID(),
  );
}

/** What detection keeps of a loop's series, by suite; without the number of its revision. */
export async function storedSeries(store: Store, loop: string): Promise<Record<string, unknown>> {
  const rows = await store.query<{ stream: string; state: string }>(
    `SELECT stream, state FROM loopscope.detector_states WHERE loop = {loop:String}
     ORDER BY stream, revision DESC LIMIT 1 BY stream`,
    { loop },
  );
  return Object.fromEntries(rows.map(({ stream, state }) => [stream, JSON.parse(state)]));
}
