import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { A } from '../../src/span/attributes.ts';
import type { Store } from '../../src/store/client.ts';
import { startTestStore } from '../support/store.ts';

let server: Awaited<ReturnType<typeof startTestStore>>;
let store: Store;
before(async () => {
  server = await startTestStore();
  store = server.store;
});
after(() => server.close());

let spans = 0;
/** A row of otel_traces; `at` is in milliseconds after noon. */
function span(at: number, attributes: Record<string, string>, more: object = {}) {
  return {
    Timestamp: `2026-01-01 12:00:${(at / 1000).toFixed(9).padStart(12, '0')}`,
    TraceId: 'a'.repeat(32),
    SpanId: String(++spans).padStart(16, '0'),
    SpanName: 'span',
    SpanKind: 'Internal',
    ServiceName: 'loopscope',
    SpanAttributes: attributes,
    Duration: 5_000_000,
    StatusCode: 'Unset',
    ...more,
  };
}

const of = (loop: string, run: string) => ({ [A.loop]: loop, [A.runId]: run, [A.registered]: 'true' });

const call = (loop: string, run: string, at: number, more: Record<string, string> = {}, row: object = {}) =>
  span(
    at,
    { ...of(loop, run), [A.record]: 'call', [A.agentName]: 'maker', [A.agentRole]: 'maker', ...more },
    row,
  );

interface RunRow {
  run_id: string;
  trace_id: string;
  state: string;
  started_at: string;
  ended_at: string;
  registered: number;
  agents: string[];
  models: string[];
  served_models: string[];
  calls: number;
  errors: number;
  effects: number;
  effects_rejected: number;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
  calls_without_usage: number;
  calls_without_cost: number;
  checker_pass: number | null;
  checker_name: string;
  checker_version: string;
  maker_model: string;
  maker_served_model: string;
  prompt_version: string;
  tools_version: string;
  item_id: string;
  input_hash: string;
  output_hash: string;
}

async function runOf(loop: string): Promise<RunRow> {
  const rows = await store.query<RunRow>('SELECT * FROM loopscope.runs WHERE loop = {loop:String}', { loop });
  assert.equal(rows.length, 1);
  return rows[0]!;
}

test('a run that arrives in pieces, out of order, is one row that says all of it', async () => {
  const [loop, run] = ['pieces', 'r1'];
  const pieces = [
    span(9000, {
      ...of(loop, run),
      [A.record]: 'verdict',
      [A.verdictPass]: 'true',
      [A.checkerName]: 'reviewer',
      [A.checkerVersion]: 'v2',
    }),
    call(loop, run, 3000, {
      [A.requestModel]: 'gpt-4',
      [A.responseModel]: 'gpt-4-0613',
      [A.inputTokens]: '10',
      [A.outputTokens]: '2',
      [A.costUsd]: '0.5',
      [A.promptVersion]: 'p2',
      [A.toolsVersion]: 't2',
      [A.inputHash]: 'hash of the second',
      [A.outputTextHash]: 'last',
    }),
    span(0, { ...of(loop, run), [A.record]: 'run', [A.itemId]: 'item-7' }, { Duration: 20_000_000_000 }),
    call(loop, run, 1000, {
      [A.requestModel]: 'gpt-4',
      [A.responseModel]: 'gpt-4-0314',
      [A.inputTokens]: '30',
      [A.outputTokens]: '4',
      [A.costUsd]: '0.25',
      [A.promptVersion]: 'p1',
      [A.toolsVersion]: 't1',
      [A.inputHash]: 'hash of the first',
      [A.outputTextHash]: 'first',
    }),
    // a sub-agent's call counts, but is not what the maker was asked or answered
    span(4000, {
      ...of(loop, run),
      [A.record]: 'call',
      [A.agentName]: 'searcher',
      [A.agentRole]: 'sub',
      [A.requestModel]: 'small',
      [A.responseModel]: 'small-1',
      [A.inputTokens]: '1',
      [A.outputTokens]: '1',
      [A.costUsd]: '0.125',
      [A.outputTextHash]: 'sub',
    }),
    span(8000, {
      ...of(loop, run),
      [A.record]: 'verdict',
      [A.verdictPass]: 'false',
      [A.checkerName]: 'earlier',
    }),
    span(8500, { ...of(loop, run), [A.record]: 'effect', [A.effect]: 'pr_opened' }),
    span(8600, {
      ...of(loop, run),
      [A.record]: 'effect',
      [A.effect]: 'pr_opened',
      [A.effectAccepted]: 'false',
    }),
  ];
  for (const piece of pieces) await store.insert('otel_traces', [piece]);
  const { agents, models, served_models, ...row } = await runOf(loop);
  assert.deepEqual(agents.sort(), ['maker', 'searcher']);
  assert.deepEqual(models.sort(), ['gpt-4', 'small']);
  assert.deepEqual(served_models.sort(), ['gpt-4-0314', 'gpt-4-0613', 'small-1']);
  assert.deepEqual(row, {
    loop,
    run_id: run,
    trace_id: 'a'.repeat(32),
    started_at: '2026-01-01 12:00:00.000000000',
    ended_at: '2026-01-01 12:00:20.000000000',
    state: 'ended',
    registered: 1,
    calls: 3,
    errors: 0,
    effects: 2,
    effects_rejected: 1,
    input_tokens: 41,
    output_tokens: 7,
    cost_usd: 0.875,
    calls_without_usage: 0,
    calls_without_cost: 0,
    checker_pass: 1,
    checker_name: 'reviewer',
    checker_version: 'v2',
    maker_model: 'gpt-4',
    maker_served_model: 'gpt-4-0613',
    prompt_version: 'p2',
    tools_version: 't2',
    item_id: 'item-7',
    input_hash: 'hash of the first',
    output_hash: 'last',
  });
});

