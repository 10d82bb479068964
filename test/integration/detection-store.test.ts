import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readStates, storeStates } from '../../src/store/detector-states.ts';
import { arrivalClock, type Place, seriesSizes, tell } from '../../src/store/new-scores.ts';
import { insertTestScores } from '../support/detection.ts';
import { insertRuns } from '../support/eval-runs.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const T0 = Date.parse('2026-01-05T00:00:00Z');

test('a large result comes in pieces, and a refused query is told as one', async () => {
  let rows = 0;
  let pieces = 0;
  for await (const piece of server.store.stream<readonly [number, string]>(
    'SELECT number, {text:String} FROM numbers(200000)',
    { text: 'a "quoted"\ttext' },
  )) {
    pieces++;
    rows += piece.length;
    assert.equal(piece[0]![1], 'a "quoted"\ttext');
  }
  assert.equal(rows, 200_000);
  assert.ok(pieces > 1);
  await assert.rejects(async () => {
    for await (const _ of server.store.stream('SELECT nothing FROM nowhere'));
  }, /LoopscopeError: ClickHouse at .* refused the query/);
});

test('the newest state of each stream is read, of the version that was asked for', async () => {
  const row = (stream: string, revision: number, state: string) => ({
    loop: 'states',
    stream,
    revision,
    state,
  });
  await storeStates(server.store, 1, [row('a', 1, 'old'), row('b', 1, 'only')]);
  await storeStates(server.store, 1, [row('a', 2, 'new')]);
  await storeStates(server.store, 2, [row('a', 3, 'of another version')]);
  const states = [];
  for await (const rows of readStates(server.store, 1)) states.push(...rows);
  assert.deepEqual(states, [row('a', 2, 'new'), row('b', 1, 'only')]);
});

test('loops of any name have their series, and each is told from its own place', async () => {
  const names = ["it's", 'tab\tname', 'új', 'a,b]', 'back\\slash'];
  const before = await arrivalClock(server.store);
  await insertRuns(
    server.store,
    names.flatMap((loop) =>
      [0, 1].map((i) => ({ loop, run: `r-${i}`, at: T0 + i, input: 'q', output: `${i}` })),
    ),
  );
  await insertTestScores(
    server.store,
    names.flatMap((loop) => [0, 1].map((i) => ({ loop, run: `r-${i}`, score: i, suite: `${loop}-suite` }))),
  );
  const now = await arrivalClock(server.store);
  const sizes = (await seriesSizes(server.store, now)).filter(({ loop }) => names.includes(loop));
  assert.deepEqual(
    sizes.map(({ loop, suite, rows, isScored }) => [loop, suite, rows, isScored]),
    names.toSorted().map((loop) => [loop, `${loop}-suite`, 2, true]),
  );
  const told = async (places: Place[]) => {
    const rows = [];
    for await (const piece of tell(server.store, places, now)) rows.push(...piece);
    return rows.map(({ loop, runId, as, score }) => [loop, runId, as, score]);
  };
  const places = sizes.map((size) => ({ ...size, until: 0 }));
  const all = names.toSorted().flatMap((loop) => [
    [loop, 'r-0', 'whole', 0],
    [loop, 'r-1', 'whole', 1],
  ]);
  assert.deepEqual(await told(places), all);
  assert.deepEqual(await told(sizes.map((size) => ({ ...size, until: before - 1 }))), all);
  const [first, ...rest] = places;
  assert.deepEqual(
    await told([{ ...first!, until: now }, ...rest]),
    all.filter(([loop]) => loop !== first!.loop),
  );
});
