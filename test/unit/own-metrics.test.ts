import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CollectorMetrics } from '../../collector/figures.ts';
import { createMetrics } from '../../evals/metrics.ts';
import { familyText } from '../../src/gateway/metric-family.ts';
import { type Family, readExposition } from '../../src/own-metrics/exposition.ts';

const sampleOf = (families: Family[], name: string, labels: Record<string, string> = {}) => {
  const family = families.find((f) => f.name === name);
  const want = JSON.stringify(labels);
  return [family?.isCount, family?.samples.find((s) => JSON.stringify(s.labels) === want)?.value];
};

test('what the collector counts is read back, histograms too', () => {
  const metrics = new CollectorMetrics();
  metrics.request(200);
  metrics.request(200);
  metrics.inserted('otel_traces', 7, 0.02);
  const families = readExposition(metrics.text({ spool_bytes: 12.5, spool_commits_total: 3 }));
  assert.deepEqual(sampleOf(families, 'loopscope_collector_requests_total', { status: '200' }), [true, 2]);
  assert.deepEqual(sampleOf(families, 'loopscope_collector_spool_bytes'), [false, 12.5]);
  assert.deepEqual(sampleOf(families, 'loopscope_collector_spool_commits_total'), [true, 3]);
  assert.deepEqual(sampleOf(families, 'loopscope_collector_insert_seconds_bucket', { le: '0.01' }), [
    true,
    0,
  ]);
  assert.deepEqual(sampleOf(families, 'loopscope_collector_insert_seconds_bucket', { le: '+Inf' }), [
    true,
    1,
  ]);
  assert.deepEqual(sampleOf(families, 'loopscope_collector_insert_seconds_sum'), [true, 0.02]);
});

test('labels come back as they were, whatever is in them', () => {
  const suite = 'a "b"\\n, c}\n=d{';
  const evals = createMetrics();
  evals.set('unmatched_runs', { suite }, 4);
  const gateway = familyText({
    name: 'g',
    type: 'gauge',
    help: 'a {b="c"} 1',
    samples: [{ labels: { one: suite, two: '' }, value: -1e-9 }],
  });
  const families = readExposition(evals.render() + gateway);
  assert.deepEqual(sampleOf(families, 'loopscope_evals_unmatched_runs', { suite }), [false, 4]);
  assert.deepEqual(sampleOf(families, 'g', { one: suite, two: '' }), [false, -1e-9]);
});

test('what is no sample is left out', () => {
  assert.deepEqual(readExposition('\n# TYPE a counter\nnonsense\n{} 1\na NaN\nb +Inf\n'), []);
});
