import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admit } from '../../collector/admit/admit.ts';
import { cutText } from '../../collector/admit/cut.ts';
import { splitJsonArray } from '../../collector/admit/json-array.ts';
import { splitJsonDocument } from '../../collector/admit/json-document.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { recordSpans } from '../../src/records/spans.ts';
import { A } from '../../src/span/attributes.ts';
import { LIMITS } from '../../src/span/limits.ts';
import { emptyAttributes, type Span } from '../../src/span/span.ts';
import { conventions, type Told } from '../support/content-conventions.ts';

const full = () => 'full' as const;

function span(fields: Partial<Span> = {}, attributes: Record<string, string> = {}): Span {
  const [run] = recordSpans({ loop: 'l', run: 'r', ts: '2023-06-27T09:00:00Z' }, { registered: true });
  Object.assign(run!.attributes, attributes);
  return { ...run!, ...fields };
}

test('spans without proper ids, times or names are left out and counted by reason, the others stay', () => {
  const long = 'x'.repeat(LIMITS.nameLengthMax + 1);
  const { spans, rejected } = admit(
    [
      span(),
      span({ traceId: '' }),
      span({ traceId: '0'.repeat(32) }),
      span({ traceId: 'AAAA'.repeat(8) }),
      span({ spanId: 'abc' }),
      span({ parentSpanId: 'abc' }),
      span({ startNs: 2n ** 63n }),
      span({}, { [A.loop]: long }),
    ],
    full,
  );
  assert.equal(spans.length, 1);
  assert.deepEqual(rejected, { trace_id: 3, span_id: 1, parent_span_id: 1, time: 1, name_too_long: 1 });
});

test('a parent id of zeros is no parent', () => {
  const { spans } = admit([span({ parentSpanId: '0'.repeat(16) })], full);
  assert.equal(spans[0]!.parentSpanId, '');
});

test('what is kept of content follows what the loop asks for', () => {
  const content = { [A.outputText]: 'secret', [A.inputMessages]: '[{"role":"user","parts":[]}]' };
  for (const capture of ['full', 'hashed', 'off'] as const) {
    const { spans, messages } = admit([span({}, content)], (loop) => {
      assert.equal(loop, 'l');
      return capture;
    });
    const a = spans[0]!.attributes;
    assert.equal(a[A.outputText], undefined);
    assert.equal(a[A.inputMessages], undefined);
    assert.equal(a[A.outputTextHash], capture === 'off' ? undefined : contentHash('secret'));
    assert.equal(messages.length, capture === 'full' ? 2 : 0);
  }
});

test('a text that joins messages is not kept beside them: it would be another one with every call', () => {
  const said = (...texts: string[]) => ({
    [A.inputText]: texts.join('\n'),
    [A.inputHash]: 'h',
    [A.inputMessages]: JSON.stringify(
      texts.map((text) => ({ role: 'user', parts: [{ type: 'text', content: text }] })),
    ),
  });
  const of = (...texts: string[]) => {
    const { spans, messages } = admit([span({}, said(...texts))], full);
    return [messages.length, A.inputTextHash in spans[0]!.attributes, spans[0]!.attributes[A.inputHash]];
  };
  assert.deepEqual(of('one'), [2, true, 'h']);
  assert.deepEqual(of('one', 'two'), [2, false, 'h']);
});

test('messages that are no JSON array are kept as one', () => {
  const { spans, messages } = admit([span({}, { [A.inputMessages]: 'hello' })], full);
  assert.deepEqual(messages, [
    { hash: contentHash('hello'), role: '', content: 'hello', traceId: span({}, {}).traceId },
  ]);
  assert.equal(spans[0]!.attributes[A.inputMessageHashes], JSON.stringify([contentHash('hello')]));
});

