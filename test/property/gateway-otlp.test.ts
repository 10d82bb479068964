import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../../src/clock.ts';
import { OtlpEncoder } from '../../src/gateway/record/otlp.ts';
import { Attributes, type AttributeValue, type SpanDraft } from '../../src/gateway/record/span-draft.ts';
import { readSpans } from '../support/span-receiver.ts';

/** What the gateway writes as OTLP, read by protobufjs. */

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', minLength: 30, maxLength: 50 }), // around the longest that is short
  fc.string({ maxLength: 3 }).map((s) => s.repeat(5_000)),
);
const value: fc.Arbitrary<AttributeValue> = fc.oneof(
  text,
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }),
  fc.array(text, { maxLength: 4 }),
);
const attributes = fc
  .uniqueArray(fc.tuple(fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 40 }), value), {
    selector: ([name]) => name,
    maxLength: 30,
  })
  .map((entries) => {
    const made = new Attributes();
    for (const [name, of] of entries) made.add(name, of);
    return made;
  });
const hex = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes).toString('hex'));
const time = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const span: fc.Arbitrary<SpanDraft> = fc.record({
  traceId: hex(16),
  spanId: hex(8),
  parentSpanId: fc.option(hex(8), { nil: undefined }),
  traceState: fc.option(fc.constant('a=1,b=2'), { nil: undefined }),
  name: text,
  kind: fc.constantFrom('Internal', 'Client'),
  startNs: time,
  endNs: time,
  attributes,
  error: fc.option(text, { nil: undefined }),
  event: fc.option(fc.record({ name: text, attributes }), { nil: undefined }),
});

/** Half a character has no bytes of its own in UTF-8. */
const asUtf8 = (of: AttributeValue): unknown => {
  if (typeof of === 'string') return Buffer.from(of).toString();
  if (typeof of === 'object') return of.map((item) => Buffer.from(item).toString());
  return Object.is(of, -0) ? 0 : of;
};
const shown = (of: Attributes) => Object.fromEntries(of.entries().map(([name, v]) => [name, asUtf8(v)]));
const KINDS = { Internal: 1, Client: 3 };

test('spans of every kind come back as they were, and requests one after the other are one', () => {
  const encoder = new OtlpEncoder(Attributes.of({ 'service.name': 'mine' }), 'scope');
  fc.assert(
    fc.property(
      fc.array(fc.array(span, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
      fc.oneof(fc.nat(2_000), fc.constant(Number.POSITIVE_INFINITY)),
      (requests, bytesMax) => {
        const parts: Buffer[] = [];
        for (const spans of requests)
          for (let first = 0; first < spans.length; ) {
            const { bytes, end } = encoder.encode(spans, first, bytesMax);
            assert.ok(bytes.length <= bytesMax || end === first + 1, 'as many as fit');
            parts.push(bytes);
            first = end;
          }
        const bytes = Buffer.concat(parts);
        const expected = requests.flat().map((s) => ({
          name: asUtf8(s.name),
          traceId: s.traceId,
          spanId: s.spanId,
          parentSpanId: s.parentSpanId,
          traceState: s.traceState ?? '',
          kind: KINDS[s.kind],
          failed: s.error !== undefined,
          startNs: s.startNs,
          endNs: s.endNs,
          attributes: shown(s.attributes),
          resource: { 'service.name': 'mine' },
          events: s.event ? [{ name: asUtf8(s.event.name), attributes: shown(s.event.attributes) }] : [],
        }));
        assert.deepEqual(readSpans(bytes), expected);
      },
    ),
    { numRuns: 500 },
  );
});

test('memory of requests that are needed no more is used again, and no other is written over', () => {
  const random = seededRandom(7);
  const encoder = new OtlpEncoder(Attributes.of({ 'service.name': 'mine' }), 'scope');
  const needed: { bytes: Buffer; copy: Buffer }[] = [];
  const memory = new WeakSet<ArrayBufferLike>();
  let slabs = 0;
  let total = 0;
  for (let i = 0; i < 6_000; i++) {
    const length = random() < 0.01 ? 300_000 : Math.floor(6_000 * random());
    const { bytes } = encoder.encode([
      {
        traceId: i.toString(16).padStart(32, '0'),
        spanId: i.toString(16).padStart(16, '0'),
        parentSpanId: undefined,
        name: 'chat',
        kind: 'Client',
        startNs: 1n,
        endNs: 2n,
        attributes: Attributes.of({ text: String.fromCharCode(97 + (i % 26)).repeat(length) }),
      },
    ]);
    total += bytes.length;
    if (length < 6_000 && !memory.has(bytes.buffer)) slabs++;
    memory.add(bytes.buffer);
    needed.push({ bytes, copy: Buffer.from(bytes) });
    while (needed.length > 100) {
      const [{ bytes: over, copy }] = needed.splice(Math.floor(random() * 20), 1) as [(typeof needed)[0]];
      assert.ok(over.equals(copy), `as it was written, ${i}`);
      encoder.release(over);
    }
  }
  for (const { bytes, copy } of needed) assert.ok(bytes.equals(copy));
  assert.ok(slabs < 100, `${slabs} pieces of memory for ${total} bytes`);
});

test('a span that cannot be written leaves nothing in the next request', () => {
  const encoder = new OtlpEncoder(Attributes.of({ 'service.name': 'mine' }), 'scope');
  const [sound] = fc.sample(span, { seed: 1, numRuns: 1 }) as [SpanDraft];
  const expected = Buffer.from(encoder.encode([sound]).bytes);
  const unwritable = { ...sound, attributes: Attributes.of({ ['n'.repeat(200)]: 1 }) };
  assert.throws(() => encoder.encode([unwritable]), /an attribute's name of 200 bytes/);
  assert.deepEqual(encoder.encode([sound]).bytes, expected);
});
