import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runRecords } from '../../demo/fleet.ts';
import { llmdriftLoop } from '../../demo/llmdrift.ts';
import { northwind } from '../../demo/northwind.ts';
import { makeScorer } from '../../evals/scorers/registry.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { inputHash } from '../../src/records/normalize.ts';
import { RunRecord } from '../../src/records/record.ts';

const data = process.env['LOOPSCOPE_TEST_DATA'] ?? join(import.meta.dirname, '../../../shared/data');
const csv = join(data, 'llmdrift/PRIME_FULL_EVAL.csv');
const skip = existsSync(csv)
  ? false
  : `needs ${csv} (set LOOPSCOPE_TEST_DATA to the folder with llmdrift/ in it)`;
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

const directory = mkdtempSync(join(tmpdir(), 'loopscope-llmdrift-'));
after(() => rmSync(directory, { recursive: true }));

test('one seed draws one order of the real answers, 0314 first, then 0613, none twice', { skip }, () => {
  assert.deepEqual(llmdriftLoop(csv, 5), llmdriftLoop(csv, 5));
  const { loop, truth } = llmdriftLoop(csv, 5);
  assert.notDeepEqual(loop.runs[0], llmdriftLoop(csv, 6).loop.runs[0]);
  assert.equal(loop.definition.loop, 'dependency-bump');
  assert.ok(truth.change_at_run >= 260 && truth.change_at_run <= 340);
  assert.equal(loop.runs.length, truth.change_at_run + 400);
  const seen = new Set<string>();
  runRecords(loop).forEach((record, index) => {
    assert.deepEqual(RunRecord.parse(record), record);
    assert.equal(record.model, 'gpt-4');
    assert.equal(record.served_model, index < truth.change_at_run ? 'gpt-4-0314' : 'gpt-4-0613');
    seen.add(`${record.served_model} ${record.input}`);
  });
  assert.equal(seen.size, loop.runs.length);
});

test('its golden score falls from about .84 to about .50 while the checker keeps passing', {
  skip,
}, async () => {
  const [before, later, passedBefore, passedAfter]: number[][] = [[], [], [], []];
  for (let seed = 1; seed <= 5; seed++) {
    const { loop, truth } = llmdriftLoop(csv, seed);
    const score = makeScorer(loop.suite.scorer, '.');
    const records = runRecords(loop);
    const scores = await Promise.all(records.map((r) => score(r.output!, r.golden!.expected!)));
    const passes = records.map((r) => Number(r.checker!.pass));
    before!.push(...scores.slice(0, truth.change_at_run));
    later!.push(...scores.slice(truth.change_at_run));
    passedBefore!.push(...passes.slice(0, truth.change_at_run));
    passedAfter!.push(...passes.slice(truth.change_at_run));
  }
  assert.ok(Math.abs(mean(before!) - 0.84) < 0.04, `${mean(before!)}`);
  assert.ok(Math.abs(mean(later!) - 0.502) < 0.04, `${mean(later!)}`);
  assert.ok(mean(passedBefore!) > 0.98);
  assert.ok(mean(passedAfter!) > 0.92);
});

test('cost, tokens and latency are those of the file', { skip }, () => {
  for (const { input_tokens, output_tokens, cost_usd, latency_ms } of runRecords(llmdriftLoop(csv, 1).loop)) {
    assert.ok(input_tokens! > 20 && input_tokens! < 60, `${input_tokens}`);
    assert.ok(Math.abs(input_tokens! * 0.00003 + output_tokens! * 0.00006 - cost_usd!) < 1e-9);
    assert.ok(latency_ms! > 0);
  }
});

test('its golden data is the questions that are asked, and none of them is one of the other loops', {
  skip,
}, () => {
  const { loop } = llmdriftLoop(csv, 1);
  const golden = new Map(loop.golden.map((item) => [item.id, inputHash(item.input)]));
  for (const run of loop.runs) assert.equal(golden.get(run.item), inputHash(run.calls[0]!.record.input!));
  assert.ok(loop.golden.every((item) => ['yes', 'no'].includes(item.expected)));
  const asked = new Set(golden.values());
  for (const other of northwind(1).loops)
    for (const run of other.runs)
      for (const { record } of run.calls) assert.ok(!asked.has(inputHash(record.input!)));
});

const HEADER = 'model,query,ref_answer,answer,latency,cost,answer_token';

test('a file that is missing, is no CSV, or is another CSV is refused in one clear line', () => {
  const refusals: [string, string | undefined, RegExp][] = [
    ['missing.csv', undefined, /cannot be read: ENOENT/],
    ['other.csv', 'a,b\n1,2\n', /has no column model, query/],
    ['empty.csv', '', /has no column model/],
    ['broken.csv', `${HEADER}\n"x,1\n`, /is no CSV with a header/],
    [
      'value.csv',
      `${HEADER}\nopenaichat/gpt-4-0314,q,yes,a,soon,1,1\n`,
      /record 1, latency: expected a number, found "soon"/,
    ],
    [
      'few.csv',
      `${HEADER}\nopenaichat/gpt-4-0314,q,yes,a,1,1,1\n`,
      /expected at least \d+ answers of gpt-4-0314, found 1/,
    ],
  ];
  for (const [name, content, message] of refusals) {
    const path = join(directory, name);
    if (content !== undefined) writeFileSync(path, content);
    assert.throws(
      () => llmdriftLoop(path, 1),
      (error) => {
        assert.ok(error instanceof LoopscopeError, `${error}`);
        assert.equal(error.code, 'bad_input');
        assert.ok(error.message.startsWith(path));
        assert.match(error.message, message);
        assert.match(error.message, /PRIME_FULL_EVAL\.csv/);
        return true;
      },
    );
  }
});
