import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { importGolden } from '../../evals/golden.ts';
import { systemClock } from '../../src/clock.ts';
import { A } from '../../src/span/attributes.ts';
import { recordSpanId, runSpanId, runTraceId } from '../../src/span/ids.ts';
import { appendLabel } from '../../src/store/labels.ts';
import { runCli } from '../support/cli.ts';
import { insertRuns, suiteFolder } from '../support/eval-runs.ts';
import { judgeSays } from '../support/judge.ts';
import { startScriptedProvider } from '../support/scripted-provider.ts';
import { startTestStore } from '../support/store.ts';
import { until } from '../support/until.ts';
import { parseXml } from '../support/xml.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
before(async () => {
  server = await startTestStore();
});
after(() => server.close());

const SUITE =
  'suite: primes\nloop: primes\ndataset: primes\nscorer: { regex: "\\\\[(yes|no)\\\\]", flags: i }\n';
const ITEMS = Array.from({ length: 20 }, (_, i) => ({
  id: `q-${i}`,
  input: `Is ${1_001 + 2 * i} a prime?`,
  expected: i % 2 ? 'yes' : 'no',
}));

/** A folder with a suite, golden data, and records of what was answered to it. */
function folder(t: TestContext, suite = SUITE) {
  const at = suiteFolder({ 's.yaml': suite }, { extra: `clickhouse: { url: "${server.url}" }\n` });
  t.after(() => at.remove());
  const lines = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join('\n');
  at.write('golden.jsonl', lines(ITEMS));
  return {
    ...at,
    path: (file: string) => join(at.directory, file),
    read: (file: string) => readFileSync(join(at.directory, file), 'utf8'),
    records: (file: string, output: (i: number) => string | undefined, more: object = {}) =>
      at.write(
        file,
        lines(
          ITEMS.map(({ input }, i) => ({
            loop: 'primes',
            run: `r-${i}`,
            ts: '2026-11-27T09:00:00Z',
            input,
            output: output(i),
            ...more,
          })),
        ),
      ),
    run: (...args: string[]) =>
      runCli(['--config', join(at.directory, 'loopscope.yaml'), ...args], { clock: systemClock() }),
  };
}
const right = (i: number) => `So [${ITEMS[i]!.expected}]`;
const wrong = (i: number) => `So [${ITEMS[i]!.expected === 'yes' ? 'no' : 'yes'}]`;

test('a change is refused where its answers are worse than those of the baseline, with nothing running', async (t) => {
  const at = folder(t);
  const common = ['--golden', at.path('golden.jsonl')];
  at.records('main.jsonl', right);
  const made = await at.run(
    'eval',
    'run',
    'primes',
    '--records',
    at.path('main.jsonl'),
    ...common,
    '--save',
    at.path('b.json'),
  );
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /20 runs of primes scored, mean 1/);

  const gate = (records: string, ...more: string[]) =>
    at.run(
      ...['eval', 'run', 'primes', '--records', at.path(records), ...common, '--baseline', at.path('b.json')],
      ...['--fail-on-regression', '--junit', at.path('gate.xml'), ...more],
    );
  at.records('same.jsonl', (i) => (i < 2 ? wrong(i) : right(i)));
  const same = await gate('same.jsonl');
  assert.deepEqual([same.code, /no regression/.test(same.stdout)], [0, true], same.stdout);
  assert.equal(parseXml(at.read('gate.xml')).attributes['failures'], '0');

  at.records('worse.jsonl', (i) => (i < 9 ? wrong(i) : right(i)));
  const worse = await gate('worse.jsonl');
  assert.equal(worse.code, 1);
  assert.match(worse.stdout, /9 fell, 0 rose, p = 0\.0020/);
  assert.match(worse.stdout, /q-0 +1 +0/);
  assert.match(worse.stdout, /refused: scores fell/);
  const [suite] = parseXml(at.read('gate.xml')).children;
  assert.deepEqual([suite!.attributes['failures'], suite!.children[1]!.attributes['name']], ['10', 'q-0']);
  assert.equal((await gate('worse.jsonl', '--error', '0.001')).code, 0, 'the error is the user to choose');

  const json = JSON.parse(
    (
      await at.run(
        '--json',
        ...[
          'eval',
          'run',
          'primes',
          '--records',
          at.path('worse.jsonl'),
          ...common,
          '--baseline',
          at.path('b.json'),
        ],
      )
    ).stdout,
  );
  assert.deepEqual(
    [json.scored, json.gate.verdict, json.gate.fell.length, json.gate.refused],
    [20, 'regressed', 9, []],
    'without --fail-on-regression it is told and refuses nothing',
  );
});

