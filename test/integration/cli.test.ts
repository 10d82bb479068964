import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { Collector } from '../../collector/collector.ts';
import { readEndpoints, removeEndpoints, writeEndpoints } from '../../src/cli/endpoints.ts';
import { A } from '../../src/span/attributes.ts';
import { agentSpanId, runTraceId } from '../../src/span/ids.ts';
import { openStore } from '../../src/store/client.ts';
import { latestRuns } from '../../src/store/runs.ts';
import { inFolder, runCli } from '../support/cli.ts';
import { startTestCollector } from '../support/collector.ts';
import { insertSpans, runRows, spanRow } from '../support/span-rows.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;
let folder: string;
const at = Date.parse('2026-11-03T09:00:00Z');

before(async () => {
  server = await startTestStore();
  collector = await startTestCollector({
    store: server.store,
  });
  folder = mkdtempSync(join(tmpdir(), 'loopscope-cli-'));
  for (const sub of ['loops', 'suites']) mkdirSync(join(folder, sub));
  writeFileSync(
    join(folder, 'loopscope.yaml'),
    [
      `clickhouse: { url: "${server.url}" }`,
      `collector: { url: "${collector.url}" }`,
      'gateway: { port: 1 }',
      'evals: { port: 1, run_idle_s: 0.001 }',
      'providers:',
      '  openai: { base_url: "http://127.0.0.1:1/v1", api_key_env: NO_KEY }',
      '  anthropic: { base_url: "http://127.0.0.1:1", api_key_env: NO_KEY }',
      `  near: { base_url: "${collector.url}" }`,
    ].join('\n'),
  );
  writeFileSync(join(folder, 'loops/primes.yaml'), 'loop: primes\nowner: platform\nsuite: primes-golden\n');
  writeFileSync(
    join(folder, 'suites/primes.yaml'),
    'suite: primes-golden\nloop: primes\ndataset: primes\nscorer: { regex: "\\\\[(yes|no)\\\\]", flags: i }\n',
  );
});

