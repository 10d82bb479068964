import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { systemClock } from '../../src/clock.ts';
import { importRecordings } from '../../src/replay/record/import.ts';
import { loadRecording } from '../../src/replay/record/load.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';
import { trajectories, trajectoriesAbsent } from '../support/trajectories.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;
const clock = systemClock();

before(async () => {
  clickhouse = await startTestStore();
  collector = await startTestCollector({ store: clickhouse.store });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

test('200 real trajectories become runs and are loaded back with every message, tool call and result', {
  skip: trajectoriesAbsent,
}, async () => {
  const recordings = trajectories('airline');
  assert.equal(recordings.length, 200);
  await importRecordings(recordings, { collectorUrl: collector.url, clock });
  let equal = 0;
  for (const recording of recordings) {
    const loaded = await loadRecording(clickhouse.store, { loop: 'airline', runId: recording.run });
    assert.deepEqual(loaded, recording);
    equal++;
  }
  assert.equal(equal, 200);
});
