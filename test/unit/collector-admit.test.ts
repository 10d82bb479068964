import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admit } from '../../collector/admit/admit.ts';
import { cutText } from '../../collector/admit/cut.ts';
import { splitJsonArray } from '../../collector/admit/json-array.ts';
import { contentHash } from '../../src/records/normalize.ts';
import { recordSpans } from '../../src/records/spans.ts';
import { A } from '../../src/span/attributes.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Span } from '../../src/span/span.ts';

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

test('messages that are no JSON array are kept as one', () => {
  const { spans, messages } = admit([span({}, { [A.inputMessages]: 'hello' })], full);
  assert.deepEqual(messages, [{ hash: contentHash('hello'), role: '', content: 'hello' }]);
  assert.equal(spans[0]!.attributes[A.inputMessageHashes], JSON.stringify([contentHash('hello')]));
});

test('a JSON array falls into its elements, each in its own words', () => {
  const text = ' [ {"a" : "],}\\"", "n": 1.0} ,[1, 2],"x\\\\", null,12345678901234567890 ] ';
  assert.deepEqual(
    splitJsonArray(text, 10)?.map((e) => e.text),
    ['{"a" : "],}\\"", "n": 1.0}', '[1, 2]', '"x\\\\"', 'null', '12345678901234567890'],
  );
  assert.deepEqual(splitJsonArray('[]', 10), []);
  assert.deepEqual(splitJsonArray('[ ]', 10), []);
  assert.equal(splitJsonArray('{}', 10), undefined);
  assert.equal(splitJsonArray('[1', 10), undefined);
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