test('a JSON array falls into its elements, each in its own words', () => {
  const text = ' [ {"a" : "],}\\"", "n": 1.0} ,[1, 2],"x\\\\", null,12345678901234567890 ] ';
  assert.deepEqual(
    splitJsonArray(text, JSON.parse(text)).map((e) => e.text),
    ['{"a" : "],}\\"", "n": 1.0}', '[1, 2]', '"x\\\\"', 'null', '12345678901234567890'],
  );
  assert.deepEqual(splitJsonArray('[]', []), []);
  assert.deepEqual(splitJsonArray('[ ]', []), []);
});

test('a request of endless lists stays in few pieces, whatever is kept of it', () => {
  const list = `[${'1,'.repeat(LIMITS.messagesPerRequestMax / 2)}1]`;
  const large = `[${' '.repeat(LIMITS.attributeValueBytesMax)}1,2]`;
  const spans = () => [list, large, list, '[1,2]'].map((text) => span({}, { [A.inputMessages]: text }));
  const { messages } = admit(spans(), full);
  const half = LIMITS.messagesPerRequestMax / 2 + 1;
  assert.equal(messages.length, half + 1 + 1 + 2, 'the first and the last are taken apart');
  assert.equal(messages[half]!.content, large);
  assert.equal(messages[half + 1]!.content, list);
  const hashed = admit(spans(), () => 'hashed').spans.map((s) => s.attributes[A.inputMessageHashes]!.length);
  assert.ok(hashed.slice(1).every((length) => length < 200));
});

/** A span of someone else's, of a loop by the name of its service. */
function foreign(told: Partial<Told>, resource: Record<string, string> = { 'service.name': 'loop' }): Span {
  const attributes = (from: Record<string, string> = {}) => Object.assign(emptyAttributes(), from);
  return {
    ...span({ name: told.name ?? 'span' }),
    resource: attributes(resource),
    attributes: attributes(told.attributes),
    events: (told.events ?? []).map(({ name, attributes: of }) => ({
      timeNs: 1n,
      name,
      attributes: attributes(of),
    })),
  };
}

const TURNS = ['What is SECRET one?', 'It is SECRET two.', 'And SECRET three?', 'That is SECRET four.'];
const json = (value: unknown) => JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? String(v) : v));

for (const { name, call } of conventions)
  test(`content is off, hashed or full, whoever sends it: ${name}`, () => {
    const sent = call(TURNS);
    const secrets = TURNS.filter((turn) => json(sent).includes(turn));
    assert.ok(secrets.length >= 1);

    const off = admit([foreign(sent)], () => 'off');
    assert.deepEqual(off.messages, []);
    assert.doesNotMatch(json(off.spans), /SECRET|loopscope\.content|hash/);

    const hashed = admit([foreign(sent)], () => 'hashed');
    assert.deepEqual(hashed.messages, []);
    assert.doesNotMatch(json(hashed.spans), /SECRET/);

    const kept = admit([foreign(sent)], full);
    const spans = json(kept.spans);
    assert.doesNotMatch(spans, /SECRET/);
    assert.equal(spans, json(hashed.spans), 'the hashes are the same');
    for (const secret of secrets)
      assert.ok(
        kept.messages.some(({ content }) => content.includes(secret)),
        secret,
      );
    for (const { hash, content } of kept.messages) {
      assert.equal(hash, contentHash(content));
      assert.ok(spans.includes(hash), content);
    }
  });

for (const { name, call } of conventions.filter(({ resends }) => resends))
  test(`a conversation that goes on adds what is new in it: ${name}`, () => {
    const turns = Array.from({ length: 40 }, (_, i) => `turn ${i}.`);
    const added = (length: number) => {
      const { messages } = admit(
        [call(turns.slice(0, length)), call(turns.slice(0, length + 2))].map((c) => foreign(c)),
        full,
      );
      const before = new Set(
        admit([foreign(call(turns.slice(0, length)))], full).messages.map((m) => m.hash),
      );
      return new Set(messages.map((m) => m.hash)).size - before.size;
    };
    assert.equal(added(38), added(4), 'as much late in it as early');
  });