test('what nobody said is NULL: verdict, tokens, cost', async () => {
  await store.insert('otel_traces', [call('unsaid', 'r1', 0)]);
  const run = await runOf('unsaid');
  assert.equal(run.checker_pass, null);
  assert.equal(run.input_tokens, null);
  assert.equal(run.output_tokens, null);
  assert.equal(run.cost_usd, null);
  assert.equal(run.calls_without_usage, 1);
  assert.equal(run.calls_without_cost, 1);
  assert.equal(run.state, 'running');
});

test('unknown usage of one call leaves the known usage of another, and is counted', async () => {
  await store.insert('otel_traces', [
    call('partly', 'r1', 0, { [A.inputTokens]: '7', [A.outputTokens]: '3' }),
  ]);
  await store.insert('otel_traces', [call('partly', 'r1', 1000)]);
  const run = await runOf('partly');
  assert.deepEqual([run.input_tokens, run.output_tokens, run.calls_without_usage], [7, 3, 1]);
});

test('a verdict of false is 0, not NULL; it may stand on the call of the checker', async () => {
  await store.insert('otel_traces', [
    call('judged', 'r1', 0, {
      [A.agentName]: 'reviewer',
      [A.agentRole]: 'checker',
      [A.verdictPass]: 'false',
    }),
  ]);
  assert.equal((await runOf('judged')).checker_pass, 0);
});

test('a run is failed when its run span says so, by status or by outcome; a failed call is not enough', async () => {
  await store.insert('otel_traces', [
    span(0, { ...of('f-status', 'r'), [A.record]: 'run' }, { StatusCode: 'Error' }),
    span(0, { ...of('f-outcome', 'r'), [A.record]: 'run', [A.outcome]: 'error' }),
    span(0, { ...of('f-call', 'r'), [A.record]: 'run', [A.outcome]: 'ok' }),
    call('f-call', 'r', 10, {}, { StatusCode: 'Error' }),
  ]);
  assert.equal((await runOf('f-status')).state, 'failed');
  assert.equal((await runOf('f-outcome')).state, 'failed');
  const withCall = await runOf('f-call');
  assert.deepEqual([withCall.state, withCall.errors], ['ended', 1]);
});

test('a loop that nobody registered is marked so; spans without loop or run make no row', async () => {
  await store.insert('otel_traces', [
    call('stray', 'r', 0, { [A.registered]: 'false' }),
    span(0, { [A.loop]: 'no-run' }),
    span(0, { [A.runId]: 'no-loop' }),
  ]);
  assert.equal((await runOf('stray')).registered, 0);
  const [{ n }] = (await store.query<{ n: number }>(
    `SELECT count() AS n FROM loopscope.runs WHERE loop IN ('', 'no-run') OR run_id = ''`,
  )) as [{ n: number }];
  assert.equal(n, 0);
});

