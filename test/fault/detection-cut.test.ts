import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { LoopscopeError } from '../../src/errors.ts';
import type { Store } from '../../src/store/client.ts';
import { insertTestScores, startDetection, storedSeries } from '../support/detection.ts';
import { insertRuns } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const T0 = Date.parse('2026-01-05T00:00:00Z');
const FALLS_AT = 150;
const HEALS_AT = 220;
/** A look ends after each of these: a fall is in the second, its recovery in the third. */
const PORTIONS = [120, 215, 360];

const random = seededRandom(11);
const SCORES = Array.from({ length: PORTIONS.at(-1)! }, (_, i) =>
  random() < (i >= FALLS_AT && i < HEALS_AT ? 0.2 : 0.95) ? 1 : 0,
);

async function play(loop: string, from: number, to: number): Promise<void> {
  const indices = Array.from({ length: to - from }, (_, i) => from + i);
  const run = (i: number) => `r-${String(i).padStart(5, '0')}`;
  await insertRuns(
    server.store,
    indices.map((i) => ({ loop, run: run(i), at: T0 + i * 1000, input: `q-${i}`, output: `a-${i}` })),
  );
  await insertTestScores(
    server.store,
    indices.map((i) => ({ loop, run: run(i), score: SCORES[i]! })),
  );
}

type Cut = 'before' | 'after';

/** A store that is gone at its `nth` insert: with it unwritten, or written and never answered. */
function cutAt(store: Store, nth: number, when: Cut): Store & { inserts: number } {
  const cut = {
    ...store,
    inserts: 0,
    insert: async (...rows: Parameters<Store['insert']>) => {
      const isCut = cut.inserts++ === nth;
      if (!isCut || when === 'after') await store.insert(...rows);
      if (isCut) throw new LoopscopeError('store_unavailable', 'the connection is gone');
    },
  };
  return cut;
}

async function outcome(loop: string) {
  const alerts = await server.store.query<{ state: string; change_at_run: number; started_at: string }>(
    'SELECT state, change_at_run, started_at FROM loopscope.alerts WHERE loop = {loop:String} ORDER BY at, state',
    { loop },
  );
  const { watch, seen } = (await storedSeries(server.store, loop))['golden'] as Record<string, unknown>;
  return { alerts, watch, seen };
}

/** Plays a loop through; at its `nth` insert detection is cut off and another takes over. Gives the inserts made. */
async function playThrough(loop: string, nth: number, when: Cut): Promise<number> {
  const store = cutAt(server.store, nth, when);
  let detection = startDetection(store, systemClock());
  for (const [i, to] of PORTIONS.entries()) {
    await play(loop, PORTIONS[i - 1] ?? 0, to);
    try {
      await detection.look();
    } catch (error) {
      assert.ok(error instanceof LoopscopeError && error.code === 'store_unavailable', String(error));
      // Half of the time the same process goes on, else one that knows only what is stored.
      if (nth % 2 === 0) detection = startDetection(store, systemClock());
      await detection.look();
    }
  }
  return store.inserts;
}

test('cut off before or after any of its inserts, detection tells the same alerts once and ends in the same state', async () => {
  const inserts = await playThrough('whole', Number.POSITIVE_INFINITY, 'before');
  const whole = await outcome('whole');
  assert.deepEqual(
    whole.alerts.map(({ state }) => state),
    ['firing', 'resolved'],
  );
  for (let nth = 0; nth < inserts; nth++)
    for (const when of ['before', 'after'] as const) {
      const loop = `cut-${when}-${nth}`;
      await playThrough(loop, nth, when);
      assert.deepEqual(await outcome(loop), whole, `cut off ${when} insert ${nth}`);
    }
});
