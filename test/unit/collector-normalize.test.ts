import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admit } from '../../collector/admit/admit.ts';
import type { FindLoop } from '../../collector/admit/normalize.ts';
import { inputHash } from '../../src/records/normalize.ts';
import { A } from '../../src/span/attributes.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { type Attributes, emptyAttributes, type Span } from '../../src/span/span.ts';
import * as foreign from '../support/foreign-spans.ts';

const TRACE = 'a'.repeat(32);
const QUESTION = 'Is 17077 a prime number?';

function span(
  attributes: object,
  fields: Partial<Span> = {},
  resource: object = { 'service.name': 'primes' },
) {
  const stored = (from: object): Attributes => {
    const to = emptyAttributes();
    for (const [key, value] of Object.entries(from))
      to[key] = typeof value === 'object' ? JSON.stringify(value) : String(value);
    return to;
  };
  return {
    traceId: TRACE,
    spanId: 'b'.repeat(16),
    parentSpanId: '',
    traceState: '',
    name: 'span',
    kind: 'Internal',
    startNs: 1n,
    endNs: 2n,
    statusCode: 'Unset',
    statusMessage: '',
    scopeName: '',
    scopeVersion: '',
    events: [],
    links: [],
    ...fields,
    resource: stored(resource),
    attributes: stored(attributes),
  } satisfies Span;
}

const admitted = (spans: Span[], capture: 'off' | 'hashed' | 'full' = 'full', findLoop?: FindLoop) =>
  admit(spans, () => capture, findLoop);

/** The attributes that a library's spans are stored with, by span name. */
function stored(spans: foreign.ForeignSpan[]): Record<string, Attributes> {
  const sent = spans.map((s) =>
    span(s.attributes, { name: s.name, parentSpanId: s.parent ? 'c'.repeat(16) : '' }),
  );
  return Object.fromEntries(admitted(sent).spans.map((s) => [s.name, s.attributes]));
}

/** Every library tells of the same call in its own words. */
const CALLS: [library: string, spans: foreign.ForeignSpan[], name: string, agent: string | undefined][] = [
  ['OpenInference, OpenAI', foreign.openInferenceOpenai, 'OpenAI Chat Completions', undefined],
  ['OpenInference, OpenAI responses', foreign.openInferenceResponses, 'OpenAI Responses', undefined],
  ['OpenInference, LangGraph', foreign.openInferenceLangGraph, 'ChatOpenAI', undefined],
  ['OpenLLMetry', foreign.traceloop, 'chat gpt-4o', 'prime_agent'],
  ['OpenLLMetry of old', foreign.traceloopOld, 'openai.chat', undefined],
  ['AI SDK 5', foreign.aiSdk5, 'ai.generateText.doGenerate', 'prime-checker'],
  ['AI SDK 7', foreign.aiSdk7, 'chat gpt-4o', undefined],
];

for (const [library, spans, name, agent] of CALLS)
  test(`a model call says who answered what to whom at which usage: ${library}`, () => {
    const a = stored(spans)[name]!;
    assert.equal(a[A.operation], 'chat');
    assert.equal(a[A.requestModel], 'gpt-4o');
    assert.equal(a[A.responseModel], 'gpt-4o-2024-08-06');
    assert.equal(a[A.inputTokens], '40');
    assert.equal(a[A.outputTokens], '3');
    assert.equal(a[A.costUsd], undefined);
    assert.equal(a[A.loop], 'primes');
    assert.equal(a[A.runId], TRACE);
    assert.equal(a[A.record], 'call');
    assert.equal(a[A.agentRole], 'maker');
    assert.equal(a[A.agentName], agent);
    assert.equal(a[A.inputHash], inputHash(QUESTION));
    assert.equal(a[A.provider], name === 'ChatOpenAI' ? undefined : 'openai');

    const sent = span(spans.find((s) => s.name === name)!.attributes);
    const { messages } = admitted([sent]);
    const text = (hash: string | undefined) => messages.find((m) => m.hash === hash);
    assert.deepEqual([text(a[A.inputTextHash])?.role, text(a[A.inputTextHash])?.content], ['user', QUESTION]);
    assert.equal(text(a[A.outputTextHash])?.content, '[No]');
  });

