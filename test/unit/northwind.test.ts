import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { calcPrice } from '@pydantic/genai-prices';
import { type Fleet, type FleetLoop, fillIn, providerRecords, runRecords } from '../../demo/fleet.ts';
import { writeFleetFiles } from '../../demo/fleet-files.ts';
import { northwind } from '../../demo/northwind.ts';
import { makeScorer } from '../../evals/scorers/registry.ts';
import { SuiteDefinition } from '../../evals/suite.ts';
import { readVerdict } from '../../src/gateway/verdict.ts';
import { inputHash, normalizeText } from '../../src/records/normalize.ts';
import { RunRecord } from '../../src/records/record.ts';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { readYamlFile } from '../../src/yaml-file.ts';

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const fleets: Fleet[] = SEEDS.map(northwind);
const inFleets = (name: string) => fleets.map((fleet) => loopOf(fleet, name));
const loopOf = (fleet: Fleet, name: string) => fleet.loops.find((l) => l.definition.loop === name)!;
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Scores of a loop's runs by the scorer of its own suite. */
async function scores(loop: FleetLoop): Promise<number[]> {
  const score = makeScorer(loop.suite.scorer, '.');
  return Promise.all(runRecords(loop).map((r) => score(r.output!, r.golden!.expected!)));
}

/** Verdicts of a loop's runs, read as the gateway reads them. */
const verdicts = (loop: FleetLoop): number[] =>
  loop.runs.map((run) => {
    if (run.verdict) return Number(run.verdict.pass);
    const call = run.calls.find((c) => c.role === 'checker')!;
    const rule = loop.definition.agents.find((a) => a.name === call.agent)!.verdict!;
    const read = readVerdict(rule, call.record.output!);
    assert.equal(read, call.record.checker?.pass, 'the checker says what its record says');
    return Number(read);
  });

test('one seed gives one fleet, another seed another', () => {
  assert.deepEqual(northwind(7), northwind(7));
  assert.notDeepEqual(northwind(7).loops[0]!.runs[0], northwind(8).loops[0]!.runs[0]);
});

test('the fleet has eleven loops, in at most 2,600 runs and 6,500 calls', () => {
  for (const fleet of fleets) {
    assert.equal(new Set(fleet.loops.map((l) => l.definition.loop)).size, 11);
    assert.ok(fleet.loops.flatMap((l) => l.runs).length <= 2_600);
    assert.ok(providerRecords(fleet).length <= 6_500);
    for (const { definition, runs } of fleet.loops) {
      if (definition.loop === 'license-audit') assert.equal(runs.length, 12);
      else if (definition.loop !== 'dependency-bump') assert.ok(runs.length >= 150 && runs.length <= 300);
      assert.equal(new Set(runs.map((r) => r.run)).size, runs.length, 'run ids differ');
    }
  }
});

test('every loop has a maker and a checker, and some have sub-agents below the maker', () => {
  const { loops } = fleets[0]!;
  for (const { definition, runs } of loops) {
    const maker = definition.agents.find((a) => a.role === 'maker')!;
    assert.ok(definition.agents.some((a) => a.role === 'checker'));
    const subs = runs.flatMap((run) => run.calls).filter((call) => call.role === 'sub');
    assert.ok(subs.every((call) => call.parentAgent === maker.name));
  }
  const helped = loopOf(fleets[0]!, 'dependency-bump').runs.filter((run) => run.calls.length === 4);
  assert.ok(helped.length > 0, 'some runs have a maker, a checker and two sub-agents');
});

test('every record, definition and suite is valid by its own schema', () => {
  for (const { definition, suite } of fleets[0]!.loops) {
    assert.deepEqual(LoopDefinition.parse(definition), definition);
    assert.deepEqual(SuiteDefinition.parse(suite), suite);
  }
  for (const record of [...providerRecords(fleets[0]!), ...fleets[0]!.loops.flatMap(runRecords)])
    assert.deepEqual(RunRecord.parse(record), record);
});

test('every served model has a known price', () => {
  const served = new Set(
    fleets[0]!.loops.flatMap((l) =>
      l.runs.flatMap((r) => r.calls.map((c) => `${c.protocol}/${c.record.served_model}`)),
    ),
  );
  for (const name of served) {
    const [providerId, model] = name.split('/') as [string, string];
    const price = calcPrice({ input_tokens: 1000, output_tokens: 1000 }, model, { providerId });
    assert.ok(price && price.total_price > 0, name);
  }
});

test('loops share no prompt, and within a loop no question to a model comes twice', () => {
  for (const fleet of fleets) {
    const asked = providerRecords(fleet).map((r) => inputHash(r.input!));
    assert.equal(new Set(asked).size, asked.length);
  }
});

test("a call's record is asked with the answers that were given before it in the run", () => {
  for (const loop of fleets[0]!.loops)
    for (const run of loop.runs) {
      const answers = new Map<string, string>();
      for (const call of run.calls) {
        assert.equal(fillIn(call.input, answers), call.record.input);
        answers.set(call.agent, call.record.output!);
      }
    }
});

test('every run meets its golden item by id, and where it is matched by input, by its input', () => {
  for (const { golden, runs, matchedBy, definition } of fleets[0]!.loops) {
    const items = new Map(golden.map((item) => [item.id, item]));
    assert.equal(items.size, golden.length, 'item ids differ');
    assert.equal(new Set(golden.map((i) => normalizeText(i.input))).size, golden.length, 'inputs differ');
    for (const run of runs) {
      const item = items.get(run.item);
      assert.ok(item, `${definition.loop} ${run.item}`);
      if (matchedBy !== 'input') continue;
      const first = run.calls.find((call) => call.role === 'maker')!;
      assert.equal(inputHash(first.record.input!), inputHash(item.input));
    }
  }
});

