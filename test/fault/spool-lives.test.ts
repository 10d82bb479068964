import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { seededRandom } from '../../src/clock.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { digestOf, MemoryStore, openTestSpool, requestOf, temporaryFolder } from '../support/spool.ts';
import { type Fate, flushed, live, restlessClock } from '../support/spool-lives.ts';
import { CHANGES } from '../support/steps.ts';

/**
 * The spool's process ends around any operation on disk, the power is cut, and both again and again before what was left
 * is dealt with, over a disk that fails now and then. `LOOPSCOPE_LIVES` makes the random part longer, `LOOPSCOPE_SEED` another one.
 */
const RANDOM_CASES = Number(process.env['LOOPSCOPE_LIVES'] ?? 500);
const SEED = Number(process.env['LOOPSCOPE_SEED'] ?? 1);
const MOMENTS = ['before', 'middle', 'after'] as const;
const AFTERMATHS = ['restart', 'power cut'] as const;
const temporary = temporaryFolder();
after(() => temporary.remove());
const folder = temporary.path;

for (const aftermath of AFTERMATHS)
  test(`a process that ends around any operation on disk, and a ${aftermath}, lose and double nothing`, async () => {
    for (const moment of MOMENTS) {
      const seen = new Set<string>();
      for (let at = 1; ; at++) {
        // A few schedules each: what the deliverer is at when it happens differs.
        const ends = [];
        for (let i = 0; i < 4; i++)
          ends.push(...(await live({ folder, seed: at * 4 + i, fates: [{ at, moment, aftermath }] })));
        for (const end of ends) if (end) seen.add(end);
        if (ends.every((end) => end === undefined)) break;
      }
      const missing = CHANGES.filter((change) => change !== 'truncate' && !seen.has(change));
      assert.deepEqual(missing, [], 'operations that no life ended at');
    }
  });

test(`several ends in a row lose and double nothing (${RANDOM_CASES} cases from seed ${SEED})`, async () => {
  const seen = new Set<string>();
  for (let seed = SEED; seed < SEED + RANDOM_CASES; seed++)
    for (const end of await live({ folder, seed, fates: fatesOf(seed) })) if (end) seen.add(end);
  // The tail of a failed commit is cut off in few lives, and fewer end just there.
  const missing = CHANGES.filter((change) => change !== 'truncate' && !seen.has(change));
  assert.deepEqual(missing, [], 'operations that no life ended at');
});

test('segments whose cursor is gone, and then a power cut, lose and double nothing', async () => {
  const disk = new MemoryDisk();
  const open = (files: MemoryDisk['files'], store: MemoryStore) =>
    openTestSpool(folder, store, { files, clock: restlessClock() });
  const away = new MemoryStore();
  away.mood = () => 'away';
  let spool = await open(disk.files, away);
  const ids = ['a', 'b', 'c', 'd'];
  for (const id of ids) await spool.append(digestOf(id), requestOf(id));
  await spool.close(0);
  disk.remove(join(folder, 'cursor'));

  // Refused once, so that its batches are others than a start would make again.
  const store = new MemoryStore();
  let spanInserts = 0;
  let left: MemoryDisk | undefined;
  store.mood = ({ table }) => {
    if (left) return 'away';
    if (table === 'messages' || spanInserts++ > 0) return 'well';
    return 'rejects';
  };
  const isHalfStored = Promise.withResolvers<void>();
  const { deliver } = store;
  spool = await openTestSpool(folder, store, {
    files: disk.files,
    clock: restlessClock(),
    deliver: async (insert) => {
      const outcome = await deliver(insert);
      if (store.counts.size > 0 && !left) {
        left = disk.afterPowerCut();
        isHalfStored.resolve();
      }
      return outcome;
    },
  });
  await isHalfStored.promise;
  await spool.close(0);
  const stored = store.counts.size;
  assert.ok(stored > 0 && stored < ids.length, `${stored} stored`);
  const { files } = left!;
  left = undefined;
  spool = await open(files, store);
  await flushed(spool);
  await spool.close(0);
  for (const id of ids) assert.equal(store.counts.get(`${id}/0`), 1, id);
});

for (const lie of ['datasync', 'syncFolder', 'token'] as const)
  test(`these tests would notice the loss of ${lie}`, async () => {
    await assert.rejects(
      async () => {
        for (let seed = 1; seed <= 1_000; seed++) await live({ folder, seed, fates: fatesOf(seed), lie });
      },
      { code: 'ERR_ASSERTION' },
    );
  });

function fatesOf(seed: number): Fate[] {
  const random = seededRandom(seed + 1_000_000);
  const pick = <T>(of: readonly T[]) => of[Math.floor(random() * of.length)]!;
  return Array.from({ length: 1 + Math.floor(random() * 3) }, () => ({
    at: 1 + Math.floor(random() ** 2 * (random() < 0.5 ? 12 : 150)),
    moment: pick(MOMENTS),
    aftermath: pick(AFTERMATHS),
    ...(random() < 0.3 && {
      failure: {
        at: 1 + Math.floor(random() ** 2 * 100),
        times: 1 + Math.floor(random() ** 2 * 6),
        code: pick(['EIO', 'ENOSPC'] as const),
      },
    }),
  }));
}
