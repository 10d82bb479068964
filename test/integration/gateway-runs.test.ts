import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import { agentSpanId, runSpanId, runTraceId } from '../../src/span/ids.ts';
import { startTestGateway, type TestGateway, type TestSpan } from '../support/gateway.ts';
import {
  chatCompletion,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';

let provider: ScriptedProvider;
let gateway: TestGateway;

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('hello')));
  gateway = await startTestGateway({
    providerUrl: provider.url,
    loops: [
      LoopDefinition.parse({
        loop: 'release',
        owner: 'platform',
        agents: [
          { name: 'maker', role: 'maker' },
          { name: 'reviewer', role: 'checker', verdict: { json: '$.pass' } },
          { name: 'searcher', role: 'sub' },
        ],
      }),
      LoopDefinition.parse({ loop: 'hashed', owner: 'us', capture: 'hashed' }),
      LoopDefinition.parse({ loop: 'off', owner: 'us', capture: 'off' }),
    ],
  });
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const call = async (loop: string, headers: Record<string, string> = {}, path = '') => {
  const response = await fetch(`${gateway.url}/loops/${loop}${path}/v1/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'secret words' }] }),
    headers,
  });
  await response.bytes();
  return response;
};
const say = (loop: string, run: string, what: string, body?: object | string, headers = {}) =>
  fetch(`${gateway.url}/loops/${loop}/runs/${run}/${what}`, {
    method: 'POST',
    body: typeof body === 'object' ? JSON.stringify(body) : body,
    headers,
  });

test('maker, checker and two sub-agents are one trace whose tree shows exactly that', async () => {
  const run = { 'x-loop-run': 'r-1' };
  const sub = (name: string) => ({ ...run, 'x-loop-agent': name, 'x-loop-parent-agent': 'maker' });
  await call('release', run, '/agents/maker');
  await call('release', sub('searcher'), '/agents/maker');
  await call('release', sub('writer'), '/agents/maker');
  provider.next(json(chatCompletion('Looks good:\n```json\n{"pass": true}\n```')));
  await call('release', run, '/agents/reviewer');
  const ended = await say('release', 'r-1', 'end', { outcome: 'ok' });
  assert.equal(ended.status, 202);
  const trace = runTraceId('release', 'r-1');
  assert.deepEqual(await ended.json(), { run: 'r-1', trace });

  const spans = await gateway.spansOf('release', 9);
  assert.equal(spans.length, 9);
  assert.ok(spans.every((s) => s.traceId === trace && s.attributes[A.registered] === true));
  assert.equal(new Set(spans.map((s) => s.spanId)).size, 9);
  const children = Map.groupBy(spans, (s) => s.parentSpanId);
  const tree = (span: TestSpan): unknown => [
    span.name,
    ...(children.get(span.spanId) ?? []).map(tree).sort((a, b) => String(a).localeCompare(String(b))),
  ];
  const [root] = children.get(undefined)!;
  assert.equal(children.get(undefined)!.length, 1);
  const chat = ['chat gpt-4o'];
  assert.deepEqual(tree(root!), [
    'invoke_workflow release',
    ['invoke_agent maker', chat, ['invoke_agent searcher', chat], ['invoke_agent writer', chat]],
    ['invoke_agent reviewer', chat],
  ]);
  assert.equal(root!.spanId, runSpanId(trace));
  assert.equal(root!.attributes[A.outcome], 'ok');

  const agent = (name: string) => spans.find((s) => s.name === `invoke_agent ${name}`)!;
  assert.equal(agent('searcher').spanId, agentSpanId(trace, ['maker', 'searcher']));
  assert.deepEqual(
    ['maker', 'reviewer', 'searcher', 'writer'].map((name) => agent(name).attributes[A.agentRole]),
    ['maker', 'checker', 'sub', 'sub'],
  );
  assert.equal(agent('searcher').attributes[A.parentAgent], 'maker');

  const verdict = children.get(agent('reviewer').spanId)![0]!;
  assert.equal(verdict.attributes[A.verdictPass], true);
  assert.equal(verdict.attributes[A.checkerName], 'reviewer');
  const within = (inner: TestSpan, outer: TestSpan) =>
    inner.startNs >= outer.startNs && inner.endNs <= outer.endNs;
  assert.ok(spans.every((s) => within(s, root!)));
});

test('a traceparent puts the call under the caller, in its trace', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01`, tracestate: 'vendor=1' };
  const response = await call('traced', headers);
  assert.equal(response.headers.get('x-loopscope-trace'), traceId);
  const span = await gateway.callOf('traced');
  assert.equal(span.traceId, traceId);
  assert.equal(span.parentSpanId, 'b7ad6b7169203331');
  assert.equal(span.attributes[A.runId], traceId);
  assert.equal(span.traceState, 'vendor=1');
  const said = await say('traced', traceId, 'verdict', { pass: true });
  assert.equal(((await said.json()) as { trace: string }).trace, traceId);
});

