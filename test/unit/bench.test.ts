import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { bench as detect } from '../../bench/detect.ts';
import { median, medianRatio, quantile, ratio } from '../../bench/harness/median.ts';
import { jsonLine, tableText } from '../../bench/harness/report.ts';
import { summaryOf } from '../../bench/ingest/rss.ts';

const MAIN = join(import.meta.dirname, '../../bench/main.ts');
const bench = (...args: string[]) => spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });

test('a median is the middle value, whatever the order, and nothing of nothing', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([]), null);
});

test('a quantile is a value that was measured', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.equal(quantile(values, 0.5), 50);
  assert.equal(quantile(values, 0.99), 99);
  assert.equal(quantile(values, 1), 100);
  assert.equal(quantile([], 0.5), null);
});

test('a ratio without a reference is not measured; rounds are compared with themselves', () => {
  assert.equal(ratio(1, 0), null);
  assert.equal(ratio(1, -2), null);
  assert.equal(ratio(null, 2), null);
  assert.equal(medianRatio([1, 20, 3], [2, 10, 3]), 1);
  assert.equal(medianRatio([1, 2], [null, 4]), 0.5);
});

test('memory over time: its lows, its peak, and how fast it grows', () => {
  const samples = Array.from({ length: 181 }, (_, s) => ({ atMs: 5_000 + 1_000 * s, mb: 100 + s / 30 }));
  const { lowestMb, peakMb, mbPerMinute } = summaryOf(samples);
  assert.deepEqual(
    lowestMb,
    [0, 36, 72, 108, 144].map((s) => 100 + s / 30),
  );
  assert.equal(peakMb, 106);
  assert.ok(Math.abs(mbPerMinute! - 2) < 1e-9);
  const one = { lowestMb: [7], peakMb: 7, mbPerMinute: null };
  assert.deepEqual(summaryOf([{ atMs: 0, mb: 7 }]), one);
  assert.equal(summaryOf([]).peakMb, null);
});

test('a report is one line of JSON with null for what was not measured, or a table of the same', () => {
  const report = {
    name: 'x',
    machine: { cpu: 'c', cores: 2, memory_gb: 1, os: 'linux', node: 'v24' },
    conditions: { rounds: 5 },
    figures: { rps: { ours: 1234.5678, theirs: null }, odd: Number.NaN },
    ratios: { rps_vs_theirs: 0.123456 },
  };
  const line = jsonLine(report);
  assert.ok(!line.includes('\n'));
  assert.deepEqual(JSON.parse(line), {
    ...report,
    figures: { rps: { ours: 1235, theirs: null }, odd: null },
    ratios: { rps_vs_theirs: 0.1235 },
  });
  assert.match(tableText(report), /rps\.ours +1235\n +rps\.theirs +not measured/);
});

test('the command lists what there is, explains flags, and refuses what it does not know with 2', () => {
  const listed = bench();
  assert.equal(listed.status, 0);
  for (const name of ['detect', 'gateway', 'collector'])
    assert.match(listed.stdout, new RegExp(`^ {2}${name} +\\S`, 'm'));
  const unknown = bench('nothing');
  assert.equal(unknown.status, 2);
  assert.equal(unknown.stdout, '');
  assert.equal(bench('detect', '--rounds', '0').status, 2);
  assert.equal(bench('detect', '--what').status, 2);
  const help = bench('detect', '--help');
  assert.equal(help.status, 0);
  assert.match(help.stdout, /--arl N/);
});

test('the detector benchmark gives the ratios it promises, for every drop and window, the same each time', async () => {
  const options = { rounds: 2, seconds: 1, flags: { arl: 50, streams: 4 }, lists: {}, progress: () => {} };
  const { figures, ratios } = await detect.run(options);
  assert.equal(typeof figures['arl'], 'number');
  assert.deepEqual(Object.keys(ratios['delay_vs_oracle']!), ['.84→.50', '.90→.80', '.98→.90', '.95→.50']);
  assert.deepEqual(Object.keys(ratios['delay_vs_rolling']!), ['20', '50', '100', '200']);
  assert.deepEqual((await detect.run(options)).ratios, ratios);
});