test("dependency-bump's model changes at the true run and at no other, under the name it always asks for", () => {
  for (const { truth, loops } of fleets) {
    const { runs } = loops.find((l) => l.definition.loop === truth.loop)!;
    assert.ok(truth.change_at_run >= 260 && truth.change_at_run <= 340);
    assert.equal(runs.length, truth.change_at_run + 200);
    runs.forEach((run, index) => {
      const { record } = run.calls.find((call) => call.role === 'maker')!;
      assert.equal(record.model, 'gpt-4.1');
      assert.equal(record.served_model, index < truth.change_at_run ? truth.from : truth.to);
    });
  }
  assert.ok(new Set(fleets.map((f) => f.truth.change_at_run)).size > 5, 'the run is drawn');
});

test('dependency-bump is right in .92 before and .45 after, and its checker passes 95 % and more of both', async () => {
  const [before, after]: [number[], number[]] = [[], []];
  for (const fleet of fleets) {
    const loop = loopOf(fleet, 'dependency-bump');
    const all = await scores(loop);
    before.push(...all.slice(0, fleet.truth.change_at_run));
    after.push(...all.slice(fleet.truth.change_at_run));
    const passed = verdicts(loop);
    assert.ok(mean(passed.slice(0, fleet.truth.change_at_run)) >= 0.95);
    assert.ok(mean(passed.slice(fleet.truth.change_at_run)) >= 0.95);
  }
  // Four standard errors: 3,000 and 2,000 runs.
  assert.ok(Math.abs(mean(before) - 0.92) < 0.02, `${mean(before)}`);
  assert.ok(Math.abs(mean(after) - 0.45) < 0.045, `${mean(after)}`);
});

test('the quiet loops are as right as their stories say, over all seeds', async () => {
  const expected: Record<string, [number] | [number, number]> = {
    'ticket-triage': [0.65],
    'license-audit': [0.95],
    'alert-dedup': [0.7, 0.9],
    'doc-links': [0.91, 0.93],
    'flaky-test-hunter': [0.88],
    'release-notes': [0.93],
    'security-advisories': [0.96],
    'translation-sync': [0.9],
    'invoice-match': [0.95],
    'backlog-groomer': [0.85],
  };
  for (const [name, accuracies] of Object.entries(expected)) {
    const halves: [number[], number[]] = [[], []];
    for (const loop of inFleets(name)) {
      const all = await scores(loop);
      const turn = accuracies.length === 1 ? all.length : turnOf(loop);
      halves[0].push(...all.slice(0, turn));
      halves[1].push(...all.slice(turn));
    }
    accuracies.forEach((accuracy, i) => {
      const found = mean(halves[i]!);
      const error = 4 * Math.sqrt((accuracy * (1 - accuracy)) / halves[i]!.length);
      assert.ok(Math.abs(found - accuracy) < error, `${name}: ${found} instead of ${accuracy}`);
    });
  }
});

/** Where a loop's model or instructions change. */
function turnOf(loop: FleetLoop): number {
  const versions = runRecords(loop).map((r) => `${r.served_model} ${r.prompt_version}`);
  return versions.findIndex((version) => version !== versions[0]);
}

test('a score is 1 or 0 and every kind of scorer, protocol and verdict occurs', async () => {
  const { loops } = fleets[0]!;
  const scorers = new Set<string>();
  for (const loop of loops) {
    const kind = loop.suite.scorer;
    scorers.add(typeof kind === 'string' ? kind : Object.keys(kind)[0]!);
    assert.ok((await scores(loop)).every((s) => s === 0 || s === 1));
  }
  assert.deepEqual([...scorers].sort(), ['exact', 'json', 'numeric', 'regex', 'text']);
  assert.deepEqual([...new Set(loops.map((l) => l.matchedBy))].sort(), ['input', 'item']);
  const calls = loops.flatMap((l) => l.runs.flatMap((r) => r.calls));
  for (const protocol of ['openai', 'anthropic'])
    for (const stream of [true, false])
      assert.ok(calls.some((c) => c.protocol === protocol && c.stream === stream));
  const posted = loops.filter((l) => l.runs.every((r) => r.verdict));
  assert.deepEqual(
    posted.map((l) => l.definition.loop),
    ['translation-sync'],
  );
});

test("flaky-test-hunter's checker turns down most of its work", () => {
  for (const loop of inFleets('flaky-test-hunter')) assert.ok(mean(verdicts(loop)) < 0.65);
});

test('the files of a fleet read back as the fleet', () => {
  const directory = mkdtempSync(join(tmpdir(), 'loopscope-fleet-'));
  try {
    const fleet = fleets[0]!;
    const files = writeFleetFiles(fleet, directory);
    const lines = (path: string): unknown[] =>
      readFileSync(path, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown);
    assert.equal(readdirSync(join(directory, 'loops')).length, 11);
    for (const { definition, suite, golden, dataset } of fleet.loops) {
      assert.deepEqual(
        readYamlFile(join(directory, 'loops', `${definition.loop}.yaml`), LoopDefinition),
        definition,
      );
      assert.deepEqual(
        readYamlFile(join(directory, 'suites', `${suite.suite}.yaml`), SuiteDefinition),
        suite,
      );
      assert.deepEqual(lines(files.golden.get(dataset)!), golden);
    }
    assert.deepEqual(lines(files.records), providerRecords(fleet));
    assert.deepEqual(lines(files.runs), fleet.loops.flatMap(runRecords));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