test('silence is red: no answers, no records of the loop, bad lines, items left out', async (t) => {
  const at = folder(t);
  const args = (records: string) => [
    ...['eval', 'run', 'primes', '--records', at.path(records), '--golden', at.path('golden.jsonl')],
    ...['--baseline', at.path('b.json'), '--fail-on-regression'],
  ];
  at.records('main.jsonl', right);
  await at.run(...args('main.jsonl').slice(0, 7), '--save', at.path('b.json'));
  const refusal = async (records: string) => {
    const { code, stdout } = await at.run(...args(records));
    assert.equal(code, 1, stdout);
    return /refused: (.*)/.exec(stdout)?.[1];
  };
  at.records('silent.jsonl', () => undefined);
  assert.match((await refusal('silent.jsonl'))!, /no item has a score in both; 20 items could not be scored/);
  at.records('other.jsonl', right, { loop: 'other' });
  assert.match((await refusal('other.jsonl'))!, /20 items of the baseline were not answered/);
  at.write('empty.jsonl', '');
  assert.match((await refusal('empty.jsonl'))!, /no item has a score in both/);
  at.records('bad.jsonl', right);
  at.write('bad.jsonl', `${at.read('bad.jsonl')}\n{"loop":"primes"}\n`);
  assert.match((await refusal('bad.jsonl'))!, /1 lines are no run records/);
  at.records('part.jsonl', right);
  at.write('part.jsonl', at.read('part.jsonl').split('\n').slice(1).join('\n'));
  assert.equal(await refusal('part.jsonl'), '1 items of the baseline were not answered');
});

test('a baseline that was made otherwise is refused, as are options that say nothing together', async (t) => {
  const at = folder(t);
  at.records('main.jsonl', right);
  const run = (...args: string[]) =>
    at.run('eval', 'run', 'primes', '--records', at.path('main.jsonl'), ...args);
  await run('--golden', at.path('golden.jsonl'), '--save', at.path('b.json'));
  at.write('suites/s.yaml', SUITE.replace(', flags: i', ''));
  const changed = await run('--golden', at.path('golden.jsonl'), '--baseline', at.path('b.json'));
  assert.deepEqual([changed.code, /scorer has changed/.test(changed.stderr)], [1, true], changed.stderr);
  at.write('b.json', '{"format":"other"}');
  assert.match(
    (await run('--baseline', at.path('b.json'))).stderr,
    /b\.json: expected scores written by --save: format/,
  );
  assert.match((await run('--baseline', at.path('none.json'))).stderr, /no such file/);
  for (const args of [
    ['--fail-on-regression'],
    ['--junit', 'x'],
    ['--baseline', '2026-13-45'],
    ['--error', '2'],
  ])
    assert.equal((await run(...args)).code, 2, args.join(' '));
  assert.equal((await at.run('eval', 'run', 'primes', '--golden', 'x')).code, 2);
});

test('records may bring their expected answers or their scores', async (t) => {
  const at = folder(t);
  at.write(
    'own.jsonl',
    [
      { run: 'a', input: 'q', output: '[yes]', golden: { expected: 'yes' } },
      { run: 'b', item: 'named', golden: { score: 0.25 } },
      { run: 'c', input: 'nothing expected', output: '[yes]' },
    ]
      .map((row) => JSON.stringify({ loop: 'primes', ts: '2026-11-27T09:00:00Z', ...row }))
      .join('\n'),
  );
  const { stdout, code } = await at.run('--json', 'eval', 'run', 'primes', '--records', at.path('own.jsonl'));
  const { scored, mean, unmatched } = JSON.parse(stdout);
  assert.deepEqual({ code, scored, mean, unmatched }, { code: 0, scored: 2, mean: 0.625, unmatched: 1 });
});

