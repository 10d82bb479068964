import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import type { Capture } from '../../collector/admit/content.ts';
import type { Collector } from '../../collector/collector.ts';
import { spanTree } from '../../src/cli/run-tree.ts';
import { contentHash, inputHash } from '../../src/records/normalize.ts';
import { latestRuns } from '../../src/store/runs.ts';
import { spansOfTraces, tracesOfRun } from '../../src/store/traces.ts';
import * as agents from '../support/agent-events.ts';
import { startTestCollector } from '../support/collector.ts';
import { encodeRequest, jsonRequest } from '../support/otlp-proto.ts';
import { startTestStore } from '../support/store.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;

before(async () => {
  clickhouse = await startTestStore();
  const captures: Record<string, Capture> = { 'private-loop': 'off', 'hashed-loop': 'hashed' };
  collector = await startTestCollector({
    store: clickhouse.store,
    capture: (loop) => captures[loop] ?? 'full',
    findLoop: (loop) => (loop === 'nightly' ? { agents: [] } : undefined),
  });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

const query = <Row = Record<string, unknown>>(sql: string, params?: Record<string, unknown>) =>
  clickhouse.store.query<Row>(sql, params);

async function post(
  body: Buffer,
  encoding: 'protobuf' | 'json' = 'protobuf',
  signal = 'logs',
): Promise<unknown> {
  const response = await fetch(`${collector.url}/v1/${signal}`, {
    method: 'POST',
    headers: { 'content-type': encoding === 'json' ? 'application/json' : 'application/x-protobuf' },
    body: new Uint8Array(body),
  });
  assert.equal(response.status, 200);
  const answer = encoding === 'json' ? await response.json() : await response.bytes();
  await collector.flush();
  return answer;
}

test('what the OpenTelemetry SDK logs is in the table, every kind of value', async () => {
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ 'service.name': 'sdk-logger', 'service.version': '3' }),
    processors: [
      new BatchLogRecordProcessor({
        exporter: new OTLPLogExporter({ url: `${collector.url}/v1/logs` }),
      } as never),
    ],
  });
  const logger = provider.getLogger('scope', '1.2');
  logger.emit({
    timestamp: 1_700_000_000_123,
    severityNumber: 13,
    severityText: 'WARN',
    body: { nested: ['a', 1, true, null], half: 0.5 },
    attributes: { text: 'x', count: 7, list: ['a', 'b'] },
  });
  logger.emit({ eventName: 'order.placed', body: 'plain' });
  await provider.forceFlush();
  await provider.shutdown();

  await collector.flush();
  const rows = await query(
    `SELECT toString(Timestamp) AS at, SeverityNumber, SeverityText, Body, LogAttributes, EventName, ScopeName,
       ScopeVersion, ResourceAttributes['service.version'] AS version, Loop
     FROM loopscope.otel_logs WHERE ServiceName = 'sdk-logger' ORDER BY Timestamp`,
  );
  assert.equal(rows.length, 2);
  const { at, Body, ...first } = rows[0]!;
  assert.equal(at, '2023-11-14 22:13:20.123000000');
  assert.deepEqual(JSON.parse(Body as string), { nested: ['a', 1, true, null], half: 0.5 });
  assert.deepEqual(first, {
    SeverityNumber: 13,
    SeverityText: 'WARN',
    LogAttributes: { text: 'x', count: '7', list: '["a","b"]' },
    EventName: '',
    ScopeName: 'scope',
    ScopeVersion: '1.2',
    version: '3',
    Loop: '',
  });
  assert.equal(rows[1]!['EventName'], 'order.placed');
  assert.equal(rows[1]!['Body'], 'plain');
});

