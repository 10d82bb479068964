import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { listAlerts } from '../../src/store/alerts.ts';
import { SCORE_GRACE_MS } from '../../src/store/new-scores.ts';
import {
  insertRunsWithEffects,
  insertTestScores,
  startDetection,
  storedSeries,
  type TestScore,
} from '../support/detection.ts';
import { insertRuns } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const clock = systemClock();
const T0 = Date.parse('2026-01-05T00:00:00Z');
const name = (i: number) => `r-${String(i).padStart(5, '0')}`;
const coin = (seed: number, p: number) => {
  const random = seededRandom(seed);
  return () => (random() < p ? 1 : 0);
};
const play = (loop: string, from: number, n: number, rest: { open?: boolean } = {}) =>
  insertRuns(
    server.store,
    Array.from({ length: n }, (_, i) => ({
      loop,
      run: name(from + i),
      at: T0 + (from + i) * 1000,
      input: `q-${from + i}`,
      output: `a-${from + i}`,
      pass: true,
      ...rest,
    })),
  );
const scores = (loop: string, from: number, n: number, draw: () => number | null, rest = {}): TestScore[] =>
  Array.from({ length: n }, (_, i) => ({ loop, run: name(from + i), score: draw(), ...rest }));
const watched = async (loop: string, suite = 'golden') =>
  (await storedSeries(server.store, loop))[suite] as { seen: number; watch: { runs: number } } | undefined;

test('a look reads what is new and nothing else, also after a restart', async () => {
  const loop = 'news';
  const draw = coin(1, 0.9);
  await play(loop, 0, 120);
  await insertTestScores(server.store, scores(loop, 0, 100, draw));
  const first = startDetection(server.store, clock);
  await first.look();
  // The runs without a score may still get one.
  assert.equal(first.rowsTold(), 100);
  await first.look();
  assert.equal(first.rowsTold(), 0);
  const second = startDetection(server.store, clock);
  await second.look();
  assert.equal(second.rowsTold(), 0, 'a restart reads no history');
  await insertTestScores(server.store, scores(loop, 100, 20, draw));
  await second.look();
  assert.equal(second.rowsTold(), 20);
  assert.equal((await watched(loop))!.watch.runs, 120);
});

test('in whatever portions scores are looked at, and whatever restarts between, the state is the same', async () => {
  const random = seededRandom(7);
  const values = Array.from({ length: 300 }, (_, i) => (random() < (i < 200 ? 0.9 : 0.5) ? 1 : 0));
  for (const loop of ['at-once', 'in-portions']) {
    await play(loop, 0, 300);
    let detection = startDetection(server.store, clock);
    for (let from = 0; from < 300; ) {
      const n = loop === 'at-once' ? 300 : Math.min(300 - from, 1 + Math.floor(random() * 60));
      const portion = values.slice(from, from + n);
      await insertTestScores(
        server.store,
        scores(loop, from, n, () => portion.shift()!),
      );
      if (random() < 0.3) detection = startDetection(server.store, clock);
      await detection.look();
      from += n;
    }
  }
  const [once, portions] = [await watched('at-once'), await watched('in-portions')];
  assert.deepEqual(portions!.watch, once!.watch);
  const alerts = await Promise.all(
    ['at-once', 'in-portions'].map((loop) => listAlerts(server.store, { loop })),
  );
  assert.deepEqual(
    alerts.map((of) => of.map(({ kind, started_at, change_at_run }) => [kind, started_at, change_at_run])),
    [alerts[0]!, alerts[0]!].map((of) =>
      of.map(({ kind, started_at, change_at_run }) => [kind, started_at, change_at_run]),
    ),
  );
  assert.equal(alerts[0]!.length, 1);
});

test('a score that turns up behind what was read is not missed: its series is read again', async () => {
  const loop = 'slow';
  const now = Date.now();
  const draw = coin(2, 0.8);
  await play(loop, 0, 80);
  const all = scores(loop, 0, 80, draw).map((score, i) => ({ ...score, arrivedAt: now - 80_000 + i * 1000 }));
  const isLate = (_: TestScore, i: number) => i % 7 === 3;
  await insertTestScores(
    server.store,
    all.filter((score, i) => !isLate(score, i)),
  );
  const detection = startDetection(server.store, clock);
  await detection.look();
  assert.equal((await watched(loop))!.watch.runs, 80 - all.filter(isLate).length);
  await insertTestScores(server.store, all.filter(isLate));
  await detection.look();
  assert.equal((await watched(loop))!.watch.runs, 80);
  assert.equal((await watched(loop))!.seen, 80);
  assert.match(detection.metrics.render(), /series_restarted_total\{reason="rows"\} 1/);

  await play('in-order', 0, 80);
  await insertTestScores(
    server.store,
    all.map((score) => ({ ...score, loop: 'in-order' })),
  );
  await detection.look();
  assert.deepEqual((await watched(loop))!.watch, (await watched('in-order'))!.watch);
});

