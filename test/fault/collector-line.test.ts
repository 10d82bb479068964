import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../src/clock.ts';
import { openStore } from '../../src/store/client.ts';
import { cycles, SEED } from '../support/campaign.ts';
import { startTestCollector } from '../support/collector.ts';
import { Ledger, SPANS_PER_REQUEST } from '../support/ledger.ts';
import { type LineMode, startLine } from '../support/line.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

/**
 * A collector under load and a ClickHouse, with a line between that is cut, loses answers after the commit, lets nothing
 * through or breaks in the middle of a request. A request that hangs is given up after a while, and what ClickHouse made
 * of it is not known.
 */
const CYCLES = cycles(12);
const MODES = ['down', 'mute', 'mute-once', 'hold', 'hang', 'reset'] as const satisfies LineMode[];
/** Enough for an insert on a machine that does other things. */
const GIVEN_UP_MS = 6_000;
const GIVEN_UP_AT = [MODES.indexOf('hold'), MODES.length + MODES.indexOf('hang')];
const SENDERS = 3;

test(`over a line disturbed ${CYCLES} times no acknowledged span is lost or doubled (seed ${SEED})`, async () => {
  const clickhouse = await startTestStore();
  const line = await startLine(Number(new URL(clickhouse.url).port));
  const store = openStore({ url: line.url, requestTimeoutMs: GIVEN_UP_MS });
  const collector = await startTestCollector({ store });
  const random = seededRandom(SEED);
  const disturbed = new Set<LineMode>();
  try {
    const ledger = new Ledger('disturbed', () => collector.url);
    await ledger.during(SENDERS, async () => {
      for (let i = 0; i < CYCLES; i++) {
        const mode = MODES[i % MODES.length]!;
        const before = line.disturbed();
        line.set(mode);
        // Once on hold and once hanging until a request is given up; else the connection's end comes before that.
        await delay(GIVEN_UP_AT.includes(i) ? 1.1 * GIVEN_UP_MS : 50 + random() ** 2 * 1_200);
        // What is tried again waits longer and longer: each has to come in the way of something once.
        if (!disturbed.has(mode)) await until(`${mode} in the way`, () => line.disturbed() > before, 30_000);
        if (line.disturbed() > before) disturbed.add(mode);
        // Now all that waits gets through before the next disturbance, now the line is hardly back.
        line.set('up');
        await delay(random() ** 2 * 400);
      }
    });
    await ledger.delivered(90_000);
    const spans = ledger.acknowledged.length * SPANS_PER_REQUEST;
    const figures = `${CYCLES} disturbances, ${spans} spans, seed ${SEED}`;
    await ledger.settle(clickhouse.store, figures);
    process.stderr.write(`# line: ${figures}; 0 lost, 0 doubled\n`);
    assert.deepEqual([...disturbed].sort(), [...MODES].sort(), 'each came in the way of something');
  } finally {
    await collector.close();
    await store.close();
    await line.close();
    await clickhouse.close();
  }
});
