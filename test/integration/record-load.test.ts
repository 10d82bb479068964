import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { Collector } from '../../collector/collector.ts';
import { systemClock } from '../../src/clock.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { otlpJson } from '../../src/records/otlp.ts';
import { importRecordings, sendSpans } from '../../src/replay/record/import.ts';
import { type LoadOptions, loadRecording } from '../../src/replay/record/load.ts';
import { recordingToSpans } from '../../src/replay/record/to-spans.ts';
import type { ModelCall, Recording, ToolCall } from '../../src/replay/recording.ts';
import { runTraceId } from '../../src/span/ids.ts';
import type { Span } from '../../src/span/span.ts';
import { addSharedContents, recordedContents } from '../../src/store/recorded-contents.ts';
import { RECORDING_SPANS_MAX, recordedSpans } from '../../src/store/recordings.ts';
import { startTestCollector } from '../support/collector.ts';
import { randomRecording } from '../support/random-recording.ts';
import { startTestStore } from '../support/store.ts';
import { trajectories, trajectoriesAbsent } from '../support/trajectories.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;
const clock = systemClock();
const CAPTURE: Record<string, 'off' | 'hashed'> = { silent: 'off', hashing: 'hashed' };

before(async () => {
  clickhouse = await startTestStore();
  collector = await startTestCollector({
    store: clickhouse.store,
    capture: (loop) => CAPTURE[loop] ?? 'full',
  });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

const load = (loop: string, runId: string, options?: LoadOptions) =>
  loadRecording(clickhouse.store, { loop, runId }, options);

test('200 real trajectories become runs and are loaded back with every message, tool call and result', {
  skip: trajectoriesAbsent,
}, async () => {
  const recordings = trajectories('airline');
  assert.equal(recordings.length, 200);
  await importRecordings(recordings, { collectorUrl: collector.url, clock });
  for (const recording of recordings)
    assert.deepEqual(await load('airline', recording.run), recording, recording.run);
});

test('a recording of any kind is the same when it was imported and is loaded', async () => {
  const seed = 20261127;
  const recordings = Array.from(
    { length: 60 },
    (_, i) => fc.sample(randomRecording('any', `r-${i}`), { numRuns: 1, seed: seed + i })[0]!,
  );
  await importRecordings(recordings, { collectorUrl: collector.url, clock });
  // Again: nothing is stored twice.
  await importRecordings(recordings, { collectorUrl: collector.url, clock });
  for (const recording of recordings)
    assert.deepEqual(await load('any', recording.run), recording, `${recording.run} of seed ${seed}`);
});

test('a conversation that is changed, cut, repeated or taken up again is loaded as it was said each time', async () => {
  const original = fc
    .sample(randomRecording('changed', 'r-1'), { numRuns: 50, seed: 9 })
    .find(({ steps }) => steps.some((step) => step.kind === 'call'))!;
  const first = original.steps.find((step) => step.kind === 'call')!;
  const said = (text: string) => ({ role: 'user', parts: [{ type: 'text', content: text }] });
  const conversations = [
    ['system', 'task', 'one', 'two'],
    ['system', 'task', 'one', 'two', 'three'],
    ['system', 'task', 'other', 'two', 'three', 'four'], // as long as one that goes on, and changed in the middle
    ['system', 'task', 'other', 'two', 'three', 'four'],
    ['system', 'task', 'other'],
    ['system', 'task', 'other', 'five'],
    ['system', 'another task', 'one'],
    ['system', 'task', 'other', 'five', 'six'],
  ];
  const steps = conversations.map(
    (texts, i): ModelCall => ({
      ...first,
      spanId: String(i + 1).padStart(16, 'c'),
      agent: 'maker',
      parentAgent: '',
      role: 'maker',
      atMs: i,
      durationMs: 0,
      error: null,
      input: texts.map(said),
    }),
  );
  const run: Recording = { ...original, run: 'r-2', traceId: runTraceId('changed', 'r-2'), steps, gaps: [] };
  await importRecordings([run], { collectorUrl: collector.url, clock });
  const loaded = await load('changed', 'r-2');
  const inputs = loaded!.steps.map((step) => (step.kind === 'call' ? step.input : null));
  assert.deepEqual(
    inputs,
    conversations.map((texts) => texts.map(said)),
  );
});

test('a replay is loaded by its trace, links to what it replays, and is in no view of runs', async () => {
  const original = fc.sample(
    randomRecording('replayed', 'r-1').filter(({ state }) => state === 'ended'),
    { numRuns: 1, seed: 4 },
  )[0]!;
  const traceId = 'ab'.repeat(16);
  const replay: Recording = { ...original, traceId, run: 'replay-1', replayOf: 'r-1' };
  await sendSpans(recordingToSpans(replay, { originalTraceId: original.traceId }), {
    collectorUrl: collector.url,
    clock,
  });
  assert.deepEqual(await loadRecording(clickhouse.store, { traceId }), replay);
  const [{ runs }] = (await clickhouse.store.query<{ runs: number }>(
    "SELECT count() AS runs FROM loopscope.run_parts WHERE loop = 'replayed'",
  )) as [{ runs: number }];
  assert.equal(runs, 0);
  const links = await clickhouse.store.query<{ linked: string[] }>(
    "SELECT Links.TraceId AS linked FROM loopscope.otel_traces WHERE TraceId = {traceId:String} AND Record = 'replay.run'",
    { traceId },
  );
  assert.deepEqual(links, [{ linked: [original.traceId] }]);
});

test('what is not stored is nothing', async () => {
  assert.equal(await load('nobody', 'r-1'), undefined);
  assert.equal(await loadRecording(clickhouse.store, { traceId: 'f'.repeat(32) }), undefined);
});

/** A span of somebody's instrumentation; times in milliseconds since the run began. */
const foreign = (
  loop: string,
  of: { id: number; parent?: number; name: string; at: number; took?: number; scope?: string },
  attributes: Record<string, unknown>,
): Span => ({
  traceId: runTraceId('foreign', loop),
  spanId: String(of.id).padStart(16, '0'),
  parentSpanId: of.parent === undefined ? '' : String(of.parent).padStart(16, '0'),
  traceState: '',
  name: of.name,
  kind: 'Internal',
  startNs: BigInt(Date.UTC(2025, 5, 1) + of.at) * 1_000_000n,
  endNs: BigInt(Date.UTC(2025, 5, 1) + of.at + (of.took ?? 10)) * 1_000_000n,
  statusCode: 'Unset',
  statusMessage: '',
  resource: { 'service.name': loop },
  scopeName: of.scope ?? 'someone',
  scopeVersion: '',
  attributes: Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  ),
  events: [],
  links: [],
});

async function store(spans: readonly Span[]): Promise<void> {
  // A request has the spans of one service.
  for (const some of Map.groupBy(spans, ({ resource }) => resource['service.name']).values()) {
    const response = await fetch(`${collector.url}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: otlpJson(some),
    });
    assert.equal(response.status, 200, await response.text());
  }
  await collector.flush();
}

const CALL = {
  'gen_ai.operation.name': 'chat',
  'gen_ai.request.model': 'm',
  'gen_ai.provider.name': 'openai',
};
const user = (content: string) => ({ role: 'user', parts: [{ type: 'text', content }] });
const says = (content: string) => ({ role: 'assistant', parts: [{ type: 'text', content }] });
const asks = (...calls: [id: string, name: string, args: string][]) => ({
  role: 'assistant',
  parts: calls.map(([id, name, args]) => ({ type: 'tool_call', id, name, arguments: args })),
});
const gave = (id: string, response: unknown) => ({
  role: 'tool',
  parts: [{ type: 'tool_call_response', id, response }],
});
/** The calls of a conversation: one for each message of the assistant, asked with all before it. */
const conversation = (loop: string, from: number, messages: { role: string }[], more: object = {}): Span[] =>
  messages.flatMap((message, i) =>
    message.role === 'assistant'
      ? [
          foreign(
            loop,
            { id: from + i, name: 'chat m', at: (from + i) * 100 },
            {
              ...CALL,
              'gen_ai.input.messages': messages.slice(0, i),
              'gen_ai.output.messages': [message],
              ...more,
            },
          ),
        ]
      : [],
  );
const traceOf = (loop: string) => runTraceId('foreign', loop);
const toolsOf = (recording: Recording | undefined) =>
  recording!.steps.filter((step): step is ToolCall => step.kind === 'tool');

test('tool calls that no span tells of are taken from what models were asked and answered', async () => {
  const messages = [
    user('find it'),
    asks(['call_1', 'search', '{"q":"a"}'], ['call_2', 'search', '{"q":"b"}']),
    gave('call_2', 'found b'),
    gave('call_1', 'found a'),
    // An id that comes again is another call.
    asks(['call_1', 'open', '{"n":1}']),
    gave('call_1', [{ type: 'text', text: 'opened' }]),
    asks(['call_9', 'close', '{}']),
  ];
  await store(conversation('told', 1, messages));
  const recording = await load('told', traceOf('told'));
  assert.deepEqual(
    toolsOf(recording).map(({ tool, callId, arguments: given, result }) => [tool, callId, given, result]),
    [
      ['search', 'call_1', '{"q":"a"}', 'found a'],
      ['search', 'call_2', '{"q":"b"}', 'found b'],
      ['open', 'call_1', '{"n":1}', '[{"type":"text","text":"opened"}]'],
      ['close', 'call_9', '{}', null],
    ],
  );
  const lost = recording!.steps.length - 1;
  assert.deepEqual(
    recording!.gaps.map(({ what, why, steps }) => ({ what, why, steps })),
    [{ what: 'tool_result', why: 'not_recorded', steps: [lost] }],
  );
  assert.equal(new Set(recording!.steps.map(({ spanId }) => spanId)).size, recording!.steps.length);
});

test('a tool call that has a span and is told of by model calls is one, whoever made the span', async () => {
  const messages = [
    user('find it'),
    asks(['call_1', 'search', '{"q":"a"}']),
    gave('call_1', 'found a'),
    asks(['call_2', 'factor', '{"n":17077}']),
    gave('call_2', 'prime'),
    says('done'),
  ];
  await store([
    ...conversation('both', 10, messages),
    foreign(
      'both',
      { id: 1, name: 'execute_tool search', at: 1110, took: 55 },
      {
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.name': 'search',
        'gen_ai.tool.call.id': 'call_1',
      },
    ),
    foreign(
      'both',
      { id: 2, name: 'factor.tool', at: 1310, took: 33 },
      {
        'traceloop.span.kind': 'tool',
        'traceloop.entity.name': 'factor',
        'traceloop.entity.input': '{"args":[17077],"kwargs":{}}',
        'traceloop.entity.output': '"prime"',
      },
    ),
    // A tool that no model asked for.
    foreign(
      'both',
      { id: 3, name: 'save', at: 1900, took: 5 },
      {
        'openinference.span.kind': 'TOOL',
        'tool.name': 'save',
        'input.value': '{"rows":[{"a":1},{"b":2}]}',
        'output.value': 'saved',
      },
    ),
  ]);
  const recording = await load('both', traceOf('both'));
  assert.deepEqual(
    toolsOf(recording).map(({ tool, callId, arguments: given, result, durationMs }) => [
      tool,
      callId,
      given,
      result,
      durationMs,
    ]),
    [
      ['search', 'call_1', '{"q":"a"}', 'found a', 55],
      ['factor', 'call_2', '{"n":17077}', 'prime', 33],
      ['save', '', '{"rows":[{"a":1},{"b":2}]}', 'saved', 5],
    ],
  );
  assert.deepEqual(recording!.gaps, []);
});

test('a call told by an instrumentation and by the one below it is one call, and an attempt is none', async () => {
  await store([
    foreign(
      'nested',
      { id: 1, name: 'ChatOpenAI', at: 0, took: 90 },
      { ...CALL, 'gen_ai.input.messages': [user('a')] },
    ),
    foreign('nested', { id: 2, parent: 1, name: 'POST', at: 1, took: 80 }, {}),
    foreign(
      'nested',
      { id: 3, parent: 2, name: 'chat m', at: 2, took: 70 },
      {
        ...CALL,
        'gen_ai.input.messages': [user('a')],
        'gen_ai.output.messages': [says('b')],
      },
    ),
    foreign(
      'nested',
      { id: 4, parent: 3, name: 'attempt', at: 2, took: 70 },
      {
        'loopscope.record': 'attempt',
        'loopscope.loop': 'nested',
        'loopscope.run.id': traceOf('nested'),
      },
    ),
  ]);
  const recording = await load('nested', traceOf('nested'));
  assert.deepEqual(
    recording!.steps.map(({ spanId }) => spanId),
    ['0000000000000003'],
  );
});

test('messages of other conventions are read as what they are', async () => {
  await store([
    foreign(
      'openinference',
      { id: 1, name: 'ChatOpenAI', at: 0 },
      {
        'openinference.span.kind': 'LLM',
        'llm.model_name': 'gpt-4o',
        'llm.input_messages.0.message.role': 'user',
        'llm.input_messages.0.message.content': 'Is 17077 prime?',
        'llm.input_messages.1.message.role': 'assistant',
        'llm.input_messages.1.message.tool_calls.0.tool_call.id': 'call_1',
        'llm.input_messages.1.message.tool_calls.0.tool_call.function.name': 'factor',
        'llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments': '{"n":17077}',
        'llm.input_messages.2.message.role': 'tool',
        'llm.input_messages.2.message.tool_call_id': 'call_1',
        'llm.input_messages.2.message.content': 'prime',
        'llm.output_messages.0.message.role': 'assistant',
        'llm.output_messages.0.message.content': '[Yes]',
        'llm.tools.0.tool.json_schema': '{"type":"function","function":{"name":"factor"}}',
      },
    ),
    foreign(
      'ai-sdk',
      { id: 1, name: 'ai.generateText.doGenerate', at: 0 },
      {
        'ai.operationId': 'ai.generateText.doGenerate',
        'ai.model.id': 'gpt-4o',
        'ai.prompt.messages': [{ role: 'user', content: [{ type: 'text', text: 'Is 17077 prime?' }] }],
        'ai.response.text': 'Let me see.',
        'ai.response.toolCalls': [{ toolCallId: 'call_1', toolName: 'factor', input: '{"n":17077}' }],
      },
    ),
  ]);
  const call = async (loop: string) => (await load(loop, traceOf(loop)))!.steps[0] as ModelCall;
  const asked = { type: 'tool_call', id: 'call_1', name: 'factor', arguments: '{"n":17077}' };
  const openInference = await call('openinference');
  assert.deepEqual(openInference.input, [
    user('Is 17077 prime?'),
    { role: 'assistant', parts: [asked] },
    gave('call_1', 'prime'),
  ]);
  assert.deepEqual(openInference.output, [says('[Yes]')]);
  assert.equal(openInference.toolDefinitions, '[{"type":"function","function":{"name":"factor"}}]');
  const aiSdk = await call('ai-sdk');
  assert.deepEqual(aiSdk.input, [user('Is 17077 prime?')]);
  assert.deepEqual(aiSdk.output, [{ role: 'assistant', parts: [says('Let me see.').parts[0], asked] }]);
});

test('content is found by the trace that it first came in, and by its hash what came in another one before', async () => {
  const ofTrace = async (loop: string) => {
    const rows = await clickhouse.store.query<{ content: string }>(
      'SELECT content FROM loopscope.messages WHERE trace_id = {trace:String} AND isValidJSON(content)',
      { trace: traceOf(loop) },
    );
    return rows.map(({ content }) => JSON.parse(content).parts[0].content as string).sort();
  };
  const shared = [
    { role: 'system', parts: [{ type: 'text', content: 'you all are brief' }] },
    user('everyone asks'),
  ];
  const history = (loop: string) => [
    ...shared,
    says(`one of ${loop}`),
    user(`go on, ${loop}`),
    says(`two of ${loop}`),
  ];
  for (const loop of ['sooner', 'later']) await store(conversation(loop, 1, history(loop)));
  // Once each, though the second call had all of the first one's history again.
  assert.deepEqual(await ofTrace('sooner'), [
    'everyone asks',
    'go on, sooner',
    'one of sooner',
    'two of sooner',
    'you all are brief',
  ]);
  assert.deepEqual(await ofTrace('later'), ['go on, later', 'one of later', 'two of later']);
  const traceIds = [traceOf('later')];
  const { spans } = await recordedSpans(clickhouse.store, traceIds);
  const contents = await recordedContents(clickhouse.store, traceIds);
  const isThere = () => shared.map((message) => contents.has(contentHash(JSON.stringify(message))));
  assert.deepEqual(isThere(), [false, false]);
  await addSharedContents(clickhouse.store, contents, spans, []);
  assert.deepEqual(isThere(), [true, true]);
  for (const loop of ['sooner', 'later']) {
    const recording = await load(loop, traceOf(loop));
    const [, call] = recording!.steps as ModelCall[];
    assert.deepEqual([...call!.input!, ...call!.output!], history(loop), loop);
    assert.deepEqual(recording!.gaps, []);
  }
});

test('a run that has most of what was said from others is loaded whole, whichever they are', async () => {
  const history = (...said: string[]) =>
    said.flatMap((text) => [user(`ask ${text}`), says(`answer ${text}`)]);
  const some = (of: string) => history(...Array.from({ length: 20 }, (_, i) => `${i} of ${of}`));
  const messages = [...some('first'), ...some('second'), ...history('of nobody before')];
  for (const loop of ['first', 'second']) await store(conversation(loop, 1, some(loop)));
  await store(conversation('resumed', 1, messages));
  const recording = await load('resumed', traceOf('resumed'));
  const last = recording!.steps.at(-1) as ModelCall;
  assert.deepEqual([...last.input!, ...last.output!], messages);
  assert.deepEqual(recording!.gaps, []);
});

test('what was not kept is named with why: capture, or its time', async () => {
  const messages = [user('asked in confidence'), says('answered in confidence')];
  await store(conversation('hashing', 1, messages));
  await store(conversation('silent', 1, messages));
  await store(conversation('expired', 1, [user('gone'), says('gone too')]));
  await clickhouse.store.command(
    `ALTER TABLE loopscope.messages DELETE WHERE content LIKE '%gone%' SETTINGS mutations_sync = 2`,
  );
  const gapsOf = async (loop: string, capture?: 'off' | 'hashed' | 'full') =>
    (await load(loop, traceOf(loop), { capture: () => capture }))!.gaps.map(
      ({ what, why }) => `${what} ${why}`,
    );
  assert.deepEqual(await gapsOf('hashing', 'hashed'), ['input not_captured', 'output not_captured']);
  assert.deepEqual(await gapsOf('silent', 'off'), ['input not_captured', 'output not_captured']);
  assert.deepEqual(await gapsOf('expired', 'full'), ['input expired', 'output expired']);
  assert.deepEqual(await gapsOf('expired'), ['input expired', 'output expired']);
  await store([
    foreign(
      'secretive',
      { id: 1, name: 'execute_tool t', at: 0 },
      {
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.name': 't',
        'gen_ai.tool.call.arguments': '<REDACTED>',
      },
    ),
  ]);
  assert.deepEqual(await gapsOf('secretive'), ['tool_arguments redacted', 'tool_result not_recorded']);
});

test('of two runs in one trace each has its own calls, and a tool that says no run is the only run it can be', async () => {
  const own = (run: string) => ({ 'loopscope.run.id': run, 'loopscope.loop': 'shared' });
  const at = (id: number, name: string) => ({ id, name, at: id * 10 });
  await store([
    foreign('shared', at(1, 'chat m'), { ...CALL, ...own('a'), 'gen_ai.output.messages': [says('a')] }),
    foreign('shared', at(2, 'chat m'), { ...CALL, ...own('b'), 'gen_ai.output.messages': [says('b')] }),
    foreign('shared', at(3, 't'), {
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 't',
      ...own('b'),
    }),
    foreign('lone', at(4, 'chat m'), {
      ...CALL,
      'loopscope.run.id': 'c',
      'gen_ai.output.messages': [says('c')],
    }),
    foreign('lone', at(5, 't'), { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 't' }),
  ]);
  const kinds = async (loop: string, run: string) => (await load(loop, run))!.steps.map(({ kind }) => kind);
  assert.deepEqual(await kinds('shared', 'a'), ['call']);
  assert.deepEqual(await kinds('shared', 'b'), ['call', 'tool']);
  assert.deepEqual(await kinds('lone', 'c'), ['call', 'tool']);
});

test('spans come in the order they began, to the nanosecond; of too many the first are read', async () => {
  const { store } = clickhouse;
  const insert = (traceId: string, count: number) =>
    store.command(
      // In another order than that of time, and in many parts of the table's order; neighbours share a microsecond, and ids go the other way.
      `INSERT INTO loopscope.otel_traces (Timestamp, TraceId, SpanId, SpanName, ServiceName)
       SELECT fromUnixTimestamp64Nano(1700000000000000000 + place * 100), {traceId:String}, lower(leftPad(hex(1000000 - place), 16, '0')),
              concat('name ', toString(place % 7)), 'order'
       FROM (SELECT (number * 7919) % {count:UInt32} AS place FROM numbers({count:UInt32}))`,
      { traceId, count },
    );
  const idOf = (place: number) => (1_000_000 - place).toString(16).padStart(16, '0');
  const few = 'a1'.repeat(16);
  await insert(few, 3_000);
  const read = await recordedSpans(store, [few]);
  assert.equal(read.cut, false);
  assert.deepEqual(
    read.spans.map(({ spanId }) => spanId),
    Array.from({ length: 3_000 }, (_, place) => idOf(place)),
  );

  const many = 'b2'.repeat(16);
  await insert(many, 23_000);
  const { spans, cut } = await recordedSpans(store, [many]);
  assert.equal(cut, true);
  assert.deepEqual(
    spans.map(({ spanId }) => spanId),
    Array.from({ length: RECORDING_SPANS_MAX }, (_, place) => idOf(place)),
  );
});
