import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import { pino } from 'pino';
import { type Clock, systemClock } from '../../src/clock.ts';
import { SpanQueue, type SpanQueueOptions } from '../../src/gateway/span-queue.ts';
import { until } from '../support/until.ts';

const log = pino({ level: 'silent' });
/** Waits a hundredth of the time. */
const fastClock = (): Clock => {
  const clock = systemClock();
  return { ...clock, sleep: (ms, signal) => clock.sleep(ms / 100, signal) };
};

const span = (name: string, content = '') => ({ name, attributes: { content } }) as unknown as ReadableSpan;

type Verdict = 'ok' | 'away' | 'never' | { code: number };
/** An exporter that is told what to say to each batch; it remembers what it took and what it was asked. */
function scripted(decide: (names: string[], nth: number) => Verdict) {
  const taken: string[][] = [];
  const asked: string[][] = [];
  const exporter: SpanExporter = {
    export: (spans, done: (result: ExportResult) => void) => {
      const names = spans.map((s) => s.name);
      asked.push(names);
      const verdict = decide(names, asked.length);
      if (verdict === 'never') return;
      setImmediate(() => {
        if (verdict === 'ok') {
          taken.push(names);
          done({ code: ExportResultCode.SUCCESS });
        } else {
          const error = Object.assign(new Error('no'), verdict === 'away' ? {} : verdict);
          done({ code: ExportResultCode.FAILED, error });
        }
      });
    },
    shutdown: async () => {},
  };
  return { exporter, taken, asked };
}

const open = (exporter: SpanExporter, options: Partial<SpanQueueOptions> = {}) =>
  new SpanQueue({ exporter, clock: fastClock(), log, ...options });
const names = (n: number, from = 0) => Array.from({ length: n }, (_, i) => `s${from + i}`);

test('a batch that fails is tried until it is taken, and none overtakes it', async () => {
  const { exporter, taken, asked } = scripted((_, nth) => (nth <= 6 ? 'away' : 'ok'));
  const queue = open(exporter, { batchMax: 10 });
  for (const name of names(10)) queue.onEnd(span(name));
  await until('the first try', () => asked.length > 0);
  for (const name of names(15, 10)) queue.onEnd(span(name));
  await queue.forceFlush();
  assert.deepEqual(taken, [names(10), names(10, 10), names(5, 20)]);
  assert.equal(queue.exportsFailed, 6);
  assert.equal(queue.exported, 25);
  assert.equal(queue.depth, 0);
  await queue.close(1_000);
});

test('a full queue sheds new spans and counts them, by number and by size', async () => {
  const { exporter } = scripted(() => 'never');
  const queue = open(exporter, { spansMax: 5, bytesMax: 10_000 });
  for (const name of names(8)) queue.onEnd(span(name));
  assert.equal(queue.dropped.queue_full, 3);
  const heavy = open(exporter, { bytesMax: 10_000 });
  for (const name of names(3)) heavy.onEnd(span(name, 'x'.repeat(4_000)));
  assert.equal(heavy.dropped.queue_full, 1);
  await Promise.all([queue.close(100), heavy.close(100)]);
});

test('a span that the collector refuses takes no other with it', async () => {
  const { exporter, taken } = scripted((batch) => (batch.includes('s3') ? { code: 400 } : 'ok'));
  const queue = open(exporter, { batchMax: 8 });
  for (const name of names(8)) queue.onEnd(span(name));
  await queue.forceFlush();
  assert.deepEqual(
    taken.flat(),
    names(8).filter((n) => n !== 's3'),
  );
  assert.equal(queue.dropped.rejected, 1);
  await queue.close(1_000);
});

test('a batch too large for the collector is sent in parts', async () => {
  const { exporter, taken } = scripted((batch) => (batch.length > 3 ? { code: 413 } : 'ok'));
  const queue = open(exporter);
  for (const name of names(10)) queue.onEnd(span(name));
  await queue.forceFlush();
  assert.deepEqual(taken.flat(), names(10));
  assert.deepEqual(queue.dropped, { queue_full: 0, rejected: 0, shutdown: 0 });
  await queue.close(1_000);
});

test('a collector that refuses all for now (401, 404) costs no span', async () => {
  const { exporter, taken } = scripted((_, nth) => (nth < 4 ? { code: 404 } : 'ok'));
  const queue = open(exporter);
  queue.onEnd(span('s0'));
  await queue.forceFlush();
  assert.deepEqual(taken, [['s0']]);
  await queue.close(1_000);
});

test('closing delivers what is left', async () => {
  const { exporter, taken } = scripted(() => 'ok');
  const queue = open(exporter, { batchMax: 4, delayMs: 1_000_000 });
  for (const name of names(3)) queue.onEnd(span(name));
  await queue.close(60_000);
  assert.deepEqual(taken.flat(), names(3));
  queue.onEnd(span('late'));
  assert.equal(queue.dropped.shutdown, 1);
});

test('closing while the collector is away ends at its deadline and counts what is lost', async () => {
  for (const how of ['away', 'never'] as const) {
    const { exporter } = scripted(() => how);
    const queue = open(exporter, { batchMax: 4 });
    for (const name of names(6)) queue.onEnd(span(name));
    await queue.close(2_000);
    assert.equal(queue.dropped.shutdown, 6, how);
  }
});