test('a span of no GenAI keeps what happens to have such a name; a name that means content anywhere is moved', () => {
  const attributes = { 'http.request.method': 'POST', 'input.value': 'x', user_prompt: 'x', events: '[]' };
  const event = { name: 'tool.output', attributes: { output: 'x' } };
  const [plain] = admit([foreign({ attributes, events: [event] })], () => 'off').spans;
  assert.deepEqual({ ...plain!.attributes }, attributes);
  assert.deepEqual({ ...plain!.events[0]!.attributes }, event.attributes);
  const [moved] = admit([foreign({ attributes: { 'gen_ai.prompt.0.content': 'x' } })], () => 'off').spans;
  assert.deepEqual({ ...moved!.attributes }, {});
});

test('what says something about a message, or that it was kept back, stays where it was', () => {
  const facts = { 'gen_ai.system': 'openai', index: '0', finish_reason: 'stop' };
  const sent = foreign({
    attributes: {
      'gen_ai.system': 'openai',
      'gen_ai.completion.0.finish_reason': 'stop',
      user_prompt: '<REDACTED>',
    },
    events: [
      { name: 'gen_ai.choice', attributes: { ...facts, message: '{}' } },
      { name: 'exception', attributes: { 'exception.type': 'E', 'exception.message': 'm' } },
    ],
  });
  const [stored] = admit([sent], () => 'off').spans;
  assert.equal(stored!.attributes['gen_ai.completion.0.finish_reason'], 'stop');
  assert.equal(stored!.attributes['user_prompt'], '<REDACTED>');
  assert.deepEqual({ ...stored!.events[0]!.attributes }, facts);
  assert.deepEqual(Object.keys(stored!.events[1]!.attributes), ['exception.type', 'exception.message']);
});

test('nothing is kept of what belongs to no loop; a loop is also what the resource says', () => {
  const attributes = { 'gen_ai.prompt.0.content': 'x', 'gen_ai.system': 'openai' };
  const asked: string[] = [];
  const capture = (loop: string) => {
    asked.push(loop);
    return 'full' as const;
  };
  const nameless: Record<string, string>[] = [{}, { 'service.name': 'unknown_service:node' }];
  for (const resource of nameless)
    assert.deepEqual(admit([foreign({ attributes }, resource)], capture).messages, []);
  assert.deepEqual(asked, []);
  admit(
    [
      foreign({ attributes }, { 'service.name': 's', [A.loop]: 'l' }),
      foreign({ attributes: { 'gen_ai.prompt': 'x' } }),
    ],
    capture,
  );
  assert.deepEqual(asked, ['l', 'loop']);
});

test('of two conventions on one span each keeps its messages', () => {
  const [first, second] = ['AI SDK', 'OpenInference'].map((n) =>
    conventions.find((c) => c.name === n)!.call(TURNS),
  );
  const { spans, messages } = admit(
    [foreign({ attributes: { ...first!.attributes, ...second!.attributes } })],
    full,
  );
  const a = spans[0]!.attributes;
  const contents = (list: string | undefined) =>
    (JSON.parse(list!) as string[]).map((hash) => messages.find((m) => m.hash === hash)!.content);
  assert.deepEqual(
    contents(a[A.inputMessageHashes])[0],
    JSON.stringify({ content: TURNS[0], role: 'user' }),
    'the first of the table',
  );
  assert.equal(contents(a[`${A.contentHashes}.ai.prompt.messages`]).length, 3);
});

test("numbered messages are in the order of their numbers, whatever order they came in; each has its speaker's role", () => {
  const attributes = {
    'gen_ai.system': 'x',
    ...conventions.find((c) => c.name === 'OpenLLMetry')!.call(TURNS).attributes,
  };
  const reversed = Object.fromEntries(Object.entries(attributes).reverse());
  const [a, b] = [attributes, reversed].map((of) => admit([foreign({ attributes: of })], full));
  const hashes = (of: typeof a) => of!.spans[0]!.attributes[A.inputMessageHashes];
  assert.equal(hashes(a), hashes(b));
  const roles = (JSON.parse(hashes(a)!) as string[]).map(
    (hash) => a!.messages.find((m) => m.hash === hash)!.role,
  );
  assert.deepEqual(roles, ['user', 'assistant', 'user']);
});

