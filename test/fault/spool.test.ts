import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findRecords, saltOf } from '../../collector/spool/record.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from '../../collector/spool/segment.ts';
import type { Spool } from '../../collector/spool/spool.ts';
import { seededRandom } from '../../src/clock.ts';
import {
  type DiskPlan,
  digestOf,
  MemoryStore,
  type Mutation,
  openTestSpool,
  requestOf,
  TestDisk,
  temporaryFolder,
} from '../support/spool.ts';
import { until } from '../support/until.ts';

/**
 * The spool against a disk that fails, a process that ends at any operation, and a power cut after it. The model is
 * simple: a request that was acknowledged is delivered, and every request once, however often its sender came.
 * `LOOPSCOPE_MUTATE=fdatasync|sync_folder|token` makes a promise below the spool untrue: the tests then fail.
 */
const MUTATION = process.env['LOOPSCOPE_MUTATE'] as Mutation | undefined;
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

/** One life that ends as planned, a power cut, and then lives until all is through. Throws where a promise is broken. */
async function liveAndDie(
  plan: DiskPlan,
  seed: number,
  mutation = MUTATION,
): Promise<{ operations: number }> {
  const random = seededRandom(seed);
  const folder = newFolder();
  const store = new MemoryStore();
  store.honoursTokens = mutation !== 'token';
  store.mood = () => (random() < 0.15 ? 'lost' : random() < 0.1 ? 'away' : 'well');
  const acknowledged = new Set<string>();
  const ids = Array.from({ length: REQUESTS }, (_, i) => idOf(i));
  const disk = new TestDisk({ ...plan, mutation });
  let spool: Spool | undefined;
  try {
    spool = await openTestSpool(folder, store, { ...SMALL, files: disk.files });
    await send(spool, acknowledged, ids);
    if (random() < 0.5) await spool.flush(AbortSignal.timeout(disk.crashed ? 1 : 200)).catch(() => {});
  } catch (error) {
    assert.ok(disk.crashed, `seed ${seed}: ${error}`);
  }
  await spool?.close(0);
  await disk.closeAll();
  disk.cutPower(random() < 0.5 ? random : undefined);

  // A second life that may end at once: what the first knew must not be lost with it.
  if (random() < 0.3) await (await openTestSpool(folder, store, SMALL)).close(5);
  spool = await openTestSpool(folder, store, SMALL);
  const lost = [...acknowledged];
  await flushed(spool);
  for (const id of lost)
    assert.ok(store.counts.get(`${id}/0`), `${JSON.stringify(plan)} seed ${seed}: ${id} is lost`);
  // Senders that missed their answer come again, whether there had been one or not.
  await send(spool, acknowledged, ids);
  await flushed(spool);
  await spool.close(1_000);
  assert.equal(acknowledged.size, REQUESTS);
  for (const id of ids)
    for (const span of [0, 1])
      assert.equal(
        store.counts.get(`${id}/${span}`),
        1,
        `${JSON.stringify(plan)} seed ${seed}: ${id}/${span}`,
      );
  rmSync(folder, { recursive: true });
  return { operations: disk.operations };
}

const CRASH_STEPS = 260;
for (const moment of ['before', 'middle', 'after'] as const)
  test(`a process that ends ${moment === 'middle' ? 'in the middle of' : moment} any operation on disk, and a power cut, lose and double nothing`, async () => {
    for (let crashAt = 1; crashAt <= CRASH_STEPS; crashAt++) {
      await liveAndDie({ crashAt, moment }, crashAt * 3 + (moment === 'after' ? 1 : 0));
    }
  });

for (const mutation of ['fdatasync', 'sync_folder', 'token'] as const)
  test(`these tests would notice the loss of ${mutation}`, async () => {
    await assert.rejects(async () => {
      for (let crashAt = 10; crashAt <= CRASH_STEPS; crashAt++)
        await liveAndDie({ crashAt, moment: 'after' }, crashAt, mutation);
    }, /is lost|r-\d+\/\d|came before/);
  });

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

