import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { systemClock } from '../../src/clock.ts';
import { openRecorder } from '../../src/gateway/record/recorder.ts';
import { Attributes, type SpanDraft } from '../../src/gateway/record/span-draft.ts';
import { startSpanReceiver } from '../support/span-receiver.ts';

const spanOf = (n: number): SpanDraft => ({
  traceId: n.toString(16).padStart(32, '0'),
  spanId: n.toString(16).padStart(16, '0'),
  parentSpanId: undefined,
  name: 'chat',
  kind: 'Client',
  startNs: 1n,
  endNs: 2n,
  attributes: Attributes.of({ text: 'word '.repeat(10_000) }),
});

for (const durability of ['process_crash', 'power_loss'] as const)
  test(`what is recorded together is written in several records, and a recorder that is closed meanwhile has all of it on disk (${durability})`, async (t) => {
    const receiver = await startSpanReceiver();
    t.after(() => receiver.close());
    const folder = await mkdtemp(join(tmpdir(), 'loopscope-recorder-'));
    t.after(() => rm(folder, { recursive: true }));
    const open = (url: string) =>
      openRecorder({
        folder,
        collector: { url },
        spool: { durability, bytes_max: 1e9 },
        resource: Attributes.of({ 'service.name': 'mine' }),
        clock: systemClock(),
        log: pino({ level: 'silent' }),
      });
    let n = 0;
    for (let turns = 0; turns < 12; turns++) {
      const recorder = await open('http://127.0.0.1:9'); // nobody is there
      // With a segment open what follows is written at once.
      if (turns % 2 === 1) assert.equal(await recorder.record([spanOf(n++)]), true);
      const recorded = Array.from({ length: 20 }, () => recorder.record([spanOf(n++), spanOf(n++)]));
      for (let i = 0; i < turns; i++) await Promise.resolve();
      await recorder.close(0);
      assert.deepEqual(new Set(await Promise.all(recorded)), new Set([true]), `closed after ${turns}`);
      const { unwritten, spool } = recorder.figures();
      assert.equal(unwritten, 0);
      const sizes = readdirSync(folder)
        .filter((name) => name.endsWith('.seg'))
        .map((name) => statSync(join(folder, name)).size);
      assert.equal(
        sizes.reduce((sum, size) => sum + size, 0),
        spool.bytes,
        'no room is left behind the records',
      );
      assert.deepEqual(spool.setAside, {});
    }
    const last = await open(receiver.url);
    await last.flush();
    await last.close(1_000);
    assert.deepEqual(
      receiver.spans.map(({ spanId }) => Number.parseInt(spanId, 16)).sort((a, b) => a - b),
      Array.from({ length: n }, (_, i) => i),
    );
  });
