import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { seededRandom } from '../../src/clock.ts';
import { SEGMENT_HEADER_BYTES } from '../../src/spool/segment.ts';
import type { SpoolFigures, SpoolOptions } from '../../src/spool/spool.ts';
import { DAMAGES, damaged } from '../support/damage.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { digestOf, MemoryStore, openTestSpool, requestOf, temporaryFolder } from '../support/spool.ts';
import { flushed, restlessClock, turns } from '../support/spool-lives.ts';

/**
 * A spool's folder that came back from the disk other than it was written. It opens, delivers what is intact, once, and
 * nothing that was not written; counts what it leaves out; and is done: the next start finds nothing more to do.
 * Together with every cut it is 10,000 cases. `LOOPSCOPE_CASES` makes it longer, `LOOPSCOPE_SEED` another one.
 */
const CASES = Number(process.env['LOOPSCOPE_CASES'] ?? 7_000);
const SEED = Number(process.env['LOOPSCOPE_SEED'] ?? 1);
const REQUESTS = 16;
const SMALL = { segmentBytesMax: 700 };
const temporary = temporaryFolder();
after(() => temporary.remove());
const folder = temporary.path;
const idOf = (spool: string, i: number) => `${spool}-${i}`;

interface Place {
  id: string;
  path: string;
  from: number;
  to: number;
}

/** A spool as a process left it, what ClickHouse has of it, and where the requests it still has are. */
interface Left {
  disk: MemoryDisk;
  delivered: string[];
  places: Place[];
}

function open(disk: MemoryDisk, store: MemoryStore, options: Partial<SpoolOptions> = {}) {
  return openTestSpool(folder, store, { ...SMALL, clock: restlessClock(), files: disk.files, ...options });
}

/** `share`: how much of it ClickHouse took before it went away. */
async function leave(name: string, share: number, requests = REQUESTS): Promise<Left> {
  const disk = new MemoryDisk();
  const store = new MemoryStore();
  const spool = await open(disk, store);
  const places: Place[] = [];
  for (let i = 0; i < requests; i++) {
    if (i >= requests * share) store.mood = () => 'away';
    const id = idOf(name, i);
    const before = sizes(disk);
    assert.equal((await spool.append(digestOf(id), requestOf(id, 1, i % 7))).kind, 'kept');
    const grown = [...sizes(disk)].find(
      ([path, size]) => path.endsWith('.seg') && size > (before.get(path) ?? 0),
    )!;
    places.push({ id, path: grown[0], from: before.get(grown[0]) ?? SEGMENT_HEADER_BYTES, to: grown[1] });
    if (i < requests * share) await turns(i % 4);
  }
  await spool.close(0);
  await turns(3); // what was on its way to ClickHouse when it closed
  const delivered = [...store.counts.keys()].map((key) => key.split('/')[0]!);
  return { disk, delivered, places: places.filter(({ path }) => disk.bytesOf(path)) };
}

const sizes = (disk: MemoryDisk) => new Map(disk.paths.map((path) => [path, disk.bytesOf(path)!.length]));

/** Opens what `disk` has become of `left`, and holds what is delivered and counted against the model. */
async function judge(left: Left, disk: MemoryDisk, what: string): Promise<void> {
  const written = new Set(left.places.map(({ id }) => id));
  // In its place as it was written: nothing before it in the file matters, nor what follows.
  const intact = left.places.filter(({ id, path, from, to }) => {
    const now = disk.bytesOf(path)?.subarray(from, to);
    return !left.delivered.includes(id) && now?.equals(left.disk.bytesOf(path)!.subarray(from, to));
  });
  const silent = isSilent(left, disk);
  const store = new MemoryStore();
  const { setAside, records } = await liveThrough(disk, store, what);
  for (const [key, count] of store.counts) {
    assert.ok(written.has(key.split('/')[0]!), `${what}: ${key} was not written`);
    assert.equal(count, 1, `${what}: ${key} came twice`);
  }
  for (const { id } of intact)
    assert.ok(store.counts.has(`${id}/0`), `${what}: ${id} is intact and did not come`);
  assert.equal(records, 0, `${what}: records that wait`);

  const missed = left.places.filter(({ id }) => !left.delivered.includes(id) && !store.counts.has(`${id}/0`));
  const counted = Object.values(setAside).reduce((a, b) => a + b, 0);
  if (missed.length > 0 && !silent) assert.ok(counted > 0, `${what}: nothing is counted`);

  const inserts = store.inserts.length;
  await liveThrough(disk, store, what);
  assert.equal(store.inserts.length, inserts, `${what}: the next start delivered again`);
}

/** One start to the end of its work. */
async function liveThrough(disk: MemoryDisk, store: MemoryStore, what: string): Promise<SpoolFigures> {
  const spool = await open(disk, store);
  try {
    await flushed(spool);
    return spool.figures();
  } catch (error) {
    throw new Error(`${what}: it comes to no end`, { cause: error });
  } finally {
    await spool.close(1_000);
  }
}

/** A segment that ends after a whole record is like one that was never longer; a last one that is gone, like none. */
function isSilent(left: Left, disk: MemoryDisk): boolean {
  const changed = left.disk.paths.filter((path) => !disk.bytesOf(path)?.equals(left.disk.bytesOf(path)!));
  return changed.every((path) => {
    const now = disk.bytesOf(path);
    if (!now) return path === left.places.at(-1)!.path;
    const isPrefix = left.disk.bytesOf(path)!.subarray(0, now.length).equals(now);
    const isBoundary =
      now.length === SEGMENT_HEADER_BYTES || left.places.some((p) => p.path === path && p.to === now.length);
    return isPrefix && isBoundary;
  });
}

test('a segment cut at any byte gives all that is before', async () => {
  const left = await leave('cut', 0, 10);
  let cases = 0;
  for (const path of left.disk.paths.filter((name) => name.endsWith('.seg')))
    for (let length = 0; length < left.disk.bytesOf(path)!.length; length++, cases++) {
      const disk = left.disk.copy();
      disk.put(path, left.disk.bytesOf(path)!.subarray(0, length));
      await judge(left, disk, `${path} cut at ${length}`);
    }
  assert.ok(cases > 3_000, `${cases} cases`);
});

test(`damage costs what it touches, is counted, and comes to an end (${CASES} cases from seed ${SEED})`, async () => {
  const other = (await leave('other', 0)).disk;
  const lefts = [await leave('new', 0), await leave('half', 0.5), await leave('late', 0.8)];
  for (let seed = SEED; seed < SEED + CASES; seed++) {
    const random = seededRandom(seed);
    const left = lefts[seed % lefts.length]!;
    const damage = DAMAGES[Math.floor(random() * DAMAGES.length)]!;
    const disk = damaged(left.disk, damage, other, random);
    await judge(left, disk, `seed ${seed}, ${damage}`);
  }
});
