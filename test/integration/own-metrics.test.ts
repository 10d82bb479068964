import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { reportMetrics } from '../../src/own-metrics/report.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';

test('what a role counts is in ClickHouse some seconds later, as counts and gauges of the role', async (t) => {
  const { store, close } = await startTestStore();
  t.after(close);
  const collector = await startTestCollector({ store });
  t.after(() => collector.close());
  const reporting = reportMetrics({
    role: 'collector',
    url: collector.url,
    collectorUrl: collector.url,
    collector: loadConfig(undefined, {}).collector,
    clock: systemClock(),
    log: pino({ level: 'silent' }),
  });
  t.after(() => reporting.close());
  const found = (table: string, name: string) =>
    store.query<{ service: string; value: number; monotonic?: boolean }>(
      `SELECT ServiceName AS service, Value AS value FROM ${store.database}.${table} WHERE MetricName = {name:String}`,
      { name },
    );
  await until('the first report', async () => {
    await collector.flush();
    return (await found('otel_metrics_gauge', 'loopscope_collector_spool_bytes')).length > 0;
  });
  const [commits] = await found('otel_metrics_sum', 'loopscope_collector_spool_commits_total');
  assert.equal(commits?.service, 'loopscope-collector');
  assert.ok(commits.value >= 0);
});

test('a collector that is away is no trouble to the role', async () => {
  const clock = systemClock();
  let rests = 0;
  const reporting = reportMetrics({
    role: 'gateway',
    url: 'http://127.0.0.1:1',
    collectorUrl: 'http://127.0.0.1:1',
    collector: loadConfig(undefined, {}).collector,
    clock: { ...clock, sleep: (_, signal) => clock.sleep(++rests, signal) },
    log: pino({ level: 'silent' }),
  });
  await until('three readings in vain', () => rests > 3);
  await reporting.close();
});
