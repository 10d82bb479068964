import assert from 'node:assert/strict';
import { test } from 'node:test';
import { campaign, cycles, SEED } from '../support/campaign.ts';

/** `kill -9` of the collector under load, again and again, against a real ClickHouse. */
const CYCLES = cycles(100);

test(`a collector killed ${CYCLES} times loses and doubles no acknowledged span (seed ${SEED})`, async () => {
  const { retries } = await campaign('collector-killed', {
    cycles: CYCLES,
    seed: SEED,
    cycle: async ({ collector, pause }) => {
      // Now in the middle of work, now while it starts and delivers what was left.
      await pause(250);
      await collector.kill();
      await collector.start();
    },
  });
  assert.ok(retries > CYCLES, `the senders noticed: ${retries} retries`);
});