test('a loop that only sends Claude Code events has runs and a trace, with usage and cost', async () => {
  await post(agents.logsRequest(agents.claudeCode('nightly')));

  const [run] = (await latestRuns(clickhouse.store, { loop: 'nightly', limit: 10 })) as [never];
  const { runId, calls, errors, agents: names, models, servedModels, costUsd, registered } = run;
  assert.deepEqual(
    { runId, calls, errors, names, models, servedModels, costUsd, registered },
    {
      runId: agents.CLAUDE_SESSION,
      calls: 3,
      errors: 1,
      names: ['claude-code'],
      models: ['claude-opus-4-8'],
      servedModels: [],
      costUsd: 0.75,
      registered: true,
    },
  );
  const [facts] = await query(`SELECT * FROM loopscope.runs WHERE loop = 'nightly'`);
  assert.equal(facts!['input_tokens'], 143, 'cached tokens are input');
  assert.equal(facts!['output_tokens'], 25);
  assert.equal(facts!['input_hash'], inputHash('is 7 prime'));
  assert.equal(facts!['output_hash'], contentHash('7 is'));
  const traces = await tracesOfRun(clickhouse.store, 'nightly', agents.CLAUDE_SESSION);
  const [root] = spanTree(await spansOfTraces(clickhouse.store, traces));
  assert.equal(root!.kind, 'run');
  assert.deepEqual(
    root!.children.map((n) => n.name),
    ['invoke_agent claude-code'],
  );
  assert.deepEqual(
    root!.children[0]!.children.map((n) => [n.name, n.span.status, n.span.errorType]),
    [
      ['chat claude-opus-4-8', 'Unset', ''],
      ['execute_tool Bash', 'Error', '_OTHER'],
      ['chat claude-opus-4-8', 'Unset', ''],
      ['chat claude-opus-4-8', 'Error', '529'],
    ],
  );
  const contents = await query<{ content: string }>(
    'SELECT content FROM loopscope.messages WHERE hash IN {hashes:Array(String)} ORDER BY content',
    { hashes: [contentHash('is 7 prime'), contentHash('7 is')] },
  );
  assert.deepEqual(
    contents.map(({ content }) => content),
    ['7 is', 'is 7 prime'],
  );
});

test('the same events again, in either encoding, are the same spans', async () => {
  const sender = agents.claudeCode('again');
  await post(agents.logsRequest(sender));
  await post(agents.logsRequest(sender));
  await post(jsonRequest(agents.logsMessage(sender)), 'json');

  const [row] = await query(
    `SELECT uniqExact(TraceId, SpanId) AS spans FROM loopscope.otel_traces WHERE Loop = 'again'`,
  );
  assert.equal(row!['spans'], 4);
});

test('a call of an agent that sends its spans too is counted once', async () => {
  const traced = { traceId: '8f1c388dcdc97de199628d8bbea8ef1b', spanId: 'efd07c232f55b6d7' };
  const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  const count = (key: string, intValue: bigint) => ({ key, value: { intValue } });
  const llmRequest = {
    resourceSpans: [
      {
        resource: { attributes: [text('service.name', 'traced')] },
        scopeSpans: [
          {
            spans: [
              {
                traceId: Buffer.from(traced.traceId, 'hex'),
                spanId: Buffer.from('c2215deb1a7f17c4', 'hex'),
                parentSpanId: Buffer.from(traced.spanId, 'hex'),
                name: 'claude_code.llm_request',
                kind: 1,
                startTimeUnixNano: 1_795_387_035_500_000_000n,
                endTimeUnixNano: 1_795_387_035_640_000_000n,
                attributes: [
                  text('span.type', 'llm_request'),
                  text('model', 'claude-opus-4-8'),
                  text('gen_ai.system', 'anthropic'),
                  text('gen_ai.request.model', 'claude-opus-4-8'),
                  count('input_tokens', 12n),
                  count('output_tokens', 20n),
                  count('cache_read_tokens', 100n),
                  count('cache_creation_tokens', 30n),
                ],
              },
            ],
          },
        ],
      },
    ],
  };
  await post(encodeRequest('traces', llmRequest), 'protobuf', 'traces');
  await post(agents.logsRequest(agents.claudeCode('traced', traced)));

  const runs = await query(
    `SELECT run_id, calls, input_tokens, output_tokens FROM loopscope.runs WHERE loop = 'traced'`,
  );
  assert.deepEqual(runs, [{ run_id: traced.traceId, calls: 1, input_tokens: 142, output_tokens: 20 }]);
  const events = await query(`SELECT DISTINCT RunId FROM loopscope.otel_logs WHERE Loop = 'traced'`);
  assert.deepEqual(events, [{ RunId: traced.traceId }], 'the events are found with the run');
});

