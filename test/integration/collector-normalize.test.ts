import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { context, type Span, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Collector } from '../../collector/collector.ts';
import { spanTree, type TreeNode } from '../../src/cli/run-tree.ts';
import { contentHash, inputHash } from '../../src/records/normalize.ts';
import { spansOfTraces } from '../../src/store/traces.ts';
import { startTestCollector } from '../support/collector.ts';
import * as foreign from '../support/foreign-spans.ts';
import { startTestStore } from '../support/store.ts';

let clickhouse: Awaited<ReturnType<typeof startTestStore>>;
let collector: Collector;

before(async () => {
  clickhouse = await startTestStore();
  collector = await startTestCollector({
    store: clickhouse.store,
    findLoop: (loop) => (loop === 'traceloop' ? { agents: [] } : undefined),
  });
});
after(async () => {
  await collector?.close();
  await clickhouse?.close();
});

/** Sends the spans as a service of this name would, children in their parents; gives the trace's id. */
async function send(service: string, spans: foreign.ForeignSpan[]): Promise<string> {
  const exporter = new OTLPTraceExporter({ url: `${collector.url}/v1/traces` });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': service }),
    spanProcessors: [new BatchSpanProcessor({ exporter } as never)],
  });
  const tracer = provider.getTracer('foreign');
  const open = new Map<string, Span>();
  for (const { name, parent, attributes } of spans) {
    const above = parent === undefined ? undefined : open.get(parent);
    const where = above ? trace.setSpan(context.active(), above) : context.active();
    open.set(name, tracer.startSpan(name, { attributes }, where));
  }
  for (const span of [...open.values()].reverse()) span.end();
  await provider.forceFlush();
  await provider.shutdown();
  return open.get(spans[0]!.name)!.spanContext().traceId;
}

const LIBRARIES = [
  { loop: 'traceloop', spans: foreign.traceloop, agents: ['prime_agent'], root: 'run' },
  { loop: 'traceloop-old', spans: foreign.traceloopOld, agents: [], root: 'call' },
  { loop: 'openinference', spans: foreign.openInferenceOpenai, agents: [], root: 'call' },
  { loop: 'langgraph', spans: foreign.openInferenceLangGraph, agents: [], root: 'run' },
  { loop: 'ai-sdk-5', spans: foreign.aiSdk5, agents: ['prime-checker'], root: 'run' },
  { loop: 'ai-sdk-7', spans: foreign.aiSdk7, agents: ['prime-checker'], root: 'run' },
];

for (const { loop, spans, agents, root } of LIBRARIES)
  test(`a loop traced by someone else's instrumentation is a run like any other: ${loop}`, async () => {
    const traceId = await send(loop, spans);

    await collector.flush();
    const [run] = await clickhouse.store.query<Record<string, unknown>>(
      'SELECT * FROM loopscope.runs WHERE loop = {loop:String}',
      { loop },
    );
    assert.ok(run, 'the run is in the view');
    assert.equal(run['run_id'], traceId);
    assert.equal(run['trace_id'], traceId);
    assert.equal(run['state'], root === 'run' ? 'ended' : 'running');
    assert.equal(run['registered'], loop === 'traceloop' ? 1 : 0);
    assert.deepEqual(run['agents'], agents);
    assert.deepEqual(run['models'], ['gpt-4o']);
    assert.deepEqual(run['served_models'], ['gpt-4o-2024-08-06']);
    assert.equal(run['maker_model'], 'gpt-4o');
    assert.equal(run['maker_served_model'], 'gpt-4o-2024-08-06');
    assert.equal(Number(run['calls']), 1);
    assert.equal(Number(run['input_tokens']), 40);
    assert.equal(Number(run['output_tokens']), 3);
    assert.equal(run['cost_usd'], null, 'nobody sent a cost');
    // By these two the run meets its golden item and is scored.
    assert.equal(run['input_hash'], inputHash('Is 17077 a prime number?'));
    assert.equal(run['output_hash'], contentHash('[No]'));
    const [answer] = await clickhouse.store.query<{ content: string }>(
      'SELECT content FROM loopscope.messages WHERE hash = {hash:String} LIMIT 1',
      { hash: run['output_hash'] },
    );
    assert.equal(answer?.content, '[No]');

    const roots = spanTree(await spansOfTraces(clickhouse.store, [traceId]));
    assert.equal(roots.length, 1);
    assert.equal(roots[0]!.kind, 'run');
    const all: TreeNode[] = [];
    const walk = (node: TreeNode): void => {
      all.push(node);
      node.children.forEach(walk);
    };
    walk(roots[0]!);
    for (const { name, parent } of spans) {
      const node = all.find((n) => n.name === name && n.reported);
      assert.ok(node, `${name} is in the tree`);
      const above = all.find((n) => n.children.includes(node));
      if (parent !== undefined) assert.equal(above?.name, parent);
    }
    assert.ok(all.some((n) => n.kind === 'call' && n.inputTokens === 40));
  });

test('spans of a service without a name are stored, and are no run', async () => {
  const traceId = await send('unknown_service:node', foreign.aiSdk5);
  await collector.flush();
  const [spans] = await clickhouse.store.query<{ n: number; loops: string[] }>(
    'SELECT count() AS n, groupUniqArray(Loop) AS loops FROM loopscope.otel_traces WHERE TraceId = {traceId:String}',
    { traceId },
  );
  assert.equal(Number(spans?.n), foreign.aiSdk5.length);
  assert.deepEqual(spans?.loops, ['']);
});
