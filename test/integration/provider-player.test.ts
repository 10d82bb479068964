import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { type FleetLoop, fillIn, providerRecords } from '../../demo/fleet.ts';
import { northwind } from '../../demo/northwind.ts';
import { type Progress, playFleet } from '../../demo/player.ts';
import { type RecordedProvider, startRecordedProvider } from '../../src/provider/server.ts';
import { inputHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { until } from '../support/until.ts';

/** The beginning of the fleet's story, through a real gateway to the recorded provider. */
const RUNS_EACH = 8;
const loops: FleetLoop[] = northwind(3).loops.map((loop) => ({
  ...loop,
  runs: loop.runs.slice(0, RUNS_EACH),
}));
const calls = loops.flatMap((loop) =>
  loop.runs.flatMap((run) => run.calls.map((call) => ({ loop, run, call }))),
);
const keyOf = (loop: string, agent: string) => `lsk_${loop}_${agent}`;

let provider: RecordedProvider;
let gateway: TestGateway;

before(async () => {
  provider = await startRecordedProvider({ records: providerRecords({ loops }), port: 0, latency: 0 });
  const agents = loops.flatMap(({ definition }) =>
    definition.agents.map((a) => [definition.loop, a.name] as const),
  );
  gateway = await startTestGateway({
    providerUrl: provider.url,
    loops: loops.map((loop) => loop.definition),
    keys: Object.fromEntries(agents.map(([loop, agent]) => [keyOf(loop, agent), { loop, agent }])),
  });
});
after(async () => {
  await gateway?.close();
  await provider?.close();
});

test('every call, verdict, effect and end of the fleet arrives as the span it stands for', async () => {
  const progress: Progress[] = [];
  const played = await playFleet(
    { loops },
    { gatewayUrl: gateway.url, keys: keyOf, onProgress: (p) => progress.push(p) },
  );
  const runs = loops.flatMap((loop) => loop.runs);
  assert.deepEqual(played, { runs: runs.length, calls: calls.length, retried: 0 });
  assert.equal(provider.stats.answered, calls.length);
  assert.equal(provider.stats.refused, 0);
  assert.equal(progress.length, runs.length);
  assert.equal(progress.at(-1)?.fleetRunsDone, runs.length);

  const counted = (record: string) => gateway.spans().filter((s) => s.attributes[A.record] === record).length;
  await until('all spans', () => counted('run') === runs.length && counted('call') === calls.length);
  assert.equal(counted('verdict'), runs.filter((run) => run.verdict).length);
  assert.equal(counted('effect'), runs.flatMap((run) => run.effects).length);
});

test('a call span tells agent, role, parent, served model, usage, text and golden item as the fleet has them', async () => {
  const spans = gateway.spans().filter((s) => s.attributes[A.record] === 'call');
  for (const { loop, run, call } of calls) {
    const span = spans.find(
      ({ attributes: a }) =>
        a[A.loop] === loop.definition.loop && a[A.runId] === run.run && a[A.agentName] === call.agent,
    );
    assert.ok(span, `${loop.definition.loop} ${run.run} ${call.agent}`);
    const { attributes } = span;
    assert.equal(attributes[A.agentRole], call.role);
    assert.equal(attributes[A.parentAgent], call.parentAgent);
    assert.equal(attributes[A.requestModel], call.model);
    assert.equal(attributes[A.responseModel], call.record.served_model);
    assert.equal(attributes[A.inputTokens], call.record.input_tokens);
    assert.equal(attributes[A.outputTokens], call.record.output_tokens);
    assert.equal(attributes[A.outputText], call.record.output);
    assert.equal(attributes[A.promptVersion], call.record.prompt_version);
    assert.equal(attributes[A.itemId], loop.matchedBy === 'item' ? run.item : undefined);
    assert.ok(Number(attributes[A.costUsd]) > 0, 'the served model has a known price');
    if (call.role === 'checker') assert.equal(attributes[A.verdictPass], call.record.checker?.pass);
    if (call.role === 'maker' && loop.matchedBy === 'input') {
      const item = loop.golden.find((g) => g.id === run.item)!;
      assert.equal(attributes[A.inputHash], inputHash(item.input));
    }
  }
});

test('a checker is asked about the answer that came, not the one that was expected', async () => {
  const { call, run } = calls.find(({ call }) => call.role === 'checker')!;
  const maker = run.calls.find((c) => c.role === 'maker')!;
  assert.ok(call.record.input?.includes(maker.record.output!));
  assert.throws(() => fillIn(call.input, new Map()), new RegExp(maker.agent));
});

/** Something in the gateway's place that answers as it is told, one status a request, and then 200. */
async function refusing(statuses: number[]) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url!);
    request.resume().on('end', () => {
      response.writeHead(statuses.shift() ?? 200, { 'content-type': 'application/json' });
      response.end('{"choices":[{"message":{"content":"x"}}],"error":{"message":"no"}}');
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const gatewayUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { asked, gatewayUrl, close: () => new Promise((done) => server.close(done)) };
}

const license = loops.find((loop) => loop.definition.loop === 'license-audit')!;
const one = { loops: [{ ...license, runs: license.runs.slice(0, 1) }] };
const keys = () => 'lsk_any';

test('a 503 is tried once more; a second one, or any other refusal, ends the play saying what happened', async () => {
  for (const [statuses, retried, failure] of [
    [[503], 1, undefined],
    [[503, 503], 0, /license-audit, run s3-0000, auditor: POST \/v1\/chat\/completions gave 503 twice: .*no/],
    [[404], 0, /gave 404: /],
  ] as const) {
    const fake = await refusing([...statuses]);
    try {
      const playing = playFleet(one, { gatewayUrl: fake.gatewayUrl, keys });
      if (failure) await assert.rejects(playing, failure);
      else assert.equal((await playing).retried, retried);
    } finally {
      await fake.close();
    }
  }
});

test('an answer that is none, or a stream that broke off, ends the play', async () => {
  const fake = await refusing([]);
  const streaming = loops.find((loop) => loop.definition.loop === 'doc-links')!;
  try {
    const playing = playFleet({ loops: [streaming] }, { gatewayUrl: fake.gatewayUrl, keys });
    await assert.rejects(playing, /doc-links, run s3-0000, mender: the stream broke off before \[DONE\]/);
  } finally {
    await fake.close();
  }
});

test('a play that is called off stops', async () => {
  const fake = await refusing([]);
  const stop = new AbortController();
  try {
    const playing = playFleet(
      { loops: [license] },
      { gatewayUrl: fake.gatewayUrl, keys, signal: stop.signal, onProgress: () => stop.abort() },
    );
    await assert.rejects(playing, { name: 'AbortError' });
    assert.ok(fake.asked.length < 8, `asked ${fake.asked.length} times`);
  } finally {
    await fake.close();
  }
});