test('the objects in the lists of a JSON text are taken out of it, however deep, and what remains does not grow', () => {
  const one = '{"a": [{"b": "]"}], "n": 12345678901234567890}';
  const split = splitJsonDocument(`{"x": {"y": [ ${one} , {} ]}, "z": [1, "{"], "w": [[{"q":1}]]}`, 10);
  assert.deepEqual(
    split?.elements.map((e) => e.text),
    [one, '{}', '{"q":1}'],
  );
  assert.equal(split?.frame, '{"x": {"y": [ ]}, "z": [1, "{"], "w": [[]]}');
  assert.equal(splitJsonDocument('{"a":{"b":1}}', 10), undefined);
  assert.equal(splitJsonDocument('[{},{}]', 1), undefined);
  assert.equal(splitJsonDocument(`${'['.repeat(65)}{}${']'.repeat(65)}`, 10), undefined);
  const frames = [2, 3].map(
    (n) => splitJsonDocument(`{"m": [\n  ${new Array(n).fill('{}').join(',\n  ')}\n]}`, 10)?.frame,
  );
  assert.equal(frames[0], frames[1]);
});

test('a request of endless contents of every kind stays in few pieces', () => {
  const max = LIMITS.messagesPerRequestMax;
  const list = foreign({ attributes: { [A.inputMessages]: `[${'1,'.repeat(max - 1)}1]` } });
  const names = [
    'gen_ai.tool.call.result',
    'ai.response.text',
    'ai.response.reasoning',
    'ai.value',
    'ai.schema',
  ];
  const numbers = Object.fromEntries(
    Array.from({ length: 900 }, (_, i) => [`gen_ai.prompt.${i}.content`, String(i)]),
  );
  const crowd = foreign({
    attributes: { ...Object.fromEntries(names.map((name) => [name, `of ${name}`])), ...numbers },
  });
  const { messages, spans } = admit([list, crowd], full);
  assert.equal(messages.length, max + 2, 'the numbered ones, and all the others');
  const last = messages
    .slice(max)
    .map((m) => m.content)
    .join();
  for (const name of names) assert.ok(last.includes(`of ${name}`), name);
  assert.ok(last.includes('["content","899"]'));
  assert.equal(Object.keys(spans[1]!.attributes).length, 2);
});

test('what passes the limits is cut and counted', () => {
  const many = Object.fromEntries(
    Array.from({ length: LIMITS.attributesPerSpanMax + 10 }, (_, i) => [`k${i}`, '']),
  );
  const event = { timeNs: 2n ** 64n - 1n, name: 'e', attributes: Object.create(null) };
  const { spans, cut } = admit(
    [
      span({ name: 'é'.repeat(LIMITS.spanNameBytesMax) }, many),
      span({ events: new Array(LIMITS.eventsPerSpanMax + 1).fill(event) }),
      span({}, { big: 'x'.repeat(LIMITS.attributeValueBytesMax + 1) }),
    ],
    full,
  );
  assert.deepEqual(cut, { name: 1, attributes: 1, events: 1, value: 1 });
  assert.equal(Object.keys(spans[0]!.attributes).length, LIMITS.attributesPerSpanMax);
  assert.equal(Buffer.byteLength(spans[0]!.name), LIMITS.spanNameBytesMax);
  assert.equal(spans[1]!.events.length, LIMITS.eventsPerSpanMax);
  assert.equal(spans[1]!.events[0]!.timeNs, 2n ** 63n - 1n);
  assert.equal(spans[2]!.attributes['big']!.length, LIMITS.attributeValueBytesMax);
});

test('text is cut between characters', () => {
  assert.equal(cutText('aé€😀', 10), 'aé€😀');
  assert.equal(cutText('aé€😀', 9), 'aé€');
  assert.equal(cutText('aé€😀', 5), 'aé');
  assert.equal(cutText('aé', 2), 'a');
  assert.equal(cutText('é', 1), '');
});