test('a run that is scored twice by its suite is stepped once, by its first score', async () => {
  const loop = 'twice';
  const now = Date.now();
  await play(loop, 0, 3);
  const first = scores(loop, 0, 2, () => 1, { arrivedAt: now - 5000 });
  await insertTestScores(server.store, first);
  const detection = startDetection(server.store, clock);
  await detection.look();
  await insertTestScores(server.store, [
    { loop, run: name(0), score: 0, arrivedAt: now - 2000 },
    { loop, run: name(1), score: null, arrivedAt: now - 2000 },
    // An error stands against a later score too.
    { loop, run: name(2), score: null, arrivedAt: now - 2000 },
    { loop, run: name(2), score: 1, arrivedAt: now - 1000 },
  ]);
  await detection.look();
  const { seen, watch } = (await watched(loop))!;
  assert.deepEqual([seen, watch.runs], [6, 3]);
  const golden = (watch as unknown as { levels: { golden: { baseline: { n: number; sum: number } } } }).levels
    .golden;
  assert.deepEqual([golden.baseline.n, golden.baseline.sum], [2, 2]);
});

test('a score whose run is still on its way waits for it', async () => {
  const loop = 'early';
  await play(loop, 0, 10);
  await insertTestScores(
    server.store,
    scores(loop, 0, 12, () => 1),
  );
  const detection = startDetection(server.store, clock);
  await detection.look();
  assert.equal(await watched(loop), undefined, 'nothing is kept that is not whole');
  await play(loop, 10, 2);
  await detection.look();
  assert.equal((await watched(loop))!.watch.runs, 12);
});

test('a run without a score is told as work when the grace has passed, and its score after that alone', async () => {
  const loop = 'late';
  const now = Date.now();
  await play(loop, 0, 60, { open: true });
  const ended = (i: number) => now - SCORE_GRACE_MS - 60_000 + i * 1000;
  await server.store.insert(
    'run_ends',
    Array.from({ length: 60 }, (_, i) => ({
      loop,
      run_id: name(i),
      arrived_at: new Date(ended(i)).toISOString(),
    })),
  );
  const levels = async () => {
    const { watch } = (await watched(loop))! as unknown as {
      watch: { levels: Record<string, { baseline: { n: number } } | undefined> };
    };
    return ['golden', 'effects'].map((measure) => watch.levels[measure]?.baseline.n ?? 0);
  };
  const detection = startDetection(server.store, clock);
  // The first ten were scored in time, and make it a loop with a suite.
  await insertTestScores(
    server.store,
    scores(loop, 0, 10, () => 1).map((score, i) => ({ ...score, arrivedAt: ended(i) + 500 })),
  );
  await detection.look();
  assert.deepEqual(await levels(), [10, 60]);
  await insertTestScores(
    server.store,
    scores(loop, 10, 50, () => 1),
  );
  await detection.look();
  assert.deepEqual(await levels(), [60, 60]);
  const restarted = startDetection(server.store, clock);
  await server.store.command(
    "ALTER TABLE loopscope.detector_states DELETE WHERE loop = 'late' SETTINGS mutations_sync = 2",
  );
  await restarted.look();
  assert.deepEqual(await levels(), [60, 60], 'a history says the same');
});

test('what another version of the code has stored is not read: the history is', async () => {
  const loop = 'versions';
  await play(loop, 0, 60);
  await insertTestScores(server.store, scores(loop, 0, 60, coin(3, 0.9)));
  await server.store.insert('detector_states', [
    { loop, stream: 'golden', revision: 9, version: 999, state: 'what only it can read' },
  ]);
  const detection = startDetection(server.store, clock);
  await detection.look();
  const [row] = await server.store.query<{ version: number; state: string }>(
    'SELECT version, state FROM loopscope.detector_states WHERE loop = {loop:String} AND version < 999 ORDER BY revision DESC LIMIT 1',
    { loop },
  );
  assert.equal((JSON.parse(row!.state) as { seen: number }).seen, 60);
  const again = startDetection(server.store, clock);
  await again.look();
  assert.equal(again.rowsTold(), 0);
});

test('a loop that nobody scores is watched for what it does, and two suites are two series', async () => {
  const runs = (loop: string, n: number, effects: (i: number) => number) =>
    Array.from({ length: n }, (_, i) => ({
      loop,
      run: name(i),
      at: T0 + i * 1000,
      input: `q-${i}`,
      output: `a-${i}`,
      effects: effects(i),
    }));
  await insertRunsWithEffects(
    server.store,
    runs('worker', 400, (i) => (i < 250 ? 1 : 0)),
  );
  const detection = startDetection(server.store, clock);
  await detection.look();
  const [alert, ...more] = await listAlerts(server.store, { loop: 'worker' });
  assert.deepEqual([alert?.kind, alert?.state, more.length], ['no_effect', 'firing', 0]);
  assert.ok(Math.abs(alert!.change_at_run - 250) <= 15, String(alert!.change_at_run));

  await play('both', 0, 30);
  for (const suite of ['a', 'b'])
    await insertTestScores(
      server.store,
      scores('both', 0, 30, () => (suite === 'a' ? 1 : 0), { suite }),
    );
  await detection.look();
  const kept = await storedSeries(server.store, 'both');
  assert.deepEqual(Object.keys(kept), ['a', 'b']);
});
