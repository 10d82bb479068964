import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spanTree, type TreeNode } from '../../src/cli/run-tree.ts';
import { drawTree } from '../../src/cli/tree.ts';
import { agentSpanId, runSpanId, runTraceId } from '../../src/span/ids.ts';
import type { TraceSpan } from '../../src/store/traces.ts';

const traceId = runTraceId('primes', 'r-1');

function span(given: Partial<TraceSpan> & { spanId: string }): TraceSpan {
  return {
    traceId,
    parentSpanId: '',
    name: given.spanId,
    service: 'loopscope',
    startMs: 0,
    durationMs: 10,
    status: 'Unset',
    statusMessage: '',
    errorType: '',
    record: 'call',
    loop: 'primes',
    runId: 'r-1',
    agent: '',
    role: '',
    parentAgent: '',
    requestModel: '',
    servedModel: '',
    inputTokens: null,
    outputTokens: null,
    costUsd: null,
    verdict: '',
    checker: '',
    effectAccepted: '',
    ...given,
  };
}

const maker = { agent: 'maker', role: 'maker' };
const searcher = { agent: 'searcher', role: 'sub', parentAgent: 'maker' };
const outline = (roots: readonly TreeNode[]) => drawTree(roots).map(({ node, prefix }) => prefix + node.name);

test('calls alone already show the run, its agents and their sub-agents', () => {
  const spans = [
    span({ spanId: 'c1', ...maker, parentSpanId: agentSpanId(traceId, ['maker']), startMs: 1, costUsd: 0.1 }),
    span({
      spanId: 'c2',
      ...searcher,
      parentSpanId: agentSpanId(traceId, ['maker', 'searcher']),
      startMs: 5,
      durationMs: 20,
      costUsd: 0.2,
    }),
    span({ spanId: 'v', record: 'verdict', parentSpanId: runSpanId(traceId), startMs: 30, durationMs: 0 }),
  ];
  const roots = spanTree(spans);
  assert.deepEqual(outline(roots), [
    'invoke_workflow primes',
    '├─ invoke_agent maker',
    '│  ├─ c1',
    '│  └─ invoke_agent searcher',
    '│     └─ c2',
    '└─ v',
  ]);
  const [run] = roots;
  assert.equal(run!.reported, false);
  assert.equal(run!.spanId, runSpanId(traceId));
  assert.deepEqual([run!.startMs, run!.endMs], [1, 30]);
  assert.ok(Math.abs(run!.costUsd! - 0.3) < 1e-12);
  assert.equal(run!.inputTokens, null, 'nobody said how many tokens');
  assert.equal(run!.children[0]!.span.role, 'maker');
});

test('the order in which spans arrive does not matter', () => {
  const spans = [
    span({ spanId: runSpanId(traceId), record: 'run', name: 'run', durationMs: 100 }),
    span({
      spanId: agentSpanId(traceId, ['maker']),
      record: 'agent',
      name: 'maker',
      ...maker,
      parentSpanId: runSpanId(traceId),
      durationMs: 90,
    }),
    span({ spanId: 'c1', ...maker, parentSpanId: agentSpanId(traceId, ['maker']), startMs: 1 }),
  ];
  const expected = ['run', '└─ maker', '   └─ c1'];
  assert.deepEqual(outline(spanTree(spans)), expected);
  assert.deepEqual(outline(spanTree(spans.toReversed())), expected);
  assert.ok(drawTree(spanTree(spans)).every(({ node }) => node.reported));
});

test("a call under a caller's span that was never exported goes to its agent", () => {
  const spans = [span({ spanId: 'c1', ...maker, parentSpanId: 'ffffffffffffffff' })];
  assert.deepEqual(outline(spanTree(spans)), ['invoke_workflow primes', '└─ invoke_agent maker', '   └─ c1']);
});

test("a call under a caller's span that is there stays under it", () => {
  const spans = [
    span({ spanId: 'caller', record: '', loop: '', runId: '' }),
    span({ spanId: 'c1', ...maker, parentSpanId: 'caller' }),
  ];
  assert.deepEqual(outline(spanTree(spans)), ['caller', '└─ c1']);
});

test('a span that came twice is one, from its earliest start to its latest end', () => {
  const twice = { spanId: 'c1', ...maker, costUsd: 0.1 };
  const [run] = spanTree([
    span({ ...twice, startMs: 5, durationMs: 5 }),
    span({ ...twice, startMs: 4, durationMs: 3 }),
  ]);
  const [call] = run!.children[0]!.children;
  assert.equal(run!.children[0]!.children.length, 1);
  assert.deepEqual([call!.startMs, call!.endMs, call!.costUsd], [4, 10, 0.1]);
});

test('two runs in one trace stay two', () => {
  const roots = spanTree([
    span({ spanId: runSpanId(traceId), record: 'run', name: 'one' }),
    span({ spanId: runSpanId(traceId), record: 'run', name: 'two', loop: 'other', startMs: 1 }),
    span({
      spanId: 'c2',
      loop: 'other',
      ...maker,
      parentSpanId: agentSpanId(traceId, ['maker']),
      startMs: 2,
    }),
  ]);
  assert.deepEqual(outline(roots), ['one', 'two', '└─ invoke_agent maker', '   └─ c2']);
});

test('spans that name each other as parents are shown all the same', () => {
  const spans = [
    span({ spanId: 'a', parentSpanId: 'b', record: '', loop: '' }),
    span({ spanId: 'b', parentSpanId: 'a', record: '', loop: '' }),
    span({ spanId: 'self', parentSpanId: 'self', record: '', loop: '' }),
  ];
  assert.deepEqual(
    outline(spanTree(spans))
      .map((line) => line.replace(/^[└├─ │]+/, ''))
      .sort(),
    ['a', 'b', 'self'],
  );
});

test('a trace nested beyond all sense is flattened, not a crash', () => {
  const spans = Array.from({ length: 5_000 }, (_, i) =>
    span({ spanId: `s${i}`, parentSpanId: i === 0 ? '' : `s${i - 1}`, record: '', loop: '', startMs: i }),
  );
  const lines = drawTree(spanTree(spans));
  assert.equal(lines.length, 5_000);
  JSON.stringify(lines.map(({ prefix }) => prefix));
});
