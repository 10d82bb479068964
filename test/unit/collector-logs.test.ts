import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AdmitOptions, admit } from '../../collector/logs/admit.ts';
import { decodeLogs } from '../../collector/logs/decode.ts';
import { A } from '../../src/span/attributes.ts';
import { agentSpanId, runTraceId } from '../../src/span/ids.ts';
import { LIMITS } from '../../src/span/limits.ts';
import * as agents from '../support/agent-events.ts';

const OPTIONS: AdmitOptions = { capture: () => 'full', findLoop: undefined, receivedNs: 77n };
const admitted = (sender: agents.Sender, options: Partial<AdmitOptions> = {}) =>
  admit(decodeLogs(agents.logsRequest(sender), 'protobuf'), { ...OPTIONS, ...options });
const one = (event: agents.AgentEvent, resource: agents.Sender['resource'] = {}) => {
  const { records, ...rest } = admitted({ resource, scope: '', events: [event] });
  return { record: records[0]!, ...rest };
};
const AT = 1_700_000_000_000_000_000n;

test('a record without a time has that of its collection, or of its coming', () => {
  assert.equal(one({ at: 0n, attributes: {} }).record.timeNs, 77n);
  const json = JSON.stringify({
    resourceLogs: [{ scopeLogs: [{ logRecords: [{ observedTimeUnixNano: '5' }, { timeUnixNano: '6' }] }] }],
  });
  const { records } = admit(decodeLogs(Buffer.from(json), 'json'), OPTIONS);
  assert.deepEqual(
    records.map((r) => r.timeNs),
    [5n, 6n],
  );
});

test('severities by name are the numbers they stand for', () => {
  const names = ['SEVERITY_NUMBER_TRACE', 'SEVERITY_NUMBER_WARN2', 'SEVERITY_NUMBER_FATAL4', 9, 'nonsense'];
  const logRecords = names.map((severityNumber) => ({ severityNumber }));
  const json = JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] });
  assert.deepEqual(
    decodeLogs(Buffer.from(json), 'json').map((r) => r.severityNumber),
    [1, 14, 24, 9, 0],
  );
});

test("an event's name is the field's, the older attribute's, or what the body has in full", () => {
  const named = (event: Omit<agents.AgentEvent, 'at'>) => one({ at: AT, ...event }).record.eventName;
  assert.equal(named({ eventName: 'a.b', attributes: {} }), 'a.b');
  assert.equal(named({ attributes: { 'event.name': 'a.c' } }), 'a.c');
  assert.equal(
    named({ body: 'claude_code.api_request', attributes: { 'event.name': 'api_request' } }),
    'claude_code.api_request',
  );
  assert.equal(named({ body: 'text', attributes: { 'event.name': 'api_request' } }), 'api_request');
});

test('a span that an event stands for has a name within its bound, whatever the model is called', () => {
  const attributes = { 'session.id': 's', [A.requestModel]: 'm'.repeat(100_000) };
  const { spans } = one(
    { at: AT, eventName: 'claude_code.api_request', attributes },
    { 'service.name': 'loop' },
  );
  assert.equal(spans[0]!.name.length, LIMITS.spanNameBytesMax);
});

test('ids that are none are left out, the record is kept', () => {
  const { record, cut } = one({ at: AT, attributes: {}, traceId: 'abcd', spanId: '0000000000000000' });
  assert.equal(record.traceId, '');
  assert.equal(record.spanId, '');
  assert.deepEqual(cut, { ids: 1 }, 'zeros are a way of saying nothing');
});

test('a record of nobody we know belongs to no loop; a named resource or a GenAI event does', () => {
  const loopOf = (event: Omit<agents.AgentEvent, 'at'>, resource: agents.Sender['resource']) =>
    one({ at: AT, ...event }, resource).record.attributes[A.loop];
  assert.equal(loopOf({ attributes: {} }, { 'service.name': 'web' }), undefined);
  assert.equal(loopOf({ attributes: {} }, { 'service.name': 'web', [A.loop]: 'nightly' }), 'nightly');
  assert.equal(
    loopOf({ eventName: 'gen_ai.evaluation.result', attributes: {} }, { 'service.name': 'judge' }),
    'judge',
  );
  assert.equal(
    loopOf({ eventName: 'gen_ai.x', attributes: {} }, { 'service.name': 'unknown_service' }),
    undefined,
  );
});

