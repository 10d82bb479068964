import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { observationsOf } from '../../evals/detect/backtest.ts';
import { sameText } from '../../src/records/golden-score.ts';
import { importRecords } from '../../src/records/import.ts';
import { inputHash } from '../../src/records/normalize.ts';
import { RunRecord } from '../../src/records/record.ts';
import { appendAlert } from '../../src/store/alerts.ts';
import { loopsAround } from '../../src/store/attribution.ts';
import { insertVersion } from '../../src/store/golden.ts';
import { insertScores, loopSeries } from '../../src/store/scores.ts';
import { startTestCollector } from '../support/collector.ts';
import { insertSpans, runRows } from '../support/span-rows.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loopscope-attribute-'));
  server = await startTestStore();
  collector = await startTestCollector({ store: server.store });
});
after(async () => {
  await collector?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
const START = Date.UTC(2026, 0, 1);

test('tasks and dataset versions of imported runs read back as the backtest reads them from the file', async () => {
  const record = (n: number, fields: object) => ({
    loop: 'imported',
    run: `r-${n}`,
    ts: new Date(START + n * MINUTE).toISOString(),
    output: '[No]',
    golden: { score: 1 },
    ...fields,
  });
  const records = [
    record(0, { input: 'Is 17 a prime?', task: 'primes', dataset_version: 'v1' }),
    record(1, { input: 'Is 17 a prime?', dataset_version: 'v2' }),
    record(2, { input: `{"text": "${'é'.repeat(200)}"}` }),
    record(3, {}),
  ];
  const file = join(folder, 'runs.jsonl');
  await writeFile(file, records.map((r) => JSON.stringify(r)).join('\n'));
  const { bad } = await importRecords(file, { collectorUrl: collector.url });
  assert.deepEqual(bad, []);
  const stored = await loopSeries(server.store, 'imported');
  const read = observationsOf(
    records.map((r) => RunRecord.parse(r)),
    sameText,
  );
  const facts = (runs: typeof stored) => runs.map((r) => [r.runId, r.datasetVersion, r.task]);
  assert.deepEqual(facts(stored), facts(read));
  assert.deepEqual(facts(stored), [
    ['r-0', 'v1', 'primes'],
    ['r-1', 'v2', 'tiny, numbers, question'],
    ['r-2', '', 'medium, code'],
    ['r-3', '', ''],
  ]);
});

test('a run scored with golden data has its dataset, its version, and the kind of task the item is', async () => {
  const item = (item_id: string, input: string, tags: string[]) => ({
    item_id,
    input,
    input_hash: inputHash(input),
    expected: 'x',
    tags,
  });
  for (const [version, importedAt] of [
    ['v1', START],
    ['v2', START + DAY],
  ] as const)
    await insertVersion(server.store, { dataset: 'd', version, importedAt }, [
      item('tagged', 'Tell me.', ['easy', 'more']),
      item('bare', `How many? ${'1'.repeat(300)}`, []),
    ]);
  const runs = ['a', 'b', 'c', 'd'];
  await insertSpans(
    server.store,
    runs.flatMap((run, i) => runRows({ loop: 'scored', run, at: START + i * MINUTE })),
  );
  const score = (
    run_id: string,
    item_id: string,
    version: string,
    scored_at: number,
    value: number | null,
  ) => ({
    loop: 'scored',
    suite: 's',
    run_id,
    item_id,
    dataset: 'd',
    dataset_version: version,
    scorer: 'exact',
    score: value,
    error: value === null ? 'scorer_failed' : '',
    cost_usd: null,
    scored_at,
  });
  await insertScores(
    server.store,
    [
      score('a', 'tagged', 'v1', START, 1),
      score('b', 'bare', 'v2', START, 0),
      // Scored twice: the first one stands. Without a score, no version it was scored with.
      score('c', 'tagged', 'v2', START + MINUTE, 0),
      score('c', 'tagged', 'v1', START, 1),
      score('d', 'tagged', 'v1', START, null),
    ],
    'scored',
  );
  const series = await loopSeries(server.store, 'scored');
  assert.deepEqual(
    series.map((r) => [r.runId, r.datasetVersion, r.task]),
    [
      ['a', 'd@v1', 'easy'],
      ['b', 'd@v2', 'medium, numbers, question'],
      ['c', 'd@v1', 'easy'],
      ['d', '', ''],
    ],
  );
});

test('the loops around a change of model: who moved in the same days, who did not, and who of them fell', async () => {
  const changeAt = START + 30 * DAY;
  /** Runs each day from `from` to `to`, on the new model from day `moves` on; scored until the end. */
  const loop = (name: string, days: { from?: number; to?: number; moves?: number; scored?: boolean }) => {
    const { from = 0, to = 40, moves = Number.POSITIVE_INFINITY, scored = true } = days;
    return Array.from({ length: to - from }, (_, i) => i + from).flatMap((day) =>
      runRows({
        loop: name,
        run: `${name}-${day}`,
        at: START + day * DAY,
        servedModel: day < moves ? 'model-a' : 'model-b',
        ...(scored ? { score: 1 } : {}),
      }),
    );
  };
  await insertSpans(server.store, [
    ...loop('self', { moves: 30 }),
    ...loop('moved-1', { moves: 29 }),
    ...loop('moved-2', { moves: 31 }),
    ...loop('moved-3', { moves: 32 }),
    ...loop('moved-long-ago', { moves: 5 }),
    ...loop('stayed-1', {}),
    ...loop('stayed-2', {}),
    ...loop('new', { from: 31, moves: 0 }),
    ...loop('unmeasured', { moves: 30, scored: false }),
  ]);
  const fell = (name: string, at: number, kind = 'golden_drop') =>
    appendAlert(server.store, {
      at,
      alert: {
        alert_id: `${name}-${at}`,
        loop: name,
        kind,
        state: 'firing',
        started_at: new Date(at).toISOString(),
        change_at: new Date(at).toISOString(),
        change_at_run: 1,
        resolved_at: null,
        cause: null,
        evidence: {},
      },
    });
  await fell('self', changeAt);
  await fell('moved-1', changeAt + DAY);
  await fell('moved-2', changeAt + DAY);
  await fell('moved-2', changeAt + 2 * DAY); // once more: still one loop
  await fell('moved-3', changeAt - 25 * DAY); // long before
  await fell('stayed-1', changeAt + DAY, 'no_effect');
  const around = await loopsAround(server.store, {
    loop: 'self',
    from: 'model-a',
    to: 'model-b',
    at: changeAt,
    windowMs: 7 * DAY,
  });
  assert.deepEqual(around, {
    from: 'model-a',
    to: 'model-b',
    moved: 3,
    moved_fell: 2,
    stayed: 3,
    stayed_fell: 0,
  });
});
