import assert from 'node:assert/strict';
import type { Spool, SpoolOptions } from '../../collector/spool/spool.ts';
import { seededRandom, systemClock } from '../../src/clock.ts';
import { type Lie, MemoryDisk } from './memory-disk.ts';
import { digestOf, MemoryStore, openTestSpool, requestOf } from './spool.ts';
import { type End, endingAt, filesAround, type Operation } from './steps.ts';

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

/**
 * Lives of a spool, one after the other over one disk, and the model it is held to: a request that was acknowledged is
 * delivered, and every request once, however often its sender came. Gives the operations at which lives ended;
 * `undefined` for one that was over before it came to that. Throws where the model is left.
 */
export async function live({ folder, seed, fates, lie }: LivesOptions): Promise<(Operation | undefined)[]> {
  const random = seededRandom(seed);
  const what = `seed ${seed}, ${JSON.stringify(fates)}`;
  const store = new MemoryStore();
  store.honoursTokens = lie !== 'token';
  store.mood = () => (random() < 0.15 ? 'lost' : random() < 0.1 ? 'away' : 'well');
  const acknowledged = new Set<string>();
  const ids = Array.from({ length: REQUESTS }, (_, i) => idOf(i));
  let disk = new MemoryDisk(lie === 'token' ? undefined : lie);

  const ends: (Operation | undefined)[] = [];
  for (const fate of fates) {
    ends.push(await lifeUntil(fate));
    if (fate.aftermath === 'power cut') disk = disk.afterPowerCut(random() < 0.5 ? random : undefined);
  }
  const spool = await open({ files: disk.files });
  try {
    await flushed(spool);
    for (const id of acknowledged) assert.ok(store.counts.get(`${id}/0`), `${what}: ${id} is lost`);
    // Senders that missed their answer come again, whether there had been one or not.
    await send(spool, ids);
    await flushed(spool);
  } finally {
    await spool.close(1_000);
  }
  assert.equal(acknowledged.size, REQUESTS, what);
  for (const id of ids)
    for (const span of [0, 1]) assert.equal(store.counts.get(`${id}/${span}`), 1, `${what}: ${id}/${span}`);
  return ends;

  async function lifeUntil(fate: Fate): Promise<Operation | undefined> {
    let endedAt: Operation | undefined;
    const ended = () => {
      if (endedAt) throw new Error(`the process has ended at ${endedAt}`);
    };
    const mortal = endingAt(disk.files, fate, (operation) => {
      endedAt = operation;
      ended();
    });
    const files = filesAround(mortal, async ({ work }) => {
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
      assert.ok(endedAt, `${what}: ${error}`);
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
          const outcome = await spool.append(digestOf(id), requestOf(id, 2));
          if (outcome.kind === 'kept' || outcome.kind === 'repeated') acknowledged.add(id);
        }),
      );
      await turns(Math.floor(random() * 20)); // the deliverer gets its turn
    }
  }
}