const CASES = 300;
test(`a damaged folder opens, delivers what is intact and counts what is not (${CASES} cases)`, async () => {
  const original = newFolder();
  const away = new MemoryStore();
  away.mood = () => 'away';
  const filling = await openTestSpool(original, away, { segmentBytesMax: 3_000 });
  for (let i = 0; i < 40; i++) await filling.append(digestOf(idOf(i)), requestOf(idOf(i), 1, i));
  await filling.close(0);
  const segments = readdirSync(original)
    .filter((f) => f.endsWith('.seg'))
    .sort();
  assert.ok(segments.length > 4);

  for (let seed = 1; seed <= CASES; seed++) {
    const random = seededRandom(seed);
    const int = (n: number) => Math.floor(random() * n);
    const folder = newFolder();
    for (const name of readdirSync(original))
      if (statSync(join(original, name)).isFile()) copyFileSync(join(original, name), join(folder, name));
    const damage = ['flip', 'zeros', 'cut', 'remove', 'copy', 'cursor', 'noise'][seed % 7]!;
    const victim = segments[int(segments.length)]!;
    const path = join(folder, victim);
    const bytes = readFileSync(path);
    const at = int(bytes.length);
    let [from, to] = [at, at + 1];
    if (damage === 'flip') bytes[at]! ^= 1 << int(8);
    if (damage === 'zeros' || damage === 'noise') to = Math.min(bytes.length, at + 512);
    if (damage === 'zeros') bytes.fill(0, at, to);
    if (damage === 'noise') for (let i = at; i < to; i++) bytes[i] = int(256);
    if (damage === 'cut') to = bytes.length;
    if (damage === 'remove') [from, to] = [0, bytes.length];
    if (['copy', 'cursor'].includes(damage)) [from, to] = [0, 0];
    if (damage === 'copy') copyFileSync(path, join(folder, `${String(90 + int(9)).padStart(16, '0')}.seg`));
    else if (damage === 'cursor') writeFileSync(join(folder, 'cursor'), Buffer.alloc(int(9_000), int(256)));
    else if (damage === 'remove') unlinkSync(path);
    else writeFileSync(path, damage === 'cut' ? bytes.subarray(0, at) : bytes);

    const hurt = new Set<string>();
    const salt = saltOf(decodeSegmentHeader(readFileSync(join(original, victim)))!.spoolId);
    const whole = readFileSync(join(original, victim)).subarray(SEGMENT_HEADER_BYTES);
    for (const f of findRecords(whole, true, salt)) {
      if (f.kind !== 'record' || f.from + SEGMENT_HEADER_BYTES >= to || f.to + SEGMENT_HEADER_BYTES <= from)
        continue;
      hurt.add(JSON.parse(f.record.chunks[1]!.bytes.toString().split('\n')[0]!).id);
    }
    const store = new MemoryStore();
    const spool = await openTestSpool(folder, store, { durability: 'process_crash' });
    await flushed(spool);
    const { setAside } = spool.figures();
    await spool.close(1_000);
    for (let i = 0; i < 40; i++) {
      const id = `${idOf(i)}/0`;
      assert.equal(store.counts.get(id), hurt.has(id) ? undefined : 1, `seed ${seed} ${damage} ${id}`);
    }
    const counted = Object.values(setAside).reduce((a, b) => a + b, 0);
    const headerOnly = to <= SEGMENT_HEADER_BYTES && hurt.size === 0;
    const onBoundary = damage === 'cut' && hurt.size === 0;
    const noChange =
      readFileSync(join(original, victim)).equals(bytes) && ['zeros', 'noise'].includes(damage);
    if (!headerOnly && !onBoundary && !noChange && !(damage === 'remove' && victim === segments.at(-1)))
      assert.ok(
        counted > 0 || victim === segments.at(-1) || cutAtRecord(),
        `seed ${seed} ${damage}: nothing is counted`,
      );
    rmSync(folder, { recursive: true });

    function cutAtRecord(): boolean {
      return (
        damage === 'cut' &&
        [...findRecords(whole, true, salt)].some((f) => f.from + SEGMENT_HEADER_BYTES === at)
      );
    }
  }
});
