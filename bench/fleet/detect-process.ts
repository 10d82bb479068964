import pino from 'pino';
import { createDetection } from '../../evals/detection.ts';
import { createMetrics } from '../../evals/metrics.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { openStore, type Store } from '../../src/store/client.ts';
import { serve, settings } from '../harness/child-side.ts';

/** Detection in a process of its own, so that its memory is its own. Asked for anything, it looks once. */
export interface Look {
  seconds: number;
  /** Of those: waiting for rows, storing states and alerts, and the rest, which is stepping. */
  querySeconds: number;
  storeSeconds: number;
  stepSeconds: number;
  rows: number;
  alertChanges: number;
}

const { url } = settings<{ url: string }>();
const real = openStore({ url });
let querySeconds = 0;
let storeSeconds = 0;
let rows = 0;

const timed = async <T>(work: Promise<T>, note: (seconds: number) => void): Promise<T> => {
  const startedAt = performance.now();
  try {
    return await work;
  } finally {
    note((performance.now() - startedAt) / 1000);
  }
};
const asQuery = (seconds: number) => {
  querySeconds += seconds;
};
const store: Store = {
  ...real,
  query: (...asked) => timed(real.query(...asked), asQuery),
  stream: async function* <Row extends readonly unknown[]>(sql: string, params?: Record<string, unknown>) {
    const pieces = real.stream<Row>(sql, params)[Symbol.asyncIterator]();
    for (;;) {
      const piece = await timed(Promise.resolve(pieces.next()), asQuery);
      if (piece.done) return;
      if (sql.includes('arrayJoin')) rows += piece.value.length;
      yield piece.value;
    }
  },
  insert: (...asked) =>
    timed(real.insert(...asked), (seconds) => {
      storeSeconds += seconds;
    }),
};
const detection = createDetection({
  store,
  clock: systemClock(),
  config: { evals: loadConfig(undefined, {}).evals },
  metrics: createMetrics(),
  log: pino({ level: 'silent' }),
});

serve(
  {},
  async (): Promise<Look> => {
    querySeconds = 0;
    storeSeconds = 0;
    rows = 0;
    const startedAt = performance.now();
    const alertChanges = await detection.look([]);
    const seconds = (performance.now() - startedAt) / 1000;
    const stepSeconds = Math.max(0, seconds - querySeconds - storeSeconds);
    return { seconds, querySeconds, storeSeconds, stepSeconds, rows, alertChanges };
  },
  () => real.close(),
);