test('what was sent is still there as it was sent, but for content that goes to the messages', () => {
  const moved = new Set<string>();
  for (const [, spans] of CALLS)
    for (const { attributes } of spans) {
      const sent = span(attributes);
      const before = { ...sent.attributes };
      const { spans: after, messages } = admitted([sent]);
      for (const [key, value] of Object.entries(before)) {
        if (key in after[0]!.attributes) assert.equal(after[0]!.attributes[key], value, key);
        else moved.add(key.replace(/\d+\..*/, 'N'));
      }
      const hashes = Object.values(after[0]!.attributes).join();
      for (const { hash, content } of messages) assert.ok(hashes.includes(hash), content);
    }
  assert.deepEqual([...moved].sort(), [
    'ai.prompt',
    'ai.prompt.messages',
    'ai.response.text',
    'ai.toolCall.args',
    'ai.toolCall.result',
    'embedding.embeddings.N',
    'gen_ai.completion.N',
    'gen_ai.input.messages',
    'gen_ai.output.messages',
    'gen_ai.prompt.N',
    'gen_ai.system_instructions',
    'input.value',
    'llm.input_messages.N',
    'llm.invocation_parameters',
    'llm.output_messages.N',
    'output.value',
    'traceloop.entity.input',
    'traceloop.entity.output',
  ]);
});

test('agents, tools, chains and the run are told apart', () => {
  const shape = (spans: foreign.ForeignSpan[]) =>
    Object.fromEntries(
      Object.entries(stored(spans)).map(([name, a]) => [
        name,
        [a[A.record], a[A.operation], a[A.agentName] ?? a[A.toolName]].join(' ').trim(),
      ]),
    );
  assert.deepEqual(shape(foreign.openInferenceLangGraph), {
    prime_agent: 'run invoke_workflow',
    agent: '',
    factor: 'execute_tool factor',
    ChatOpenAI: 'call chat',
  });
  assert.deepEqual(shape(foreign.traceloop), {
    'prime_workflow.workflow': 'run invoke_workflow',
    'prime_agent.agent': 'agent invoke_agent prime_agent',
    'factor.tool': 'execute_tool prime_agent',
    'chat gpt-4o': 'call chat prime_agent',
  });
  assert.equal(stored(foreign.traceloop)['factor.tool']![A.toolName], 'factor');
  assert.deepEqual(shape(foreign.aiSdk5), {
    'ai.generateText': 'run invoke_agent prime-checker',
    'ai.toolCall': 'execute_tool prime-checker',
    'ai.generateText.doGenerate': 'call chat prime-checker',
  });
  assert.deepEqual(shape(foreign.aiSdk7), {
    'invoke_agent gpt-4o': 'run invoke_agent prime-checker',
    'step 2': 'agent_step',
    'chat gpt-4o': 'call chat',
  });
  // The span around the calls has a usage too, which would be counted twice.
  assert.equal(stored(foreign.aiSdk5)['ai.generateText']![A.inputTokens], undefined);
  // An embedding's model is not the one that does the work.
  assert.equal(shape(foreign.openInferenceResponses)['OpenAI Embeddings'], 'request embeddings');
});

test('the loop is what the resource says it is, else the service, but no unknown one', () => {
  const call = { 'gen_ai.system': 'az.ai.openai', 'gen_ai.request.model': 'gpt-4o' };
  const identity = (resource: object, attributes: object = {}) => {
    const a = admitted([span({ ...call, ...attributes }, {}, resource)]).spans[0]!.attributes;
    assert.equal(a[A.provider], 'azure.ai.openai');
    return [a[A.loop], a[A.runId], a[A.record]];
  };
  assert.deepEqual(identity({ 'service.name': 's' }), ['s', TRACE, 'call']);
  assert.deepEqual(identity({ 'service.name': 's', [A.loop]: 'l', [A.runId]: 'r' }), ['l', 'r', 'call']);
  assert.deepEqual(identity({ 'service.name': 's' }, { [A.loop]: 'l', [A.runId]: 'r' }), ['l', 'r', 'call']);
  for (const name of ['unknown_service:node', '', 'x'.repeat(LIMITS.nameLengthMax + 1)])
    assert.deepEqual(identity({ 'service.name': name }), [undefined, undefined, undefined], name);
});

test('the registry says whether a loop is registered and who its checker is', () => {
  const findLoop: FindLoop = (loop) =>
    loop === 'primes' ? { agents: [{ name: 'reviewer', role: 'checker' }] } : undefined;
  const of = (agent: string, service: string, find: FindLoop | undefined) => {
    const sent = span(
      { 'openinference.span.kind': 'AGENT', 'agent.name': agent },
      { parentSpanId: 'c'.repeat(16) },
      { 'service.name': service },
    );
    const a = admitted([sent], 'full', find).spans[0]!.attributes;
    return [a[A.registered], a[A.agentRole]];
  };
  assert.deepEqual(of('reviewer', 'primes', findLoop), ['true', 'checker']);
  assert.deepEqual(of('writer', 'primes', findLoop), ['true', 'maker']);
  assert.deepEqual(of('reviewer', 'other', findLoop), ['false', 'maker']);
  assert.deepEqual(of('reviewer', 'primes', undefined), [undefined, 'maker']);
});

