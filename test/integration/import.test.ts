import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Collector } from '../../collector/collector.ts';
import { type Clock, systemClock } from '../../src/clock.ts';
import { importRecords } from '../../src/records/import.ts';
import { startTestCollector } from '../support/collector.ts';
import { startTestStore } from '../support/store.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loopscope-import-'));
  clickhouse = await startTestStore();
  collector = await startTestCollector({
    store: clickhouse.store,
  });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
  await rm(folder, { recursive: true, force: true });
});

const DAY_MS = 86_400_000;
const record = (loop: string, i: number, fields: object = {}) => ({
  loop,
  run: `r-${i}`,
  // More days than ClickHouse takes in one insert by itself.
  ts: new Date(Date.UTC(2023, 5, 1) + (i % 110) * DAY_MS + i * 1000).toISOString(),
  agent: 'maker',
  model: 'gpt-4',
  served_model: i % 2 ? 'gpt-4-0613' : 'gpt-4-0314',
  checker: { name: 'parses', version: 'v1', pass: true },
  input: `Is ${i} a prime number?`,
  output: i % 3 ? '[No]' : '[Yes]',
  golden: { expected: 'yes' },
  effects: ['answered'],
  input_tokens: 40,
  cost_usd: 0.001,
  latency_ms: 900,
  ...fields,
});

async function file(name: string, lines: readonly (object | string)[]): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, lines.map((l) => (typeof l === 'string' ? l : JSON.stringify(l))).join('\n'));
  return path;
}

const bracketed = (output: string, expected: string) =>
  /\[(\w+)\]/.exec(output)?.[1]?.toLowerCase() === expected ? 1 : 0;
const load = (path: string, collectorUrl = collector.url) =>
  importRecords(path, { collectorUrl, scorerFor: () => bracketed });

async function figures(loop: string) {
  const [runs] = await clickhouse.store.query<Record<string, unknown>>(
    `SELECT count() AS runs, sum(r.calls) AS calls, sum(r.effects) AS effects, sum(input_tokens) AS tokens,
       round(sum(cost_usd), 6) AS cost, countIf(state = 'ended') AS ended, countIf(checker_pass = 1) AS passed,
       groupUniqArrayArray(served_models) AS served, uniqExact(output_hash) AS outputs
     FROM loopscope.runs AS r WHERE loop = {loop:String}`,
    { loop },
  );
  const [spans] = await clickhouse.store.query<Record<string, unknown>>(
    'SELECT count() AS spans FROM loopscope.otel_traces WHERE Loop = {loop:String}',
    { loop },
  );
  const [scores] = await clickhouse.store.query<Record<string, unknown>>(
    'SELECT count() AS scores, sum(score) AS right FROM loopscope.eval_scores WHERE loop = {loop:String}',
    { loop },
  );
  return { ...runs, ...spans, ...scores, served: (runs!['served'] as string[]).sort() };
}

test('run records become runs with calls, verdicts, effects and scores, and importing them again changes nothing', async () => {
  const lines = Array.from({ length: 1_010 }, (_, i) => record('primes', i));
  const path = await file('primes.jsonl', lines);
  assert.deepEqual(await load(path), { loaded: 1_010, bad: [], unscored: [] });
  const expected = {
    runs: 1_010,
    calls: 1_010,
    effects: 1_010,
    tokens: 40_400,
    cost: 1.01,
    ended: 1_010,
    passed: 1_010,
    served: ['gpt-4-0314', 'gpt-4-0613'],
    outputs: 2,
    spans: 5_050,
    scores: 1_010,
    right: 337,
  };
  assert.deepEqual(await figures('primes'), expected);

  assert.equal((await load(path)).loaded, 1_010);
  assert.deepEqual(await figures('primes'), expected);

  // A longer file, cut into other batches, brings only what is new.
  const longer = await file('longer.jsonl', [record('primes', 9_999), ...lines]);
  assert.equal((await load(longer)).loaded, 1_011);
  assert.deepEqual(await figures('primes'), {
    ...expected,
    runs: 1_011,
    calls: 1_011,
    effects: 1_011,
    tokens: 40_440,
    cost: 1.011,
    ended: 1_011,
    passed: 1_011,
    spans: 5_055,
    scores: 1_011,
    right: 338,
  });
});

test('bad lines are reported and the good ones around them are loaded', async () => {
  const path = await file('bad.jsonl', [
    record('bad', 1),
    '{"loop":"bad","run":"r-2"}',
    record('bad', 3),
    'nonsense',
    record('bad', 5, { golden: { score: 2 } }),
    record('bad', 6),
  ]);
  const { loaded, bad } = await load(path);
  assert.equal(loaded, 3);
  assert.deepEqual(
    bad.map((b) => b.line),
    [2, 4, 5],
  );
  assert.equal((await figures('bad'))['runs' as never], 3);
});

test('a scorer that fails is told, and its run is loaded without a score', async () => {
  const path = await file('unscored.jsonl', [record('unscored', 1), record('unscored', 2)]);
  const { loaded, unscored } = await importRecords(path, {
    collectorUrl: collector.url,
    scorerFor: () => (output) => {
      if (output === '[No]') throw new Error('no idea');
      return 1;
    },
  });
  assert.equal(loaded, 2);
  assert.deepEqual(unscored, [
    { line: 1, error: 'golden: the scorer failed: no idea' },
    { line: 2, error: 'golden: the scorer failed: no idea' },
  ]);
  assert.equal((await figures('unscored'))['scores' as never], 0);
});

test('a collector that says "not now" is asked again after the time it names, and a refusal ends the import', async () => {
  const slept: number[] = [];
  const clock: Clock = {
    ...systemClock(),
    sleep: async (ms) => {
      slept.push(ms);
    },
  };
  const answers: [number, Record<string, string>][] = [
    [503, { 'retry-after': '3' }],
    [429, {}],
    [200, {}],
    [400, {}],
  ];
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const [status, headers] = answers.shift()!;
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end('{"message":"so"}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const collectorUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    const path = await file('retry.jsonl', [record('retry', 1)]);
    assert.equal((await importRecords(path, { collectorUrl, clock })).loaded, 1);
    assert.equal(slept.length, 2);
    assert.equal(slept[0], 3_000);
    assert.ok(slept[1]! >= 250 && slept[1]! <= 500);
    await assert.rejects(importRecords(path, { collectorUrl, clock }), {
      code: 'store_rejected',
      message: /400 so/,
    });
  } finally {
    server.close();
  }
  slept.length = 0;
  const path = await file('gone.jsonl', [record('retry', 1)]);
  await assert.rejects(importRecords(path, { collectorUrl, clock }), {
    code: 'store_unavailable',
    message: /8 tries: .*ECONNREFUSED/,
  });
  assert.equal(slept.length, 7);
});

test('an import that is called off stops', async () => {
  const path = await file('off.jsonl', [record('off', 1)]);
  const stop = new AbortController();
  stop.abort(new Error('called off'));
  await assert.rejects(
    importRecords(path, { collectorUrl: collector.url, signal: stop.signal }),
    /called off/,
  );
});
