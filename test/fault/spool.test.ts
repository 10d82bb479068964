import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Spool } from '../../src/spool/spool.ts';
import {
  digestOf,
  MemoryStore,
  openTestSpool,
  requestOf,
  TestDisk,
  temporaryFolder,
} from '../support/spool.ts';
import { until } from '../support/until.ts';

/** The spool against a disk that fails, a store that is away or rejects, and another process. */
const temporary = temporaryFolder();
after(() => temporary.remove());
let folders = 0;
const newFolder = () => {
  const folder = join(temporary.path, String(++folders));
  mkdirSync(folder);
  return folder;
};

const REQUESTS = 12;
const SMALL = { segmentBytesMax: 1_500 };
const idOf = (i: number) => `r-${i}`;
const flushed = (spool: Spool) => spool.flush(AbortSignal.timeout(10_000));

/** Sends the requests a few at a time; gives those that were acknowledged. */
async function send(spool: Spool, acknowledged: Set<string>, ids: readonly string[]): Promise<void> {
  for (let i = 0; i < ids.length; i += 3) {
    await Promise.all(
      ids.slice(i, i + 3).map(async (id) => {
        const outcome = await spool.append(digestOf(id), requestOf(id, 2));
        if (outcome.kind === 'kept' || outcome.kind === 'repeated') acknowledged.add(id);
      }),
    );
    if (i % 2) await new Promise((resolve) => setTimeout(resolve, 2)); // the deliverer gets its turn
  }
}

for (const code of ['EIO', 'ENOSPC'] as const)
  test(`${code} at any operation refuses some requests, and costs none`, async () => {
    const kinds = new Set<string>();
    for (let failAt = 1; ; failAt++) {
      const folder = newFolder();
      const store = new MemoryStore();
      const disk = new TestDisk({ failAt, failTimes: 1 + (failAt % 3), code });
      let spool: Spool;
      try {
        spool = await openTestSpool(folder, store, { ...SMALL, files: disk.files });
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, code); // a start fails as a whole, and can be repeated
        spool = await openTestSpool(folder, store, { ...SMALL, files: disk.files }).catch(() =>
          openTestSpool(folder, store, SMALL),
        );
      }
      const ids = Array.from({ length: REQUESTS }, (_, i) => idOf(i));
      const acknowledged = new Set<string>();
      await until('all are taken', async () => {
        await send(spool, acknowledged, ids);
        return acknowledged.size === REQUESTS;
      });
      await flushed(spool);
      await spool.close(1_000);
      for (const kind of disk.failed) kinds.add(kind);
      for (const id of ids) assert.equal(store.counts.get(`${id}/0`), 1, `${code} at ${failAt}: ${id}`);
      rmSync(folder, { recursive: true });
      if (disk.failed.length === 0) break;
    }
    for (const kind of ['create', 'write', 'datasync', 'syncFolder', 'open', 'read', 'unlink', 'rename'])
      assert.ok(kinds.has(kind), `${kind} failed once`);
  });

test('a full spool says so, takes what there is room for, and takes more once ClickHouse is back', async () => {
  const store = new MemoryStore();
  store.mood = () => 'away';
  const spool = await openTestSpool(newFolder(), store, { bytesMax: 12_000 });
  const kinds: string[] = [];
  for (let i = 0; i < 60; i++) kinds.push((await spool.append(digestOf(idOf(i)), requestOf(idOf(i)))).kind);
  const kept = kinds.filter((k) => k === 'kept').length;
  assert.ok(kept > 10 && kept < 60, `${kept} kept`);
  assert.equal(kinds.at(-1), 'full');
  assert.ok(spool.figures().bytes <= 12_000);
  assert.equal(spool.figures().records, kept);
  assert.equal(spool.trouble(), 'away');
  store.mood = () => 'well';
  await flushed(spool);
  assert.equal(spool.trouble(), undefined);
  assert.deepEqual([spool.figures().records, store.counts.size, spool.figures().oldestUnsentS], [0, kept, 0]);
  await until(
    'there is room',
    async () => (await spool.append(digestOf('x'), requestOf('x'))).kind === 'kept',
  );
  await spool.close(1_000);
});

test('a record ClickHouse rejects is set aside, and everything around it arrives once, also over a restart', async () => {
  const folder = newFolder();
  const store = new MemoryStore();
  const isBad = (text: string) => /"r-(7|8|31)\//.test(text);
  store.mood = () => 'away';
  let spool = await openTestSpool(folder, store);
  for (let i = 0; i < 40; i++) await spool.append(digestOf(idOf(i)), requestOf(idOf(i)));
  await spool.close(0);
  let tries = 0;
  store.mood = ({ table, bodies }) => {
    if (tries++ === 9) return 'away';
    return table === 'otel_traces' && isBad(Buffer.concat(bodies).toString()) ? 'rejects' : 'well';
  };
  const dying = new TestDisk({ crashAt: 60 });
  spool = await openTestSpool(folder, store, { files: dying.files });
  await until('it ends', () => dying.crashed);
  await spool.close(0);
  await dying.closeAll();
  spool = await openTestSpool(folder, store);
  await flushed(spool);
  await spool.close(1_000);
  for (let i = 0; i < 40; i++)
    assert.equal(store.counts.get(`${idOf(i)}/0`), [7, 8, 31].includes(i) ? undefined : 1, idOf(i));
  assert.equal(readdirSync(join(folder, 'rejected')).filter((f) => f.endsWith('.rejected')).length, 3);
});

test('a folder has one process at a time', async () => {
  const folder = newFolder();
  const spool = await openTestSpool(folder, new MemoryStore());
  await assert.rejects(openTestSpool(folder, new MemoryStore()), {
    code: 'data_dir_in_use',
    message: /Another process/,
  });
  await spool.close(0);
  await (await openTestSpool(folder, new MemoryStore())).close(0);
});