for (const { loop, sender, run, calls, errors, input, output, models, tool } of [
  {
    loop: 'codex-loop',
    sender: agents.codex('codex-loop'),
    run: 'conv-1',
    calls: 2,
    errors: 1,
    input: 90,
    output: 9,
    models: ['gpt-6'],
    tool: 'shell',
  },
  {
    loop: 'gemini-loop',
    sender: agents.geminiCli('gemini-loop'),
    run: 'gem-1',
    calls: 2,
    errors: 1,
    input: 50,
    output: 10,
    models: ['gemini-3-pro'],
    tool: 'run_shell_command',
  },
])
  test(`other coding agents' events are calls and tool calls as well: ${loop}`, async () => {
    await post(agents.logsRequest(sender));
    const [row] = await query(
      `SELECT run_id, calls, errors, input_tokens, output_tokens, models FROM loopscope.runs WHERE loop = {loop:String}`,
      { loop },
    );
    assert.deepEqual(row, {
      run_id: run,
      calls,
      errors,
      input_tokens: input,
      output_tokens: output,
      models,
    });
    const tools = await query<{ SpanName: string }>(
      `SELECT SpanName FROM loopscope.otel_traces WHERE Loop = {loop:String} AND Operation = 'execute_tool'`,
      { loop },
    );
    assert.deepEqual(tools, [{ SpanName: `execute_tool ${tool}` }]);
  });

test('what a loop keeps to itself is in no table, not even as a hash', async () => {
  await post(agents.logsRequest(agents.claudeCode('private-loop')));
  const rows = await query(`SELECT * FROM loopscope.otel_logs WHERE ServiceName = 'private-loop'`);
  const spans = await query(`SELECT * FROM loopscope.otel_traces WHERE ServiceName = 'private-loop'`);
  assert.equal(rows.length, 7);
  assert.equal(spans.length, 4);
  const all = JSON.stringify([rows, spans]);
  for (const secret of ['is 7 prime', '7 is', 'factor 7', contentHash('is 7 prime'), inputHash('is 7 prime')])
    assert.ok(!all.includes(secret), secret);
});

test('a loop that keeps hashes has those and no texts', async () => {
  await post(agents.logsRequest(agents.geminiCli('hashed-loop', 'Nobody else says this.')));
  const rows = await query(`SELECT LogAttributes FROM loopscope.otel_logs WHERE ServiceName = 'hashed-loop'`);
  const all = JSON.stringify(rows);
  for (const secret of ['is 7 prime', 'Nobody else says this.', 'factor 7', '{"role'])
    assert.ok(!all.includes(secret), secret);
  for (const hash of [
    contentHash('is 7 prime'),
    contentHash('Nobody else says this.'),
    contentHash('{"command":"factor 7"}'),
  ])
    assert.ok(all.includes(hash), hash);
  const stored = await query(`SELECT 1 FROM loopscope.messages WHERE hash = {hash:String}`, {
    hash: contentHash('Nobody else says this.'),
  });
  assert.deepEqual(stored, []);
});