test('a judge of the records is told who made them, and what it took is told', async (t) => {
  const provider = await startScriptedProvider(judgeSays({ reason: 'Good.', score: 1 }));
  t.after(() => provider.close());
  const at = folder(
    t,
    `suite: primes\nloop: primes\ndataset: primes\nscorer: { judge: { model: gpt-4o, base_url: "${provider.url}", rubric: "Is it right?" } }\n`,
  );
  const run = async (...more: string[]) => {
    const files = ['--records', at.path('r.jsonl'), '--golden', at.path('golden.jsonl')];
    const { stdout, code } = await at.run('--json', 'eval', 'run', 'primes', ...files, ...more);
    return { code, ...JSON.parse(stdout) };
  };
  at.records('r.jsonl', right, { served_model: 'claude-sonnet-4-20250514' });
  const judged = await run();
  assert.deepEqual([judged.code, judged.scored, judged.usage.calls], [0, 20, 20]);
  let open = 0;
  let openMost = 0;
  provider.fallback = async (response, request) => {
    openMost = Math.max(openMost, ++open);
    await until('another is asked too', () => openMost > 1);
    await judgeSays({ reason: `of ${request.body.length}`, score: 1 })(response, request);
    open--;
  };
  const again = await run('--save', at.path('judged.json'));
  assert.equal(again.scored, 20);
  assert.ok(openMost > 1 && openMost <= 8, `${openMost} at once`);
  const saved: { scores: { item: string }[] } = JSON.parse(at.read('judged.json'));
  assert.deepEqual(
    saved.scores.map(({ item }) => item),
    ITEMS.map(({ id }) => id),
    'in the order of the records',
  );
  at.records('r.jsonl', right, { served_model: 'gpt-4o-mini' });
  const kin = await run();
  assert.deepEqual([kin.code, kin.scored, kin.errors], [1, 0, 20]);
});

test('stored runs are compared with stored scores: the newest, those before a date, those of a prompt', async (t) => {
  const at = folder(t);
  const clock = systemClock();
  await importGolden({ store: server.store, clock }, { path: at.path('golden.jsonl'), dataset: 'primes' });
  const T0 = Date.parse(`${new Date(clock.now()).toISOString().slice(0, 10)}T00:00:00Z`);
  const answer = (name: string, output: (i: number) => string, fromMs: number) =>
    insertRuns(
      server.store,
      ITEMS.map(({ input }, i) => ({
        loop: 'primes',
        run: `${name}-${i}`,
        at: T0 + fromMs + i,
        input,
        output: output(i),
      })),
    );
  await answer('v1', right, 0);
  const first = await at.run('--json', 'eval', 'run', 'primes', '--baseline', 'last', '--fail-on-regression');
  assert.equal(first.code, 1, 'there is nothing to compare with yet');
  assert.equal(JSON.parse(first.stdout).gate.verdict, 'nothing_to_compare');

  await answer('v2', (i) => (i < 9 ? wrong(i) : right(i)), 1_000);
  const between = new Date(clock.now()).toISOString();
  const second = await at.run(
    '--json',
    'eval',
    'run',
    'primes',
    '--baseline',
    'last',
    '--fail-on-regression',
    '--save',
    at.path('v2.json'),
  );
  const { scored, gate } = JSON.parse(second.stdout);
  assert.deepEqual(
    [second.code, scored, gate.verdict, gate.pairs, gate.fell.length],
    [1, 20, 'regressed', 20, 9],
  );
  assert.equal(gate.fell[0].item, 'q-0');
  assert.equal(JSON.parse(at.read('v2.json')).scores.length, 20);

  await answer('v3', (i) => (i < 9 ? wrong(i) : right(i)), 2_000);
  const third = await at.run('--json', 'eval', 'run', 'primes', '--baseline', between);
  assert.equal(JSON.parse(third.stdout).gate.verdict, 'regressed', third.stdout);

  const none = await at.run('--json', 'eval', 'run', 'primes', '--baseline', 'last', '--fail-on-regression');
  assert.equal(none.code, 1, 'nothing was left to score');
  at.records('change.jsonl', right);
  const records = ['--records', at.path('change.jsonl'), '--golden', at.path('golden.jsonl')];
  const last = await at.run(
    '--json',
    'eval',
    'run',
    'primes',
    ...records,
    '--baseline',
    'last',
    '--fail-on-regression',
  );
  const better = JSON.parse(last.stdout).gate;
  assert.deepEqual([last.code, better.verdict, better.rose.length], [0, 'no_regression', 9]);
  // The oldest runs were made with a prompt that has a name.
  await server.store.insert(
    'otel_traces',
    ITEMS.map((_, i) => promptSpan(`v1-${i}`, T0 + i, 'p1')),
  );
  const named = await at.run('--json', 'eval', 'run', 'primes', ...records, '--baseline', 'prompt:p1');
  const { pairs, mean_before } = JSON.parse(named.stdout).gate;
  assert.deepEqual([pairs, mean_before], [20, 1]);
  const unknown = await at.run(
    '--json',
    'eval',
    'run',
    'primes',
    ...records,
    '--baseline',
    'prompt:v9',
    '--fail-on-regression',
  );
  assert.equal(JSON.parse(unknown.stdout).gate.verdict, 'nothing_to_compare');
  assert.equal(unknown.code, 1);
});