test('verdicts and effects become spans of the run, and saying them again records nothing new', async () => {
  const statements: [string, object][] = [
    ['verdict', { pass: false, checker: 'parses', version: 'v2', explanation: 'no number' }],
    [
      'effects',
      { effects: [{ name: 'pr_opened' }, { name: 'pr_opened' }, { name: 'pr_merged', accepted: false }] },
    ],
    ['effects', { effect: 'ticket closed' }],
  ];
  for (const [kind, body] of statements)
    for (const _ of [1, 2]) assert.equal((await say('said', 'r-1', kind, body)).status, 202);
  await say('said', 'r-1', 'end');
  await say('said', 'r-1', 'end');

  const spans = await gateway.spansOf('said', 6);
  assert.equal(spans.length, 6);
  assert.equal(new Set(spans.map((s) => s.spanId)).size, 6);
  const trace = runTraceId('said', 'r-1');
  assert.ok(spans.every((s) => s.traceId === trace));
  const [verdict, ...effects] = spans.filter((s) => s.parentSpanId === runSpanId(trace));
  assert.equal(verdict!.name, 'verdict parses');
  assert.equal(verdict!.attributes[A.verdictPass], false);
  assert.equal(verdict!.attributes[A.checkerVersion], 'v2');
  assert.equal(verdict!.attributes[A.record], 'verdict');
  assert.deepEqual(verdict!.events, [
    {
      name: 'gen_ai.evaluation.result',
      attributes: {
        'gen_ai.evaluation.name': 'parses',
        'gen_ai.evaluation.score.label': 'fail',
        'gen_ai.evaluation.score.value': 0,
        'gen_ai.evaluation.explanation': 'no number',
      },
    },
  ]);
  assert.deepEqual(
    effects.map((s) => [s.name, s.attributes[A.effectAccepted]]),
    [
      ['effect pr_opened', undefined],
      ['effect pr_opened', undefined],
      ['effect pr_merged', false],
      ['effect ticket closed', undefined],
    ],
  );
});

test('a verdict that changes its mind is recorded each time', async () => {
  for (const pass of [false, true, true, false]) await say('minds', 'r-1', 'verdict', { pass });
  const verdicts = await gateway.spansOf('minds', 3, 'verdict');
  assert.deepEqual(
    verdicts.map((s) => s.attributes[A.verdictPass]),
    [false, true, false],
  );
  assert.equal(new Set(verdicts.map((s) => s.spanId)).size, 3);
});

test('an end with outcome error makes the run a failed one, even after it went quiet', async () => {
  await call('failing', { 'x-loop-run': 'r-9' });
  await say('failing', 'r-9', 'end');
  await say('failing', 'r-9', 'end', { outcome: 'error' });
  const runs = await gateway.spansOf('failing', 2, 'run');
  assert.deepEqual(
    runs.map((s) => [s.spanId, s.failed]),
    [false, true].map((failed) => [runSpanId(runTraceId('failing', 'r-9')), failed]),
  );
  assert.deepEqual(runs[0]!.startNs, runs[1]!.startNs);
});

test('a statement that is not understood says what was expected', async () => {
  const cases: [string, object | string | undefined][] = [
    ['verdict', undefined],
    ['verdict', '{"pass": yes}'],
    ['verdict', { pass: 'true' }],
    ['verdict', { pass: true, chekcer: 'x' }],
    ['effects', { effects: [] }],
    ['effects', { effects: 'pr_opened' }],
    ['effects', { effect: 'two\nlines' }],
    ['end', { outcome: 'fine' }],
    ['end', '[]'],
  ];
  for (const [kind, body] of cases) {
    const response = await say('wrong', 'r-1', kind, body);
    assert.equal(response.status, 400, `${kind} ${JSON.stringify(body)}`);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    assert.equal(error.code, 'bad_input');
    assert.match(error.message, new RegExp(`^${kind}: expected \\{`));
  }
  const fromPage = await say('wrong', 'r-1', 'end', undefined, { origin: 'https://evil.example' });
  assert.equal(fromPage.status, 400);
  assert.equal(gateway.spans().filter((s) => s.attributes[A.loop] === 'wrong').length, 0);
});

test('calls that name no run share one until the loop goes quiet; then it ends by itself', async () => {
  const quick = await startTestGateway({ providerUrl: provider.url, runIdleS: 0.3 });
  try {
    const ask = async () => {
      const response = await fetch(`${quick.url}/v1/chat/completions`, {
        method: 'POST',
        body: '{"model":"gpt-4o"}',
        headers: { 'x-loop': 'cron' },
      });
      await response.bytes();
      return response.headers.get('x-loopscope-run')!;
    };
    const first = await ask();
    assert.equal(await ask(), first);
    const [run] = await quick.spansOf('cron', 1, 'run');
    assert.equal(run!.attributes[A.runId], first);
    assert.equal(run!.attributes[A.registered], false);
    assert.notEqual(await ask(), first);
  } finally {
    await quick.close();
  }
  assert.equal(
    quick.spans().filter((s) => s.attributes[A.record] === 'run').length,
    2,
    'close ends what is open',
  );
});

test('what is kept of a call follows the loop: hashes only, or nothing', async () => {
  await call('hashed');
  await call('off');
  const hashed = (await gateway.callOf('hashed')).attributes;
  assert.ok(hashed[A.inputHash] && hashed[A.inputTextHash] && hashed[A.outputTextHash]);
  const off = (await gateway.callOf('off')).attributes;
  for (const name of [A.inputHash, A.inputTextHash, A.outputTextHash]) assert.ok(!(name in off), name);
  for (const attributes of [hashed, off]) {
    assert.ok(!/secret words|hello/.test(JSON.stringify(attributes)));
    assert.equal(attributes[A.outputTokens], 100);
  }
});

test('the golden item and the versions that a caller names are on the span', async () => {
  await call('named', {
    'x-loop-item': 'item 7',
    'x-loop-prompt-version': 'p3',
    'x-loop-tools-version': 't4',
  });
  const { attributes } = await gateway.callOf('named');
  assert.equal(attributes[A.itemId], 'item 7');
  assert.equal(attributes[A.promptVersion], 'p3');
  assert.equal(attributes[A.toolsVersion], 't4');
});

test('calls that say nothing of where they come from are recorded all the same', async () => {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    body: '{"model":"gpt-4o"}',
  });
  assert.equal(response.status, 200);
  await response.bytes();
  const span = await gateway.callOf('unknown');
  assert.equal(span.attributes[A.registered], false);
});
