import { test } from 'node:test';
import { campaign, cycles, SEED } from '../support/campaign.ts';

/**
 * `kill -9` of ClickHouse under the collector's inserts, alone and together with the collector. What the operating
 * system has of a part is not lost with the process; whether a part is whole, and the token of its insert is known to the
 * next process, is what is asked here.
 */
const CYCLES = cycles(10);

test(`a ClickHouse killed ${CYCLES} times loses and doubles no acknowledged span (seed ${SEED})`, async () => {
  await campaign('clickhouse-killed', {
    cycles: CYCLES,
    seed: SEED,
    cycle: async ({ clickhouse, pause }) => {
      await pause(600);
      await clickhouse.killed();
    },
  });
});

test(`a collector and a ClickHouse killed ${CYCLES} times lose and double no acknowledged span (seed ${SEED})`, async () => {
  await campaign('both-killed', {
    cycles: CYCLES,
    seed: SEED,
    cycle: async ({ collector, clickhouse, random, pause }) => {
      await pause(600);
      const collectorFirst = random() < 0.5;
      if (collectorFirst) await collector.kill();
      const back = clickhouse.killed();
      if (!collectorFirst) {
        await pause(200);
        await collector.kill();
      }
      // Now it finds ClickHouse away, now back.
      await pause(1_500);
      await collector.start();
      await back;
    },
  });
});