/** A maker's call that says which version of the prompt it had. */
function promptSpan(run: string, at: number, version: string) {
  const TraceId = runTraceId('primes', run);
  return {
    Timestamp: new Date(at + 2).toISOString(),
    TraceId,
    SpanId: recordSpanId(TraceId, 'prompted'),
    ParentSpanId: runSpanId(TraceId),
    SpanName: 'call',
    SpanKind: 'Internal',
    ServiceName: 'loopscope',
    SpanAttributes: {
      [A.loop]: 'primes',
      [A.runId]: run,
      [A.record]: 'call',
      [A.agentRole]: 'maker',
      [A.agentName]: 'maker',
      [A.promptVersion]: version,
    },
    Duration: 1_000_000,
    StatusCode: 'Unset',
  };
}

test('a suite is calibrated against the labels of the runs that it scored', async (t) => {
  const at = folder(t, SUITE.replaceAll('primes', 'calibrated'));
  const clock = systemClock();
  await importGolden(
    { store: server.store, clock },
    { path: at.path('golden.jsonl'), dataset: 'calibrated' },
  );
  const before = await at.run('eval', 'calibrate', 'calibrated');
  assert.deepEqual([before.code, /loopscope label/.test(before.stderr)], [0, true]);
  await insertRuns(
    server.store,
    ITEMS.map(({ input }, i) => ({
      loop: 'calibrated',
      run: `r-${i}`,
      at: clock.now() - 1_000 + i,
      input,
      output: i < 10 ? right(i) : wrong(i),
    })),
  );
  await at.run('eval', 'run', 'calibrated');
  for (let i = 0; i < 15; i++)
    await appendLabel(server.store, {
      loop: 'calibrated',
      run_id: `r-${i}`,
      rater: 'ann',
      score: i < 8 || i === 14 ? 1 : 0,
      comment: '',
      probability: 0.5,
      labelled_at: clock.now(),
    });
  const json = JSON.parse((await at.run('--json', 'eval', 'calibrate', 'calibrated')).stdout);
  assert.deepEqual([json.runs, json.agreed, json.sampled, json.accuracy_labels], [15, 12, true, 15]);
  assert.equal(json.accuracy.sensitivity.estimate, 8 / 9);
  const { stdout } = await at.run('eval', 'calibrate', 'calibrated');
  assert.match(stdout, /15 runs have a score of calibrated and a label; 12 both pass or both fail/);
  assert.match(stdout, /passes good +89 %/);
});