after(async () => {
  await collector?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const cli = (...argv: string[]) => runCli([...argv, '--config', join(folder, 'loopscope.yaml')]);

function path(name: string, lines: readonly (object | string)[]): string {
  const file = join(folder, name);
  writeFileSync(file, lines.map((l) => (typeof l === 'string' ? l : JSON.stringify(l))).join('\n'));
  return file;
}

interface SpanNode {
  name: string;
  kind: string;
  role: string | null;
  reported: boolean;
  cost_usd: number | null;
  served_model: string | null;
  verdict: boolean | null;
  error: { type: string | null } | null;
  children: SpanNode[];
}

/** A run as a gateway tells it: maker with two sub-agents, then a checker. */
function teamRun(loop: string, run: string) {
  const common = { loop, run };
  const call = (agent: object, offset: number, more: Record<string, string> = {}) =>
    spanRow({
      ...common,
      record: 'call',
      at: at + offset,
      tookMs: 400,
      ...agent,
      attributes: {
        [A.requestModel]: 'gpt-4',
        [A.responseModel]: 'gpt-4-0613',
        [A.inputTokens]: '100',
        [A.costUsd]: '0.25',
        ...more,
      },
    });
  const maker = { agent: 'maker', role: 'maker' };
  const checker = { agent: 'reviewer', role: 'checker' };
  const sub = (agent: string) => ({ agent, role: 'sub', parentAgent: 'maker' });
  return {
    calls: [
      call(maker, 10),
      call(sub('searcher'), 600),
      call(sub('writer'), 1_200, { [A.errorType]: 'rate_limit_exceeded' }),
      call(checker, 2_000, { [A.verdictPass]: 'true' }),
    ],
    ends: [
      spanRow({ ...common, ...maker, record: 'agent', at: at + 10, tookMs: 1_700 }),
      spanRow({ ...common, ...sub('searcher'), record: 'agent', at: at + 600, tookMs: 400 }),
      spanRow({ ...common, ...sub('writer'), record: 'agent', at: at + 1_200, tookMs: 400 }),
      spanRow({ ...common, ...checker, record: 'agent', at: at + 2_000, tookMs: 400 }),
      spanRow({
        ...common,
        record: 'verdict',
        at: at + 2_500,
        tookMs: 0,
        attributes: { [A.verdictPass]: 'true' },
      }),
      spanRow({ ...common, record: 'run', at, tookMs: 2_600 }),
    ],
  };
}

const outline = (nodes: readonly SpanNode[], depth = 0): string[] =>
  nodes.flatMap((n) => [`${'  '.repeat(depth)}${n.name}`, ...outline(n.children, depth + 1)]);

test('a run with maker, checker and two sub-agents shows as exactly that, while it runs and when it is over', async () => {
  const { calls, ends } = teamRun('team', 'r-1');
  const shape = [
    'invoke_workflow team',
    '  invoke_agent maker',
    '    chat gpt-4',
    '    invoke_agent searcher',
    '      chat gpt-4',
    '    invoke_agent writer',
    '      chat gpt-4',
    '  invoke_agent reviewer',
    '    chat gpt-4',
  ];
  await insertSpans(server.store, calls);
  const running = JSON.parse((await cli('trace', 'r-1', '--json')).stdout);
  assert.deepEqual(outline(running.spans), shape);
  assert.equal(running.spans[0].reported, false);

  await insertSpans(server.store, ends);
  const { code, stdout } = await cli('trace', 'r-1', '--loop', 'team', '--json');
  const over = JSON.parse(stdout);
  assert.equal(code, 0);
  assert.deepEqual(outline(over.spans), [...shape, '  verdict']);
  const [run] = over.spans as SpanNode[];
  assert.ok(run!.reported && run!.children.every((c) => c.reported));
  assert.deepEqual(
    run!.children.map((c) => c.role),
    ['maker', 'checker', null],
  );
  assert.equal(run!.cost_usd, 1, 'the cost of all calls below');
  assert.equal(run!.children[1]!.children[0]!.verdict, true);
  assert.equal(run!.children[0]!.children[2]!.children[0]!.error?.type, 'rate_limit_exceeded');
  assert.deepEqual(over.runs, [{ loop: 'team', run: 'r-1' }]);

  const byTrace = await cli('trace', runTraceId('team', 'r-1').toUpperCase(), '--json');
  assert.deepEqual(JSON.parse(byTrace.stdout).spans, over.spans, 'a trace id names it too');
});

test('the tree is drawn with durations, tokens, cost, model, errors and verdicts', async () => {
  const { calls, ends } = teamRun('drawn', 'r-drawn');
  await insertSpans(server.store, [...calls, ...ends]);
  const { stdout } = await cli('trace', 'r-drawn');
  const lines = stdout.split('\n');
  assert.match(lines[1]!, /^drawn r-drawn +\+0\.00 ms +2\.6 s +400 +– +\$1\.00/);
  assert.match(lines[2]!, /^├─ maker \(maker\) +\+10 ms +1\.7 s +300 +– +\$0\.75/);
  assert.match(lines[3]!, /^│ {2}├─ chat gpt-4 .* gpt-4-0613/);
  assert.match(lines[6]!, /^│ {2}└─ writer \(sub\)/);
  assert.match(lines[7]!, /rate_limit_exceeded$/);
  assert.match(lines[9]!, /^│ {2}└─ chat gpt-4 .* pass$/);
  assert.match(lines[10]!, /^└─ verdict .* pass$/);
});

test('an id that several loops have is asked back; one that none has is not found', async () => {
  await insertSpans(server.store, [
    ...runRows({ loop: 'one', run: 'same', at }),
    ...runRows({ loop: 'two', run: 'same', at }),
  ]);
  const both = await cli('trace', 'same');
  assert.equal(both.code, 2);
  assert.match(both.stderr, /Several loops have a run "same": one, two\. Say which with --loop\./);
  assert.equal((await cli('trace', 'same', '--loop', 'two')).code, 0);
  const none = await cli('trace', 'nope', '--json');
  assert.deepEqual([none.code, none.stdout], [1, '']);
  assert.match(none.stderr, /There is no run or trace "nope"/);
});

test("a call under a caller's own trace is found by its run and shown under its agent", async () => {
  const traceId = 'c'.repeat(32);
  await insertSpans(server.store, [
    spanRow({
      loop: 'guest',
      run: 'g-1',
      record: 'call',
      at,
      agent: 'maker',
      role: 'maker',
      traceId,
      parentSpanId: 'd'.repeat(16),
    }),
  ]);
  const { spans, trace_ids } = JSON.parse((await cli('trace', 'g-1', '--json')).stdout);
  assert.deepEqual(trace_ids, [traceId]);
  assert.deepEqual(outline(spans), ['invoke_workflow guest', '  invoke_agent maker', '    chat gpt-4']);
  assert.equal(spans[0].children[0].span_id, agentSpanId(traceId, ['maker']));
});

test('runs lists the newest first, with nulls for what nobody said', async () => {
  await insertSpans(
    server.store,
    [0, 1, 2].flatMap((i) =>
      runRows({
        loop: 'listed',
        run: `l-${i}`,
        at: at + i * 60_000,
        pass: i !== 1,
        score: i === 2 ? 1 : undefined,
      }),
    ),
  );
  const { runs } = JSON.parse((await cli('runs', '--loop', 'listed', '--limit', '2', '--json')).stdout);
  assert.deepEqual(
    runs.map((r: Record<string, unknown>) => [
      r.run,
      r.state,
      r.checker_pass,
      r.golden_score,
      r.cost_usd,
      r.input_tokens,
    ]),
    [
      ['l-2', 'ended', true, 1, null, 40],
      ['l-1', 'ended', false, null, null, 40],
    ],
  );
  assert.equal(runs[0].started_at, '2026-11-03T09:02:00.000Z');
  assert.match(
    (await cli('runs', '--loop', 'listed')).stdout,
    /^l-1 +2026-11-03 09:01:00 +300 ms +ended +fail +– /m,
  );
  assert.equal((await cli('runs', '--loop', 'lsited')).code, 1);
  assert.deepEqual(JSON.parse((await cli('runs', '--loop', 'primes', '--json')).stdout), { runs: [] });
});

/** Recorded runs whose answers go wrong at `changeAt` with the model, while the checker goes on passing. */
const recorded = (n: number, changeAt: number) =>
  Array.from({ length: n }, (_, i) => ({
    loop: 'primes',
    run: `p-${String(i).padStart(4, '0')}`,
    ts: new Date(at + i * 60_000).toISOString(),
    agent: 'maker',
    model: 'gpt-4',
    served_model: i < changeAt ? 'gpt-4-0314' : 'gpt-4-0613',
    checker: { name: 'parses', version: 'v1', pass: true },
    input: `Is ${i} a prime number?`,
    output: i < changeAt && i % 10 !== 0 ? 'So: [Yes]' : 'So: [No]',
    golden: { expected: 'yes' },
  }));

test('backtest says what would have been caught, when and why, with the scorer of the suite', async () => {
  const file = path('primes.jsonl', recorded(300, 200));
  const { code, stdout } = await cli('backtest', file, '--json');
  assert.equal(code, 0);
  const [loop] = JSON.parse(stdout).loops;
  assert.deepEqual(
    [loop.loop, loop.runs, loop.scored, loop.arl, loop.alarms.length],
    ['primes', 300, 300, 10_000, 1],
  );
  const [alarm] = loop.alarms;
  assert.deepEqual(
    [alarm.kind, alarm.change_at_run, alarm.change_at],
    ['golden_drop', 200, recorded(201, 200)[200]!.ts],
  );
  assert.deepEqual(alarm.cause, { dimension: 'model', from: 'gpt-4-0314', to: 'gpt-4-0613' });
  assert.deepEqual(alarm.checker_pass_rate, { before: 1, after: 1 });
  assert.ok(alarm.at_run >= 200 && alarm.at_run < 215 && alarm.e_value > 10_000 && alarm.golden.after === 0);
  assert.ok(alarm.evidence);

  const text = (await cli('backtest', file)).stdout;
  assert.match(text, /^primes {2}300 runs, 300 with a golden score\n {2}golden_drop\n/);
  assert.match(text, /began +2026-11-03 12:20:00 UTC, after 200 runs/);
  assert.match(text, /cause +model: gpt-4-0314 → gpt-4-0613/);

  const quiet = await cli('backtest', path('quiet.jsonl', recorded(300, 300)));
  assert.match(quiet.stdout, /Nothing would have been caught/);
  const few = await cli('backtest', path('few.jsonl', recorded(30, 30)));
  assert.match(few.stdout, /Too few to watch: .* its first 50 golden scores/);
  assert.equal((await cli('backtest', file, '--loop', 'nope')).code, 1);
  assert.equal((await cli('backtest', file, '--arl', 'many')).code, 2);
  const tooSmall = await cli('backtest', file, '--arl', '0.5');
  assert.deepEqual([tooSmall.code, tooSmall.stderr.includes('--arl: expected at least 1')], [2, true]);
});

test('a bad line is told with number and field, fails the command, and stops nothing', async () => {
  const [good] = recorded(1, 1);
  const file = path('bad.jsonl', [
    good!,
    { ...good, loop: 'primes', run: 7 },
    '{',
    { ...good, run: 'p-last' },
  ]);
  const played = await cli('backtest', file, '--json');
  assert.equal(played.code, 1);
  assert.match(
    played.stderr,
    /bad\.jsonl:2: run: expected string, found 7\n.*bad\.jsonl:3: expected a JSON object/s,
  );
  assert.equal(JSON.parse(played.stdout).loops[0].runs, 2);
  const imported = await cli('import', file, '--json');
  assert.equal(imported.code, 1);
  assert.match(imported.stderr, /bad\.jsonl:2: run: /);
  const result = JSON.parse(imported.stdout);
  assert.deepEqual([result.loaded, result.bad.map((b: { line: number }) => b.line)], [2, [2, 3]]);
});

test('import brings history that runs, trace and status show', async () => {
  const records = recorded(60, 60).map((r) => ({ ...r, run: `i-${r.run}`, golden: undefined }));
  const { code, stdout } = await cli('import', path('history.jsonl', records));
  assert.deepEqual([code, stdout], [0, '60 records loaded\n']);
  const { runs } = JSON.parse((await cli('runs', '--loop', 'primes', '--limit', '100', '--json')).stdout);
  assert.equal(runs.filter((r: { run: string }) => r.run.startsWith('i-')).length, 60);
  const { spans } = JSON.parse((await cli('trace', 'i-p-0003', '--json')).stdout);
  assert.match(outline(spans).join('\n'), /^invoke_workflow primes\n {2}invoke_agent maker\n {4}chat gpt-4/);
  const [status] = JSON.parse((await cli('status', '--loop', 'primes', '--json')).stdout).loops;
  assert.equal(status.registered, true);
});

test('golden import, eval run and eval list: a suite scores the runs it meets', async () => {
  const records = recorded(20, 20).map((r) => ({
    ...r,
    run: `e-${r.run}`,
    ts: new Date(Date.now() - 3_600_000).toISOString(),
    golden: undefined,
  }));
  await cli('import', path('evals.jsonl', records));
  const items = path(
    'golden.jsonl',
    records.map(({ input }) => ({ input, expected: 'yes' })),
  );
  const first = JSON.parse((await cli('golden', 'import', items, '--dataset', 'primes', '--json')).stdout);
  assert.deepEqual([first.dataset, first.items, first.changed], ['primes', 20, true]);
  assert.match((await cli('golden', 'import', items, '--dataset', 'primes')).stdout, /in force already/);
  const { datasets } = JSON.parse((await cli('golden', 'list', '--json')).stdout);
  assert.deepEqual(
    datasets.map((d: { dataset: string; items: number }) => [d.dataset, d.items]),
    [['primes', 20]],
  );

  const run = await cli('eval', 'run', 'primes-golden', '--json');
  assert.equal(run.code, 0, run.stdout + run.stderr);
  const result = JSON.parse(run.stdout);
  assert.ok(result.scored >= 20 && result.errors === 0 && result.mean > 0.5, run.stdout);
  assert.equal(
    JSON.parse((await cli('eval', 'run', 'primes-golden', '--json')).stdout).scored,
    0,
    'never twice',
  );
  const { suites } = JSON.parse((await cli('eval', 'list', '--json')).stdout);
  assert.deepEqual([suites[0].suite, suites[0].scorer, suites[0].last], ['primes-golden', 'regex', null]);
  assert.ok(Date.parse(suites[0].due_at) > Date.now());
  // It never ran, so it is due; what was scored by hand does not wait.
  assert.ok(Date.parse(suites[0].due_since) <= Date.now());
  assert.deepEqual([suites[0].runs_waiting, suites[0].last_error], [0, null]);
  assert.equal((await cli('eval', 'run', 'nope')).code, 1);
});

test('doctor names what is well, what is not, and what to do', async () => {
  const { code, stdout } = await cli('doctor', '--json');
  const { ok, checks } = JSON.parse(stdout);
  const stateOf = (name: string) => checks.find((c: { name: string }) => c.name === name)?.state;
  assert.deepEqual(
    ['Node.js', 'configuration', 'loops', 'suites', 'ClickHouse', 'schema', 'clock', 'collector'].map(
      stateOf,
    ),
    Array.from({ length: 8 }, () => 'ok'),
  );
  assert.deepEqual(
    [stateOf('gateway'), stateOf('provider openai'), stateOf('alert webhooks')],
    ['warn', 'warn', 'warn'],
  );
  assert.equal(stateOf('provider near'), 'ok', 'any answer means it can be reached');
  assert.deepEqual([ok, code], [true, 0]);
  assert.match((await cli('doctor')).stdout, /^warn {2}gateway .*\n {6}→ .*loopscope up/m);
});

test('with nothing running the message says where was looked and how to start it', () =>
  inFolder(async (empty) => {
    const config = join(empty, 'loopscope.yaml');
    writeFileSync(config, 'clickhouse: { http_port: 1 }\n');
    for (const command of ['status', 'runs', 'alerts', 'golden list', 'keys list']) {
      const { code, stdout, stderr } = await runCli([...command.split(' '), '--json', '--config', config]);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(
        stderr,
        /^loopscope: ClickHouse at http:\/\/127\.0\.0\.1:1 does not answer.*`loopscope up` starts it\.\n$/,
      );
    }
    const doctor = await runCli(['doctor', '--json', '--config', config]);
    assert.equal(doctor.code, 1);
    assert.equal(JSON.parse(doctor.stdout).ok, false);
  }));

test('a ClickHouse without the schema is told from one that refuses something', async () => {
  const store = openStore({ url: server.url, database: 'elsewhere' });
  try {
    await assert.rejects(latestRuns(store, { limit: 1 }), {
      code: 'store_rejected',
      message: /lacks the schema of this version of loopscope: any role applies it when it starts/,
    });
  } finally {
    await store.close();
  }
});

test('the running instance is found by the word it left, as long as it lives', () =>
  inFolder(async (folder) => {
    const dataDir = join(folder, '.loopscope');
    const config = join(folder, 'loopscope.yaml');
    writeFileSync(config, 'clickhouse: { http_port: 1 }\n');
    assert.equal(readEndpoints(dataDir), undefined);
    writeEndpoints(dataDir, { pid: process.pid, clickhouse: server.url });
    assert.equal((await runCli(['runs', '--json', '--config', config])).code, 0);
    removeEndpoints(dataDir, process.pid + 1);
    assert.equal(readEndpoints(dataDir)?.clickhouse, server.url, "another's word stays");
    removeEndpoints(dataDir, process.pid);
    assert.equal(readEndpoints(dataDir), undefined);
    writeEndpoints(dataDir, { pid: 2 ** 22 + 1, clickhouse: server.url });
    assert.equal(readEndpoints(dataDir), undefined, 'it died');
    writeFileSync(join(dataDir, 'endpoints.json'), '{"pid":');
    assert.equal(readEndpoints(dataDir), undefined);
  }));

test('wrong usage and wrong configuration exit 2 and say what is wrong', async () => {
  const usage: [string[], RegExp][] = [
    [['statsu'], /unknown command 'statsu'[\s\S]*Did you mean status\?/],
    [['status', '--looop', 'x'], /unknown option '--looop'/],
    [['trace'], /missing required argument 'id'/],
    [['runs', '--limit', '0'], /Expected a positive whole number/],
    [[], /Usage: loopscope/],
    [['keys'], /Usage: loopscope keys/],
  ];
  for (const [argv, message] of usage) {
    const { code, stdout, stderr } = await runCli(argv);
    assert.deepEqual([argv, code, stdout], [argv, 2, '']);
    assert.match(stderr, message);
  }
  const file = path('wrong.yaml', ['gateway:', '  prot: 4000']);
  const { code, stderr } = await runCli(['status', '--config', file]);
  assert.equal(code, 2);
  assert.match(stderr, /wrong\.yaml:2: gateway\.prot: unknown field/);
});

test('every command says what it is for and shows an example', async () => {
  const commands = [
    'up',
    'gateway',
    'collector',
    'evals',
    'clickhouse',
    'provider',
    'status',
    'alerts',
    'runs',
    'trace',
    'models',
    'import',
    'golden import',
    'golden list',
    'eval run',
    'eval list',
    'backtest',
    'registry check',
    'registry show',
    'registry touches',
    'keys create',
    'keys revoke',
    'keys list',
    'kill',
    'revive',
    'doctor',
  ];
  for (const command of commands) {
    const { code, stdout } = await runCli([...command.split(' '), '--help']);
    assert.equal(code, 0, command);
    assert.match(stdout, new RegExp(`^Usage: loopscope ${command}`));
    assert.match(stdout, new RegExp(`Example:\\n.*loopscope ${command}`), command);
    assert.match(stdout, /--json/, 'the options of all commands are shown');
  }
});

test('as a program: the exit code is the process’s, JSON alone on stdout', async () => {
  const main = join(import.meta.dirname, '../../src/main.ts');
  const spawn = (...argv: string[]) =>
    promisify(execFile)(process.execPath, [main, ...argv, '--config', join(folder, 'loopscope.yaml')]);
  const { stdout, stderr } = await spawn('runs', '--limit', '1', '--json');
  assert.equal(JSON.parse(stdout).runs.length, 1);
  assert.equal(stderr, '');
  await assert.rejects(spawn('trace', 'nope'), { code: 1 });
  await assert.rejects(spawn('trace'), { code: 2 });
});
