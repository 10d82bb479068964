import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
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
