import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  changesBetween,
  itemsAround,
  pointsAround,
  pointsBefore,
  recordedFall,
  unknownBetween,
} from '../../src/replay/bisect/points.ts';
import type { VersionedRun } from '../../src/store/versions.ts';

/** Where bisect begins: which runs are the points, what changed between them, and whose inputs are played. */
const run = (n: number, more: Partial<VersionedRun> = {}): VersionedRun => ({
  runId: `r-${n}`,
  startedAt: n * 1000,
  model: 'gpt',
  servedModel: 'gpt-1',
  promptVersion: 'p1',
  toolsVersion: '',
  checkerVersion: 'reviewer@c1',
  itemId: `i-${n}`,
  inputHash: `h-${n}`,
  checkerPass: true,
  goldenScore: 1,
  ...more,
});
/** 100 runs; from 50 on another model, from 60 on another prompt. */
const history = Array.from({ length: 100 }, (_, n) =>
  run(n, {
    servedModel: n < 50 ? 'gpt-1' : 'gpt-2',
    promptVersion: n < 60 ? 'p1' : 'p2',
    goldenScore: n < 50 ? 1 : 0,
  }),
);

test('the points of an alert stand off the change, so that what changed near it is between them', () => {
  const points = pointsAround(history, 50_000)!;
  assert.deepEqual([points.good.runId, points.bad.runId], ['r-30', 'r-69']);
  assert.deepEqual(changesBetween(history, points), [
    { dimension: 'model', history: ['gpt-1', 'gpt-2'] },
    { dimension: 'prompt', history: ['p1', 'p2'] },
  ]);
  assert.equal(recordedFall(history, 50_000), 1);
  assert.equal(pointsAround(history, 0), undefined);
  assert.deepEqual(pointsAround(history, 1_000)?.good.runId, 'r-0');
});

test('of a bad run the good point is the last good one that was made otherwise', () => {
  assert.equal(pointsBefore(history, 'r-80')?.good.runId, 'r-49');
  const lucky = history.map((r) => (r.runId === 'r-70' ? { ...r, goldenScore: 1 } : r));
  assert.equal(
    pointsBefore(lucky, 'r-80')?.good.runId,
    'r-49',
    'good luck with the same versions is no good point',
  );
  const unscored = history.map((r) => ({ ...r, goldenScore: null, checkerPass: r.startedAt < 40_000 }));
  assert.equal(pointsBefore(unscored, 'r-80')?.good.runId, 'r-39');
  assert.equal(pointsBefore(history, 'r-20'), undefined);
});

test('the versions between the points are a history in which each counts once', () => {
  const prompts = ['a', 'b', 'b', 'c', 'b', '', 'd'];
  const runs = prompts.map((promptVersion, n) => run(n, { promptVersion }));
  assert.deepEqual(changesBetween(runs, { good: runs[0]!, bad: runs[6]! }), [
    { dimension: 'prompt', history: ['a', 'b', 'c', 'd'] },
  ]);
});

test('a version that one point does not name is unknown, and no change', () => {
  const points = { good: run(1), bad: run(2, { toolsVersion: 't2', servedModel: '', model: 'gpt-1' }) };
  assert.deepEqual(changesBetween([points.good, points.bad], points), []);
  assert.deepEqual(unknownBetween(points), ['tools']);
});

test('inputs come from both sides, nearest first, each once and only those that can be scored', () => {
  const runs = history.map((r) => (r.runId === 'r-51' ? { ...r, inputHash: 'h-49' } : r));
  const items = itemsAround(runs, 50_000, { max: 6, isMeasured: ({ runId }) => runId !== 'r-48' });
  assert.deepEqual(
    items.map(({ runId }) => runId),
    ['r-49', 'r-50', 'r-47', 'r-52', 'r-46', 'r-53'],
  );
});