test('an insert repeated with its token doubles nothing, in the table and in every view on it', async () => {
  const rows = [
    call('repeat', 'r', 0, { [A.inputTokens]: '5', [A.outputTokens]: '5' }),
    // the next day: another partition, so the same insert is two parts
    call(
      'repeat',
      'r',
      0,
      { [A.inputTokens]: '5', [A.outputTokens]: '5' },
      { Timestamp: '2026-01-02 00:00:00' },
    ),
    span(0, { ...of('repeat', 'r'), [A.record]: 'run', [A.goldenScore]: '0.5', [A.itemId]: 'i' }),
  ];
  for (let i = 0; i < 3; i++) await store.insert('otel_traces', rows, 'token-repeat');
  assert.deepEqual(await counts('repeat'), { spans: 3, calls: 2, tokens: 10, scores: 1 });
});

test('inserts of different tokens both count, even where they say the same', async () => {
  const row = call('twins', 'r', 0, { [A.inputTokens]: '5' });
  await store.insert('otel_traces', [row], 'token-twin-1');
  await store.insert('otel_traces', [row], 'token-twin-2');
  assert.deepEqual(await counts('twins'), { spans: 2, calls: 2, tokens: 10, scores: 0 });
});

// Which view is filled first is the server's business: the one that fails is tried on both sides of ours.
for (const view of ['a_broken', 'z_broken'])
  test(`an insert that failed half-way (at ${view}) is whole, and once only, after a repeat with its token`, async () => {
    await store.command(
      `CREATE MATERIALIZED VIEW loopscope.${view} ENGINE = MergeTree ORDER BY x AS
       SELECT toString(throwIf(Loop = '${view}', 'broken view')) AS x FROM loopscope.otel_traces`,
    );
    const rows = [
      call(view, 'r', 0, { [A.inputTokens]: '5' }),
      span(0, { ...of(view, 'r'), [A.record]: 'run', [A.goldenScore]: '1' }),
    ];
    await assert.rejects(store.insert('otel_traces', rows, `token-${view}`), { code: 'store_rejected' });
    await store.command(`DROP TABLE loopscope.${view} SYNC`);
    await store.insert('otel_traces', rows, `token-${view}`);
    assert.deepEqual(await counts(view), { spans: 2, calls: 1, tokens: 5, scores: 1 });
  });

test('the golden score of an imported run becomes a score; one that is no number becomes none', async () => {
  await store.insert('otel_traces', [
    span(0, { ...of('records', 'scored'), [A.record]: 'run', [A.goldenScore]: '0.25', [A.itemId]: 'item' }),
    span(0, { ...of('records', 'unscored'), [A.record]: 'run' }),
  ]);
  assert.deepEqual(
    await store.query(
      `SELECT run_id, suite, item_id, scorer, score, error FROM loopscope.eval_scores WHERE loop = 'records'`,
    ),
    [{ run_id: 'scored', suite: '', item_id: 'item', scorer: 'record', score: 0.25, error: '' }],
  );
});

test('a question about one loop reads the granules of that loop only', async () => {
  // many loops, so that a range of the sorting key is a small part of the table
  await store.command(
    `INSERT INTO loopscope.run_parts (loop, run_id, calls)
     SELECT 'many-' || toString(number % 100), toString(number), 1 FROM numbers(200000)`,
  );
  for (const where of [`loop = 'many-7'`, `loop = 'many-7' AND run_id = '107'`]) {
    const plan = await store.query<{ explain: string }>(
      `EXPLAIN indexes = 1 SELECT calls FROM loopscope.runs WHERE ${where}`,
    );
    const text = plan.map((line) => line.explain).join('\n');
    const granules = [...text.matchAll(/Granules: (\d+)\/(\d+)/g)].at(-1);
    assert.ok(granules, text);
    assert.ok(Number(granules[1]) <= 2 && Number(granules[2]) >= 20, text);
  }
});

async function counts(loop: string) {
  const [row] = await store.query<{ spans: number; calls: number; tokens: number; scores: number }>(
    `SELECT
       (SELECT count() FROM loopscope.otel_traces WHERE Loop = {loop:String}) AS spans,
       (SELECT sum(calls) FROM loopscope.runs WHERE loop = {loop:String}) AS calls,
       (SELECT sum(input_tokens) FROM loopscope.runs WHERE loop = {loop:String}) AS tokens,
       (SELECT count() FROM loopscope.eval_scores WHERE loop = {loop:String}) AS scores`,
    { loop },
  );
  return row;
}
