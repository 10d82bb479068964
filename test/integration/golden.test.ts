import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import { inputHash } from '../../src/records/normalize.ts';
import { listDatasets, loadIndex } from '../../src/store/golden.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
const directory = mkdtempSync(join(tmpdir(), 'loopscope-golden-'));
before(async () => {
  server = await startTestStore();
});
after(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

const file = (name: string, text: string) => {
  writeFileSync(join(directory, name), text);
  return join(directory, name);
};
// Each import a moment later than the last: the version in force is the one imported last.
let now = Date.now();
const clock = { ...systemClock(), now: () => ++now };
const load = (dataset: string, name: string, text: string) =>
  importGolden({ store: server.store, clock }, { path: file(name, text), dataset });

const V1 = '{"input":"Is 7 prime?","expected":"yes","id":"seven"}\n{"input":"Is 8 prime?","expected":"no"}\n';
const V1_CSV = 'expected,input,id\nno,Is 8 prime?,\nyes,Is 7 prime?,seven\n';
const V2 = '{"input":"Is 7 prime?","expected":"YES","id":"seven"}\n';

test('the same content again is a no-op, in another order and format too', async () => {
  const first = await load('primes', 'v1.jsonl', V1);
  assert.deepEqual({ ...first, version: '' }, { dataset: 'primes', version: '', items: 2, changed: true });
  assert.deepEqual(await load('primes', 'v1.jsonl', V1), { ...first, changed: false });
  assert.deepEqual(await load('primes', 'v1.csv', V1_CSV), { ...first, changed: false });
  const rows = await server.store.query(`SELECT 1 FROM loopscope.golden_items WHERE dataset = 'primes'`);
  assert.equal(rows.length, 2);
});

test('the version imported last is in force, also when it is an old one again', async () => {
  const v1 = await load('back', 'v1.jsonl', V1);
  const v2 = await load('back', 'v2.jsonl', V2);
  const second = await loadIndex(server.store, 'back');
  assert.equal(second?.version, v2.version);
  assert.equal(second?.byItem.size, 1);
  assert.equal(second?.byInput.get(inputHash(' Is 7   prime?'))?.expected, 'YES');

  assert.equal((await load('back', 'v1.jsonl', V1)).changed, true);
  const third = await loadIndex(server.store, 'back');
  assert.equal(third?.version, v1.version);
  assert.equal(third?.byItem.get('seven')?.expected, 'yes');
  assert.equal(third?.byItem.size, 2);
  const listed = (await listDatasets(server.store)).find((d) => d.dataset === 'back');
  assert.deepEqual(listed, {
    dataset: 'back',
    version: v1.version,
    items: 2,
    imported_at: new Date(now).toISOString(),
  });
});

test('a file with a bad line loads nothing', async () => {
  await assert.rejects(load('bad', 'bad.jsonl', `${V1}{"input":"x"}\n`), /bad\.jsonl:3: expected/);
  assert.equal(await loadIndex(server.store, 'bad'), undefined);
  await assert.rejects(
    importGolden({ store: server.store, clock }, { path: join(directory, 'none.jsonl'), dataset: 'bad' }),
    /none\.jsonl: cannot be read/,
  );
});
