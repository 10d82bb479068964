import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../src/clock.ts';
import type { ChildSettings } from './collector-child.ts';
import { Ledger, SPANS_PER_REQUEST } from './ledger.ts';
import { MortalProcess } from './mortal-process.ts';
import { MortalStore } from './mortal-store.ts';

/** `LOOPSCOPE_CYCLES` makes campaigns longer, `LOOPSCOPE_SEED` chooses other moments. */
export const SEED = Number(process.env['LOOPSCOPE_SEED'] ?? 1);
export const cycles = (inCi: number) => Number(process.env['LOOPSCOPE_CYCLES'] ?? inCi);

const SENDERS = 4;

export interface Scene {
  collector: MortalProcess<ChildSettings>;
  clickhouse: MortalStore;
  random: () => number;
  /** Lets the load run for a moment of random length: mostly short, now and then long enough to get through. */
  pause(msMax: number): Promise<void>;
}

/**
 * A collector in a process of its own and a ClickHouse under load, while `cycle` kills one or the other. In the end every
 * acknowledged span must be stored once.
 */
export async function campaign(
  loop: string,
  { cycles, seed, cycle }: { cycles: number; seed: number; cycle: (scene: Scene) => Promise<void> },
): Promise<Ledger> {
  const folder = mkdtempSync(join(tmpdir(), 'loopscope-kill-'));
  const clickhouse = await MortalStore.start();
  const collector = new MortalProcess<ChildSettings>('collector-child.ts', {
    clickhouseUrl: clickhouse.url,
    folder,
    port: 0,
  });
  const random = seededRandom(seed);
  const pause = (msMax: number) => delay(random() ** 2 * msMax);
  try {
    await collector.start();
    const ledger = new Ledger(loop, () => collector.url);
    await ledger.during(SENDERS, async () => {
      for (let i = 0; i < cycles; i++) await cycle({ collector, clickhouse, random, pause });
    });
    await ledger.delivered(30_000 + cycles * 1_000); // what waited through many outages is much
    const spans = ledger.acknowledged.length * SPANS_PER_REQUEST;
    const figures = `${cycles} kills, ${spans} spans, ${ledger.retries} retries, seed ${seed}`;
    await ledger.settle(clickhouse.store, figures);
    process.stderr.write(`# ${loop}: ${figures}; 0 lost, 0 doubled\n`);
    return ledger;
  } finally {
    await collector.close();
    await clickhouse.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
