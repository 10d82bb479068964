import assert from 'node:assert/strict';
import { test } from 'node:test';
import { otlpTemplate } from '../../bench/ingest/otlp-batch.ts';
import { decode } from '../../collector/decode/decode.ts';

test('every request of the collector benchmark holds spans that no other has, with 20 attributes and an event', () => {
  const template = otlpTemplate(32, 1);
  const seen = new Set<string>();
  for (let request = 0; request < 3; request++) {
    const spans = decode(Buffer.from(template.next()), 'protobuf');
    assert.equal(spans.length, 32);
    for (const span of spans) {
      seen.add(span.spanId);
      assert.equal(Object.keys(span.attributes).length, 20);
      assert.equal(span.events.length, 1);
    }
    // Eight spans share a trace.
    assert.equal(new Set(spans.map((span) => span.traceId)).size, 4);
  }
  assert.equal(seen.size, 96);
});

test('a numbered request has the spans of its numbers, and is the same bytes again', () => {
  const template = otlpTemplate(32, 1);
  const first = Buffer.from(template.numbered(1));
  const second = Buffer.from(template.numbered(33));
  const numbers = [first, second].flatMap((body) =>
    decode(body, 'protobuf').map(({ spanId }) => Number(`0x${spanId}`)),
  );
  assert.deepEqual(
    numbers,
    Array.from({ length: 64 }, (_, i) => i + 1),
  );
  assert.ok(template.numbered(1).equals(first));
});
