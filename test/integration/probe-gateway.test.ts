import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import {
  chatCompletion,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';

/** What the gateway makes of the header by which a call says that it is a probe. */
let provider: ScriptedProvider;
let gateway: TestGateway;
before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('{"pass": true}')));
  const checker = { name: 'reviewer', role: 'checker', verdict: { json: '$.pass' } };
  gateway = await startTestGateway({
    providerUrl: provider.url,
    loops: ['probed', 'both'].map((loop) =>
      LoopDefinition.parse({ loop, owner: 'us', cache: { ttl_s: 60 }, agents: [checker] }),
    ),
  });
});
after(async () => {
  await gateway.close();
  await provider.close();
});

const call = async (loop: string, headers: Record<string, string>) => {
  const response = await fetch(`${gateway.url}/loops/${loop}/agents/reviewer/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'q' }] }),
  });
  await response.bytes();
  return response;
};

test('a probe is a call of the loop and of no run, with its own name in place of the run’s', async () => {
  const answer = await call('probed', {
    'x-loop-probe': 'golden suite',
    'x-loop-run': 'probe-1',
    'x-loop-item': 'i-1',
  });
  assert.equal(answer.headers.get('x-loopscope-run'), null);
  const span = await gateway.callOf('probed');
  assert.equal(span.traceId, answer.headers.get('x-loopscope-trace'));
  assert.equal(span.parentSpanId, undefined);
  const { attributes } = span;
  assert.equal(attributes[A.runId], undefined);
  assert.deepEqual(
    [A.probe, A.probeSuite, A.probeRunId, A.itemId, A.loop, A.agentRole, A.verdictPass].map(
      (name) => attributes[name],
    ),
    [true, 'golden suite', 'probe-1', 'i-1', 'probed', 'checker', true],
  );
  assert.equal(typeof attributes[A.costUsd], 'number');
  assert.equal(
    provider.requests.at(-1)!.headers['x-loop-probe'],
    undefined,
    'no header of ours goes further',
  );
});

test('a probe is never answered from the loop’s cache, and opens no run for calls that name none', async () => {
  await call('both', {});
  await call('both', { 'x-loop-probe': 's' });
  await call('both', { 'x-loop-probe': 's' });
  const hit = await call('both', {});
  assert.equal(hit.headers.get('x-loopscope-cache'), 'hit');
  const calls = await gateway.spansOf('both', 4, 'call');
  const runs = calls.map(({ attributes }) => attributes[A.runId]).filter((run) => run !== undefined);
  assert.equal(runs.length, 2);
  assert.equal(new Set(runs).size, 1, 'those of the loop itself share theirs');
  assert.equal((await call('both', { 'x-loop-probe': 'ü' })).status, 400);
});
