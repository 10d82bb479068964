import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialWatch, stepWatch, type WatchState } from '../../evals/detect/watch.ts';
import { eValueOf, standOut } from '../../evals/detection/paging.ts';
import { seededRandom } from '../../src/clock.ts';
import type { Observation } from '../../src/records/observation.ts';

const SHARE = 0.05;
const LOOPS = 1000;
const FAILING = 20;
const FAILS_AT = 200;
const RUNS = 500;
const LOOK_EVERY = 10;
/** 1,000 loops through 500 runs are about two seconds of a core. */
const SEEDS = process.env['LOOPSCOPE_LONG'] ? 60 : 2;

const run = (index: number, score: number): Observation => ({
  index,
  runId: `r-${index}`,
  at: '2026-01-01T00:00:00.000Z',
  score,
  checkerPass: true,
  effects: 1,
  inputHash: '',
  outputHash: '',
  servedModel: '',
  promptVersion: '',
  toolsVersion: '',
  checkerVersion: '',
  datasetVersion: '',
  task: '',
});

/** A fleet whose first loops fail; gives which were paged, and which alarmed by their own promise. */
function simulate(seed: number) {
  const random = seededRandom(seed);
  const rates = Array.from({ length: LOOPS }, () => 0.7 + 0.27 * random());
  const fleet: WatchState[] = rates.map(() => initialWatch({ arl: 10_000 }));
  const alarmed = new Set<number>();
  const paged = new Set<number>();
  for (let i = 0; i < RUNS; i++) {
    for (const [loop, watch] of fleet.entries()) {
      const fails = loop < FAILING && i >= FAILS_AT;
      const score = random() < rates[loop]! - (fails ? 0.35 : 0) ? 1 : 0;
      for (const event of stepWatch(watch, run(i, score)))
        if (event.type === 'alarm' && event.kind === 'golden_drop') alarmed.add(loop);
        else if (event.type === 'recovered') alarmed.delete(loop);
    }
    if ((i + 1) % LOOK_EVERY > 0) continue;
    const picked = standOut(fleet.map(eValueOf), SHARE);
    for (const loop of alarmed) if (picked.has(loop)) paged.add(loop);
  }
  return { paged, alarmed };
}

test(`of 1,000 loops 20 fail: all 20 page, and the share of false pages is not above the configured one (${SEEDS} fleets)`, () => {
  let falseShares = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { paged } = simulate(seed);
    const found = [...paged].filter((loop) => loop < FAILING).length;
    assert.equal(found, FAILING, `seed ${seed}: ${found} of ${FAILING} found`);
    falseShares += (paged.size - found) / paged.size;
  }
  assert.ok(falseShares / SEEDS <= SHARE, `share of false pages: ${falseShares / SEEDS}`);
});

test('one loop alone is picked by 1/share times what its runs would bring by chance; the more loops, the more it takes', () => {
  assert.deepEqual([...standOut([1 / SHARE], SHARE)], [0]);
  assert.deepEqual([...standOut([1 / SHARE - 1e-9], SHARE)], []);
  const fleet = (e: number, others: number) => [e, ...Array.from({ length: others }, () => 1)];
  assert.deepEqual([...standOut(fleet(99 / SHARE, 99), SHARE)], []);
  assert.deepEqual([...standOut(fleet(100 / SHARE, 99), SHARE)], [0]);
  // Those that have no baseline yet are not put to the test, and cost nothing.
  assert.deepEqual([...standOut([undefined, 1 / SHARE, undefined], SHARE)], [1]);
});

test('a series is put to the test when it has a baseline', () => {
  const watch = initialWatch({ arl: 10_000 });
  for (let i = 0; i < 49; i++) stepWatch(watch, run(i, i % 5 === 0 ? 0 : 1));
  assert.equal(eValueOf(watch), undefined);
  stepWatch(watch, run(49, 1));
  assert.equal(eValueOf(watch), 0);
  for (let i = 50; i < 120; i++) stepWatch(watch, run(i, 0));
  assert.ok(eValueOf(watch)! > LOOPS / SHARE);
});
