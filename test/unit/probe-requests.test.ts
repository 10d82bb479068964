import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkerRequest, makerRequest } from '../../evals/probe/recorded.ts';
import { ProbeSettings } from '../../evals/probe/settings.ts';
import { fill, placeholdersIn, templateVersion } from '../../evals/probe/template.ts';
import type { RecordedCall } from '../../src/store/probes.ts';

const said = (role: string, ...texts: string[]) =>
  JSON.stringify({ role, parts: texts.map((content) => ({ type: 'text', content })) });

const recorded = (facts: Partial<RecordedCall>): RecordedCall => ({
  runId: 'run-1',
  provider: 'openai',
  model: 'gpt-4',
  responseId: 'chatcmpl-1',
  toolsVersion: '',
  promptVersion: 'p1',
  maxTokens: 100,
  temperature: 0,
  topP: null,
  seed: 7,
  messages: [said('system', 'Be brief.'), said('user', 'Is 7 prime?')],
  makerInput: undefined,
  makerOutput: undefined,
  ...facts,
});

const refusal = (modelled: ReturnType<typeof makerRequest>) =>
  modelled.outcome === 'impossible' ? modelled.reason : 'modelled';

test('places are filled in values, in one pass: what is filled in is no template and no JSON', () => {
  const template = { a: ['{{input}} and {{input}}', 3, null], '{{input}}': { b: '{{output}}' } };
  const input = '"}], "model": "evil {{output}} $& \\';
  assert.deepEqual(fill(template, { input, output: 'x' }), {
    a: [`${input} and ${input}`, 3, null],
    '{{input}}': { b: 'x' },
  });
  assert.deepEqual(fill(template, { input: 'i' }).a[0], 'i and i');
  assert.deepEqual(placeholdersIn({ x: ['{{ input }}', '{{other}}', '{{output}}'] }), new Set(['output']));
  assert.notEqual(templateVersion('/v1/a', template), templateVersion('/v1/b', template));
});

test('settings: a request needs its place, tools need the owner’s word, and there is one way to ask', () => {
  const complaints = (settings: object) =>
    ProbeSettings.safeParse(settings).error?.issues.map(
      ({ path, message }) => `${path.join('.')}: ${message}`,
    ) ?? [];
  const request = { model: 'm', messages: [{ role: 'user', content: '{{input}}' }] };
  assert.deepEqual(complaints({ request }), []);
  assert.deepEqual(complaints({ from: 'recorded', checker: { agent: 'c', from: 'recorded' } }), []);
  assert.match(complaints({})[0]!, /expected request or from: recorded/);
  assert.match(complaints({ request: { model: 'm' } })[0]!, /^request: expected \{\{input\}\}/);
  assert.match(complaints({ request, from: 'recorded' })[0]!, /^from: .*not both/);
  assert.match(complaints({ request: { ...request, stream: true } })[0]!, /^request: expected no stream/);
  assert.match(complaints({ request: { ...request, tools: [{}] } })[0]!, /side_effect_free: true/);
  assert.deepEqual(complaints({ request: { ...request, tools: [{}] }, side_effect_free: true }), []);
  assert.match(
    complaints({ checker: { agent: 'c', request } })[0]!,
    /^checker\.request: expected \{\{output\}\}/,
  );
  assert.match(complaints({ request, checker: { agent: 'c' } })[0]!, /^checker: /);
});

test("the maker's first call becomes a template with the input in place of the one message of the user", () => {
  assert.partialDeepStrictEqual(makerRequest(recorded({})), {
    outcome: 'modelled',
    path: '/v1/chat/completions',
    request: {
      model: 'gpt-4',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: '{{input}}' },
      ],
      max_completion_tokens: 100,
      temperature: 0,
      seed: 7,
    },
  });
  assert.partialDeepStrictEqual(
    makerRequest(recorded({ provider: 'anthropic', model: 'claude', topP: 0.5 })),
    {
      outcome: 'modelled',
      path: '/v1/messages',
      request: {
        model: 'claude',
        max_tokens: 100,
        temperature: 0,
        top_p: 0.5,
        system: 'Be brief.',
        messages: [{ role: 'user', content: '{{input}}' }],
      },
    },
  );
});

test('where something is not known for certain no template is made, and the reason is told', () => {
  const cases: [Partial<RecordedCall>, RegExp][] = [
    [{ toolsVersion: 'v1' }, /has tools, and what they are is not recorded/],
    [{ messages: [] }, /capture: full/],
    [{ messages: [undefined] }, /not kept any more/],
    [{ messages: [said('user', 'a'), said('assistant', 'b'), said('user', 'c')] }, /2 messages of the user/],
    [{ messages: [said('user', 'say {{input}}')] }, /in its own text/],
    [{ messages: ['{"role":"user","parts":[{"type":"image"}]}'] }, /more than text/],
    [{ messages: ['not json'] }, /more than text/],
    [{ provider: 'azure.ai.openai' }, /azure\.ai\.openai/],
    [{ provider: 'anthropic', maxTokens: null }, /how long its answer may be/],
    [{ responseId: 'resp_1' }, /Responses API/],
    [{ model: '' }, /no model/],
  ];
  for (const [facts, reason] of cases) {
    assert.match(refusal(makerRequest(recorded(facts))), reason);
    assert.match(refusal(makerRequest(recorded(facts))), /run run-1 .* Write `request` in the suite/);
  }
});

test("the checker's call becomes one with places for the answer and, where it is shown, for the input", () => {
  const makerInput = 'Is 7 prime?';
  const makerOutput = '[Yes], it is';
  const request = (text: string, facts: Partial<RecordedCall> = {}) =>
    checkerRequest(recorded({ messages: [said('user', text)], makerInput, makerOutput, ...facts }));
  const text = (modelled: ReturnType<typeof checkerRequest>) =>
    modelled.outcome === 'modelled' ? JSON.stringify(modelled.request['messages']) : modelled.reason;
  assert.match(text(request(`Q: ${makerInput} A: ${makerOutput}`)), /"Q: \{\{input\}\} A: \{\{output\}\}"/);
  assert.match(text(request(`Judge: ${makerOutput}`)), /"Judge: \{\{output\}\}"/);
  assert.match(text(request(`${makerOutput} or ${makerOutput}`)), /stands 2 times/);
  assert.match(text(request('Judge it.')), /stands 0 times/);
  assert.match(text(request('Judge it.', { makerOutput: undefined })), /answer in that run was not kept/);
  // An answer that repeats the question is replaced whole.
  const repeats = `${makerInput} Yes.`;
  assert.match(text(request(`Judge: ${repeats}`, { makerOutput: repeats })), /"Judge: \{\{output\}\}"/);
});

test('a prompt with the date in it stays the same where the loop names its version, and is another where it does not', () => {
  const version = (day: string, promptVersion: string, facts: Partial<RecordedCall> = {}) => {
    const messages = [said('system', `Today is ${day}.`), said('user', 'Is 7 prime?')];
    const modelled = makerRequest(recorded({ messages, promptVersion, ...facts }));
    return modelled.outcome === 'modelled' ? modelled.version : modelled.reason;
  };
  for (const facts of [{}, { provider: 'anthropic' }]) {
    assert.equal(version('Monday', 'v7', facts), version('Tuesday', 'v7', facts));
    assert.notEqual(version('Monday', 'v7', facts), version('Monday', 'v8', facts));
    assert.notEqual(version('Monday', 'v7', facts), version('Monday', 'v7', { ...facts, temperature: 1 }));
  }
});