test('evaluations are read alike from log records and from events of spans', async () => {
  const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  const traceId = Buffer.from('4bf92f3577b34da6a3ce929d0e0e4736', 'hex');
  const spanId = Buffer.from('00f067aa0ba902b7', 'hex');
  const evaluation = (name: string, score: number | undefined) => [
    text('gen_ai.evaluation.name', name),
    ...(score === undefined
      ? [text('error.type', 'timeout')]
      : [{ key: 'gen_ai.evaluation.score.value', value: { doubleValue: score } }]),
    text('gen_ai.evaluation.score.label', 'meets'),
    text('gen_ai.evaluation.explanation', 'because'),
    text('gen_ai.response.id', 'msg_1'),
  ];
  const resource = { attributes: [text('service.name', 'evaluated')] };
  await post(
    encodeRequest('logs', {
      resourceLogs: [
        {
          resource,
          scopeLogs: [
            {
              logRecords: [
                {
                  timeUnixNano: 1_700_000_000_000_000_000n,
                  eventName: 'gen_ai.evaluation.result',
                  traceId,
                  spanId,
                  attributes: evaluation('relevance', 0.75),
                },
                {
                  timeUnixNano: 1_700_000_001_000_000_000n,
                  traceId,
                  spanId,
                  attributes: [
                    text('event.name', 'gen_ai.evaluation.result'),
                    ...evaluation('relevance', undefined),
                  ],
                },
              ],
            },
          ],
        },
      ],
    }),
  );
  await post(
    encodeRequest('traces', {
      resourceSpans: [
        {
          resource,
          scopeSpans: [
            {
              spans: [
                {
                  traceId,
                  spanId,
                  name: 'chat gpt-6',
                  startTimeUnixNano: 1_700_000_000_000_000_000n,
                  endTimeUnixNano: 1_700_000_003_000_000_000n,
                  attributes: [text('gen_ai.operation.name', 'chat')],
                  events: [
                    { timeUnixNano: 1_700_000_001_000_000_000n, name: 'something.else' },
                    {
                      timeUnixNano: 1_700_000_002_000_000_000n,
                      name: 'gen_ai.evaluation.result',
                      attributes: evaluation('faithfulness', 1),
                    },
                  ],
                },
              ],
            },
          ],
        },
      ],
    }),
    'protobuf',
    'traces',
  );
  const rows = await query(
    `SELECT run_id, trace_id, span_id, name, score, label, explanation, response_id, error_type, source
     FROM loopscope.evaluations WHERE loop = 'evaluated' ORDER BY at`,
  );
  const common = {
    run_id: traceId.toString('hex'),
    trace_id: traceId.toString('hex'),
    span_id: spanId.toString('hex'),
    label: 'meets',
    explanation: 'because',
    response_id: 'msg_1',
  };
  assert.deepEqual(rows, [
    { ...common, name: 'relevance', score: 0.75, error_type: '', source: 'log' },
    { ...common, name: 'relevance', score: null, error_type: 'timeout', source: 'log' },
    { ...common, name: 'faithfulness', score: 1, error_type: '', source: 'span' },
  ]);
});

test('records that cannot be kept are named and counted, the others stay', async () => {
  const sender: agents.Sender = {
    resource: { 'service.name': 'bounds' },
    scope: '',
    events: [
      { at: 2n ** 63n, body: 'too late', attributes: {} },
      { at: 1n, body: 'loop', attributes: { 'loopscope.loop': 'x'.repeat(201) } },
      { at: 1_700_000_000_000_000_000n, body: 'kept', attributes: {} },
    ],
  };
  const answer = await post(jsonRequest(agents.logsMessage(sender)), 'json');
  assert.deepEqual(answer, {
    partialSuccess: {
      rejectedLogRecords: '2',
      errorMessage:
        'Not taken: 1 because its time is past the year 2262, 1 because its loop, run or agent name is longer than 200 characters.',
    },
  });
  const rows = await query(`SELECT Body FROM loopscope.otel_logs WHERE ServiceName = 'bounds'`);
  assert.deepEqual(rows, [{ Body: 'kept' }]);
});
