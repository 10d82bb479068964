import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LoopDefinition } from '../../src/registry/loop.ts';
import { A } from '../../src/span/attributes.ts';
import { agentSpanId, runTraceId } from '../../src/span/ids.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import {
  chatCompletion,
  json,
  type ScriptedProvider,
  startScriptedProvider,
} from '../support/scripted-provider.ts';

/** A replay's fresh calls at the gateway: on record as such, and part of no run. */
let provider: ScriptedProvider;
let gateway: TestGateway;
const traceId = runTraceId('desk', 'replay-1');

before(async () => {
  provider = await startScriptedProvider(json(chatCompletion('hello')));
  gateway = await startTestGateway({
    providerUrl: provider.url,
    loops: [LoopDefinition.parse({ loop: 'desk', owner: 'o', cache: { ttl_s: 60 } })],
  });
});
after(async () => {
  await gateway?.close();
  await provider?.close();
});

const ask = (headers: Record<string, string>) =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-loop': 'desk',
      'x-loop-run': 'r-1',
      'x-loop-agent': 'maker',
      ...headers,
    },
    body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] }),
  });

test('a call of a replay belongs to the replay and to no run, and is asked anew', async () => {
  assert.equal((await ask({})).headers.get('x-loopscope-run'), 'r-1');
  const spanId = agentSpanId(traceId, ['maker']);
  const replayed = await ask({ 'x-loop-replay': 'replay-1', traceparent: `00-${traceId}-${spanId}-01` });
  assert.equal(replayed.status, 200);
  assert.equal(replayed.headers.get('x-loopscope-run'), null);
  assert.equal(replayed.headers.get('x-loopscope-trace'), traceId);
  assert.equal(provider.requests.length, 2, 'not from the cache of the loop');
  assert.ok(
    provider.requests.every(({ headers }) => !Object.keys(headers).some((h) => h.startsWith('x-loop'))),
  );
  const [span] = await gateway.spansOf('desk', 1, 'replay.call');
  assert.deepEqual(
    [
      span!.traceId,
      span!.parentSpanId,
      span!.attributes[A.runId],
      span!.attributes[A.replayRunId],
      span!.attributes[A.replayOf],
    ],
    [traceId, spanId, undefined, 'replay-1', 'r-1'],
  );
});

test('what is no id of a replay is refused', async () => {
  assert.equal((await ask({ 'x-loop-replay': 'a b' })).status, 400);
});
