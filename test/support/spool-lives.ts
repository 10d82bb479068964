import assert from 'node:assert/strict';
import { seededRandom, systemClock } from '../../src/clock.ts';
import type { Spool, SpoolOptions } from '../../src/spool/spool.ts';
import { type Lie, MemoryDisk } from './memory-disk.ts';
import { digestOf, MemoryStore, openTestSpool, requestOf } from './spool.ts';
import { type End, endingAt, type Failure, failingAt, filesAround, type Operation } from './steps.ts';

/** Time that passes, and waits that take no longer than others need to get their turn. */
export const restlessClock = () => ({
  ...systemClock(),
  sleep: async (_ms: number, signal?: AbortSignal) => {
    await new Promise(setImmediate);
    signal?.throwIfAborted();
  },
});

export const turns = async (n: number) => {
  for (let i = 0; i < n; i++) await new Promise(setImmediate);
};

export const flushed = (spool: Spool) => spool.flush(AbortSignal.timeout(3_000));

/** How a life ends, and what the machine does then. */
export interface Fate extends End {
  aftermath: 'restart' | 'power cut';
  /** Where the disk fails while it lasts. */
  failure?: Failure;
}

export interface LivesOptions {
  /** Where the lock is; the files are in memory. */
  folder: string;
  seed: number;
  /** The lives before the last one, which ends well. */
  fates: readonly Fate[];
  lie?: Lie | 'token';
}

const REQUESTS = 12;
const SMALL = { segmentBytesMax: 1_500 };
const idOf = (i: number) => `r-${i}`;
/** What ends leave: half of a group that was not acknowledged, or all of it twice. */
const EXPECTED = ['torn_tail', 'corrupt', 'duplicate', 'rejected'];

/**
 * Lives of a spool, one after the other over one disk, and the model it is held to: a request that was acknowledged is
 * delivered, and every request once, however often its sender came; one that ClickHouse rejects is kept aside. Gives the
 * operations at which lives ended; `undefined` for one that was over before it came to that. Throws where the model is
 * left.
 */
export async function live({ folder, seed, fates, lie }: LivesOptions): Promise<(Operation | undefined)[]> {
  const random = seededRandom(seed);
  const what = `seed ${seed}, ${JSON.stringify(fates)}`;
  const ids = Array.from({ length: REQUESTS }, (_, i) => idOf(i));
  const rejectedIds = random() < 0.5 ? [] : ids.filter(() => random() < 0.2);
  const rejectingTable = random() < 0.5 ? 'messages' : 'otel_traces';
  const spansSaid = random() < 0.5 ? 2 : 20_000; // few such requests make a full batch
  const store = new MemoryStore();
  store.honoursTokens = lie !== 'token';
  store.mood = ({ table, bodies }) => {
    if (random() < 0.1) return 'away';
    const text = table === rejectingTable && rejectedIds.length > 0 ? Buffer.concat(bodies).toString() : '';
    if (rejectedIds.some((id) => text.includes(`"${id}/`))) return 'rejects';
    return random() < 0.15 ? 'lost' : 'well';
  };
  const acknowledged = new Set<string>();
  let disk = new MemoryDisk(lie === 'token' ? undefined : lie);

  const ends: (Operation | undefined)[] = [];
  for (const fate of fates) {
    ends.push(await lifeUntil(fate));
    if (fate.aftermath === 'power cut') disk = disk.afterPowerCut(random() < 0.5 ? random : undefined);
  }
  await lastLife();
  assert.equal(acknowledged.size, REQUESTS, what);
  assertDelivered(ids);
  // What the spool promised is promised for good.
  disk = disk.afterPowerCut(random() < 0.5 ? random : undefined);
  await lastLife();
  assertDelivered(ids);
  const rejected = disk.paths.filter((path) => path.endsWith('.rejected'));
  for (const id of rejectedIds)
    assert.ok(
      rejected.some((path) => disk.bytesOf(path)!.includes(`"${id}/`)),
      `${what}: ${id} is lost, it was rejected and is not in rejected/`,
    );
  return ends;

  async function lastLife(): Promise<void> {
    const spool = await open({ files: disk.files });
    try {
      await flushed(spool).catch((error) => assert.fail(`${what}: it comes to no end: ${error}`));
      assertDelivered(acknowledged);
      assert.equal(spool.figures().records, 0, `${what}: records that nobody waits for`);
      // Senders that missed their answer come again, whether there had been one or not.
      await send(spool, ids);
      await flushed(spool).catch((error) => assert.fail(`${what}: it comes to no end: ${error}`));
      assert.equal(spool.figures().records, 0, `${what}: records that nobody waits for`);
      for (const reason of Object.keys(spool.figures().setAside))
        assert.ok(EXPECTED.includes(reason), `${what}: ${reason}`);
    } finally {
      await spool.close(1_000);
    }
  }

  function assertDelivered(wanted: Iterable<string>): void {
    for (const id of wanted)
      for (const span of [0, 1]) {
        const count = store.counts.get(`${id}/${span}`);
        assert.equal(count, rejectedIds.includes(id) ? undefined : 1, `${what}: ${id}/${span}`);
      }
  }

  async function lifeUntil(fate: Fate): Promise<Operation | undefined> {
    let endedAt: Operation | undefined;
    let hasFailed = false;
    const ended = () => {
      if (endedAt) throw new Error(`the process has ended at ${endedAt}`);
    };
    const mortal = endingAt(disk.files, fate, (operation) => {
      endedAt = operation;
      ended();
    });
    const failing = fate.failure
      ? failingAt(mortal, fate.failure, () => {
          hasFailed = true;
        })
      : mortal;
    const files = filesAround(failing, async ({ work }) => {
      ended();
      await work();
    });
    let spool: Spool | undefined;
    try {
      spool = await open({
        files,
        deliver: async (insert) =>
          endedAt ? { kind: 'unavailable', message: 'the process has ended' } : await store.deliver(insert),
      });
    } catch (error) {
      assert.ok(endedAt || hasFailed, `${what}: ${error}`);
      return endedAt;
    }
    // Now everybody comes again, now only those without an answer.
    await send(spool, random() < 0.5 ? ids : ids.filter((id) => !acknowledged.has(id)));
    if (random() < 0.5) await turns(Math.floor(random() * 200));
    await spool.close(0);
    return endedAt;
  }

  function open(options: Partial<SpoolOptions>): Promise<Spool> {
    return openTestSpool(folder, store, { ...SMALL, clock: restlessClock(), ...options });
  }

  async function send(spool: Spool, wanted: readonly string[]): Promise<void> {
    for (let i = 0; i < wanted.length; i += 3) {
      await Promise.all(
        wanted.slice(i, i + 3).map(async (id) => {
          const [messages, spans] = requestOf(id, 2);
          const chunks = [messages!, { ...spans!, rows: spansSaid }];
          const outcome = await spool.append(digestOf(id), chunks);
          if (outcome.kind === 'kept' || outcome.kind === 'repeated') acknowledged.add(id);
        }),
      );
      await turns(Math.floor(random() * 20)); // the deliverer gets its turn
    }
  }
}