test('a usage that says nothing stays missing, a cost is taken where it was sent', () => {
  const of = (attributes: object) =>
    admitted([span({ 'openinference.span.kind': 'LLM', ...attributes })]).spans[0]!.attributes;
  const silent = of({
    'ai.usage.promptTokens': Number.NaN,
    'llm.token_count.completion': -1,
    'llm.usage.total_tokens': 9,
  });
  assert.equal(silent[A.inputTokens], undefined);
  assert.equal(silent[A.outputTokens], undefined);
  assert.equal(of({ 'llm.cost.total': 0.1 + 0.2 })[A.costUsd], '0.30000000000000004');
  assert.equal(of({ 'llm.cost.total': 'free' })[A.costUsd], undefined);
  // Asked for and answered by one name: nobody saw who answered.
  assert.equal(of({ 'llm.model_name': 'm' })[A.responseModel], undefined);
  assert.equal(of({ 'llm.model_name': 'm' })[A.requestModel], 'm');
});

test('an error is of the type of the exception', () => {
  const exception = emptyAttributes();
  exception['exception.type'] = 'AI_APICallError';
  const { spans } = admitted([
    span(
      { 'ai.operationId': 'ai.generateText.doGenerate' },
      { statusCode: 'Error', events: [{ timeNs: 1n, name: 'exception', attributes: exception }] },
    ),
    span({ 'ai.operationId': 'ai.generateText.doGenerate' }, { statusCode: 'Error' }),
  ]);
  assert.deepEqual(
    spans.map((s) => s.attributes[A.errorType]),
    ['AI_APICallError', undefined],
  );
});

test('a loop whose content is not kept gets no texts and no hash of them', () => {
  const sent = () => span(foreign.openInferenceOpenai[0]!.attributes);
  const off = admitted([sent()], 'off');
  assert.deepEqual(off.messages, []);
  for (const name of [A.inputHash, A.inputText, A.outputText, A.inputTextHash, A.outputTextHash])
    assert.equal(off.spans[0]!.attributes[name], undefined, name);
  const hashed = admitted([sent()], 'hashed');
  assert.deepEqual(hashed.messages, []);
  assert.equal(hashed.spans[0]!.attributes[A.inputHash], inputHash(QUESTION));
});

test('spans that are no GenAI, and spans that speak our vocabulary, stay as they are', () => {
  for (const attributes of [
    { 'http.request.method': 'GET', 'traceloop.workflow.name': 'w', 'session.id': 's' },
    { [A.record]: 'call', [A.operation]: 'chat', 'gen_ai.usage.prompt_tokens': '4', [A.loop]: 'l' },
  ]) {
    const sent = span(attributes);
    const before = { ...sent.attributes };
    assert.deepEqual({ ...admitted([sent], 'full', () => undefined).spans[0]!.attributes }, before);
  }
});

test('hostile names and values are names and values like any other', () => {
  const attributes = emptyAttributes();
  for (const [key, value] of [
    ['__proto__', 'x'],
    ['constructor', 'y'],
    ['openinference.span.kind', '__proto__'],
    ['traceloop.span.kind', 'constructor'],
    ['ai.operationId', 'toString'],
    ['gen_ai.system', '__proto__'],
    ['gen_ai.request.model', 'm'],
    ['llm.model_name', 'm'],
    ['llm.invocation_parameters', '{"__proto__":{"model":"evil"}}'],
    ['output.value', '{"generations":[[null]],"message":7}'],
    [
      'gen_ai.input.messages',
      '[null,7,{"role":"user"},{"role":"user","parts":[null,{"type":"text","content":1}]}]',
    ],
    ['gen_ai.prompt.__proto__.role', 'user'],
    ['ai.prompt.messages', `${'['.repeat(100_000)}`],
  ] as const)
    attributes[key] = value;
  const { spans } = admitted([{ ...span({}), attributes }]);
  const a = spans[0]!.attributes;
  assert.equal(a[A.record], 'call');
  assert.equal(a[A.responseModel], undefined);
  assert.equal(a[A.inputText] ?? a[A.inputTextHash], undefined);
  assert.equal(({} as Record<string, unknown>)['model'], undefined);
});

test('what a user said in several messages is found by its hash, and kept message by message', () => {
  const attributes: Record<string, string> = { 'llm.request.type': 'chat' };
  const texts = Array.from({ length: LIMITS.attributesPerSpanMax + 10 }, (_, i) => `text ${i}`);
  for (const [i, text] of texts.entries()) {
    attributes[`gen_ai.prompt.${i}.role`] = 'user';
    attributes[`gen_ai.prompt.${i}.content`] = text;
  }
  const { spans, messages } = admitted([span(attributes)]);
  const a = spans[0]!.attributes;
  assert.equal(
    a[A.inputHash],
    inputHash(texts.slice(0, LIMITS.attributesPerSpanMax).join('\n')),
    'as far as it is read',
  );
  assert.equal(a[A.inputTextHash], undefined);
  assert.deepEqual(
    messages.map((m) => m.content),
    texts.map((content) => JSON.stringify({ content, role: 'user' })),
  );
});