test('a message event of the older conventions is a message, and its hash is in its place', () => {
  const event = { at: AT, eventName: 'gen_ai.user.message', body: '{"content":"hi"}', attributes: {} };
  const { record, messages } = one(event, { 'service.name': 'l' });
  assert.equal(record.body, '');
  assert.deepEqual(
    messages.map(({ role, content, hash }) => [role, content, hash === record.attributes[A.bodyHash]]),
    [['user', '{"content":"hi"}', true]],
  );
  const off = admitted({ resource: {}, scope: '', events: [event] }, { capture: () => 'off' });
  assert.deepEqual(
    [off.records[0]!.body, off.messages, off.records[0]!.attributes[A.bodyHash]],
    ['', [], undefined],
  );
});

test('bodies and attributes past their bounds are cut, and that is counted', () => {
  const long = 'x'.repeat(LIMITS.attributeValueBytesMax + 1);
  const { record, cut } = one({ at: AT, body: long, attributes: { long } });
  assert.equal(record.body.length, LIMITS.attributeValueBytesMax);
  assert.equal(record.attributes['long']!.length, LIMITS.attributeValueBytesMax);
  assert.deepEqual(cut, { value: 1, body: 1 });
});

test('ids of derived spans follow from loop, session and event alone', () => {
  const spans = admitted(agents.claudeCode('nightly')).spans;
  const traceId = runTraceId('nightly', agents.CLAUDE_SESSION);
  assert.equal(spans.length, 4);
  for (const span of spans) {
    assert.equal(span.traceId, traceId);
    assert.equal(span.parentSpanId, agentSpanId(traceId, ['claude-code']));
  }
  assert.equal(new Set(spans.map((s) => s.spanId)).size, 4);
  assert.deepEqual(
    admitted(agents.claudeCode('nightly')).spans.map((s) => s.spanId),
    spans.map((s) => s.spanId),
  );
  const other = admitted(agents.claudeCode('weekly')).spans;
  assert.ok(other.every((s) => !spans.some((t) => t.spanId === s.spanId)));
  assert.equal(spans[0]!.endNs - spans[0]!.startNs, 41_000_000n, 'the event is told at its end');
});

test('events inside a sampled span make no spans; inside one that was not sampled they do', () => {
  const traced = { traceId: '8f1c388dcdc97de199628d8bbea8ef1b', spanId: 'efd07c232f55b6d7' };
  const sender = agents.claudeCode('nightly', traced);
  assert.equal(admitted(sender).spans.length, 0);
  const unsampled = { ...sender, events: sender.events.map((e) => ({ ...e, flags: 0 })) };
  assert.equal(admitted(unsampled).spans.length, 4);
});

test('a sub-agent is below the agent it works for', () => {
  const sender = agents.claudeCode('nightly');
  const events = sender.events.map((e) => ({
    ...e,
    attributes: { ...e.attributes, 'agent.name': 'Explore' },
  }));
  const [call] = admitted({ ...sender, events }).spans;
  assert.equal(call!.attributes[A.agentRole], 'sub');
  assert.equal(call!.attributes[A.parentAgent], 'claude-code');
  assert.equal(call!.parentSpanId, agentSpanId(call!.traceId, ['claude-code', 'Explore']));
});

test('a prompt that the agent keeps to itself is no input', () => {
  const { records, messages, spans } = admitted(agents.codex('codex-loop'));
  assert.deepEqual(
    messages.map((m) => m.content),
    ['["ls"]', 'a.txt'],
    "a tool's alone",
  );
  assert.ok(records.every((r) => !(A.inputHash in r.attributes)));
  assert.ok(spans.every((s) => !(A.inputHash in s.attributes)));
});

test('usage that nobody said stays unsaid', () => {
  const sender = agents.claudeCode('nightly');
  const [, , request] = sender.events;
  const { input_tokens: _, ...attributes } = request!.attributes;
  const { spans } = admitted({ ...sender, events: [{ ...request!, attributes }] });
  assert.ok(!(A.inputTokens in spans[0]!.attributes));
  assert.equal(spans[0]!.attributes[A.outputTokens], '20');
});
