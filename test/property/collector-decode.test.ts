import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import fc from 'fast-check';
import { decode } from '../../collector/decode/decode.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { type Attributes, emptyAttributes, type Span } from '../../src/span/span.ts';

/**
 * Random spans through OpenTelemetry's own serializers, which share nothing with the decoder, and back. What is
 * expected is computed here from the random values themselves.
 */
const KINDS = ['Internal', 'Server', 'Client', 'Producer', 'Consumer'] as const;
const STATUS_CODES = ['Unset', 'Ok', 'Error'] as const;

type Value = string | number | boolean | Uint8Array | null | Value[] | { [key: string]: Value };

const text = fc.string({ unit: 'binary', maxLength: 20 });
const key = fc.string({ minLength: 1, maxLength: 12 }).filter((k) => k !== '__proto__');
const double = fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Number.isInteger(n));
const { value } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.maxSafeInteger(),
    fc.boolean(),
    double,
    fc.uint8Array({ maxLength: 8 }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(key, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
}));
const attributes = fc.dictionary(key, value, { maxKeys: 6, noNullPrototype: true });
const time = fc.tuple(fc.integer({ min: 0, max: 9_000_000_000 }), fc.integer({ min: 0, max: 999_999_999 }));
const id = (bytes: number) =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((b) => Buffer.from(b).toString('hex'))
    .filter((hex) => !/^0+$/.test(hex));

const span = fc.record({
  traceId: id(16),
  spanId: id(8),
  parentSpanId: fc.option(id(8), { nil: undefined }),
  name: text,
  kind: fc.integer({ min: 0, max: 4 }),
  start: time,
  end: time,
  status: fc.record({ code: fc.integer({ min: 0, max: 2 }), message: text }),
  attributes,
  events: fc.array(fc.record({ time, name: text, attributes }), { maxLength: 3 }),
  links: fc.array(fc.record({ traceId: id(16), spanId: id(8), attributes }), { maxLength: 2 }),
  scope: fc.constantFrom({ name: 'a', version: '1' }, { name: 'b', version: '' }),
});
type RandomSpan = typeof span extends fc.Arbitrary<infer T> ? T : never;
const request = fc.record({
  resource: attributes,
  spans: fc.uniqueArray(span, { selector: (s) => s.spanId, minLength: 1, maxLength: 5 }),
});

test('spans that OpenTelemetry serialized as protobuf decode to what they were', () => {
  fc.assert(
    fc.property(request, ({ resource, spans }) => {
      const body = Buffer.from(ProtobufTraceSerializer.serializeRequest(readable(resource, spans))!);
      assert.deepEqual(byId(decode(body, 'protobuf')), expected(resource, spans));
    }),
    { numRuns: 400 },
  );
});

test('spans that OpenTelemetry serialized as JSON decode to what they were', () => {
  fc.assert(
    fc.property(request, ({ resource, spans }) => {
      const body = Buffer.from(JsonTraceSerializer.serializeRequest(readable(resource, spans))!);
      assert.deepEqual(byId(decode(body, 'json')), expected(resource, spans));
    }),
    { numRuns: 400 },
  );
});

for (const [encoding, serializer] of [
  ['protobuf', ProtobufTraceSerializer],
  ['json', JsonTraceSerializer],
] as const) {
  test(`a mutated ${encoding} body is decoded or refused, never anything else`, () => {
    const mutation = fc.record({
      at: fc.nat(),
      kind: fc.constantFrom('flip', 'cut', 'insert', 'repeat'),
      byte: fc.integer({ min: 1, max: 255 }),
    });
    fc.assert(
      fc.property(
        request,
        fc.array(mutation, { minLength: 1, maxLength: 6 }),
        ({ resource, spans }, mutations) => {
          let body: Buffer = Buffer.from(serializer.serializeRequest(readable(resource, spans))!);
          for (const { at, kind, byte } of mutations) body = mutate(body, at % (body.length + 1), kind, byte);
          try {
            assert.ok(Array.isArray(decode(body, encoding)));
          } catch (error) {
            assert.ok(error instanceof LoopscopeError, String((error as Error).stack));
            assert.ok(error.code === 'bad_input' || error.code === 'body_too_large');
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
}

function mutate(body: Buffer, at: number, kind: string, byte: number): Buffer {
  if (kind === 'cut') return body.subarray(0, at);
  const [before, after] = [body.subarray(0, at), body.subarray(at)];
  if (kind === 'insert') return Buffer.concat([before, Buffer.from([byte]), after]);
  if (kind === 'repeat') return Buffer.concat([before, after.subarray(0, byte), after]);
  const copy = Buffer.from(body);
  if (at < copy.length) copy[at] = copy[at]! ^ byte;
  return copy;
}

function readable(resource: Record<string, Value>, spans: readonly RandomSpan[]): ReadableSpan[] {
  const shared = { attributes: resource };
  return spans.map(
    (s) =>
      ({
        ...s,
        spanContext: () => ({ traceId: s.traceId, spanId: s.spanId, traceFlags: 1 }),
        parentSpanContext: s.parentSpanId && { traceId: s.traceId, spanId: s.parentSpanId, traceFlags: 1 },
        startTime: s.start,
        endTime: s.end,
        duration: [0, 0],
        ended: true,
        links: s.links.map((l) => ({
          context: { traceId: l.traceId, spanId: l.spanId, traceFlags: 1 },
          attributes: l.attributes,
        })),
        resource: shared,
        instrumentationScope: s.scope,
        droppedAttributesCount: 0,
        droppedEventsCount: 0,
        droppedLinksCount: 0,
      }) as unknown as ReadableSpan,
  );
}

function expected(resource: Record<string, Value>, spans: readonly RandomSpan[]): Span[] {
  return byId(
    spans.map((s) => ({
      traceId: s.traceId,
      spanId: s.spanId,
      parentSpanId: s.parentSpanId ?? '',
      traceState: '',
      name: s.name,
      kind: KINDS[s.kind]!,
      startNs: ns(s.start),
      endNs: ns(s.end),
      statusCode: STATUS_CODES[s.status.code]!,
      statusMessage: s.status.message,
      resource: asText(resource),
      scopeName: s.scope.name,
      scopeVersion: s.scope.version,
      attributes: asText(s.attributes),
      events: s.events.map((e) => ({ timeNs: ns(e.time), name: e.name, attributes: asText(e.attributes) })),
      links: s.links.map((l) => ({
        traceId: l.traceId,
        spanId: l.spanId,
        traceState: '',
        attributes: asText(l.attributes),
      })),
    })),
  );
}

const byId = (spans: Span[]) => spans.sort((a, b) => (a.spanId < b.spanId ? -1 : 1));
const ns = ([s, n]: [number, number]) => BigInt(s) * 1_000_000_000n + BigInt(n);

function asText(values: Record<string, Value>): Attributes {
  const result = emptyAttributes();
  for (const [name, v] of Object.entries(values)) {
    if (typeof v === 'string') result[name] = v;
    else if (v instanceof Uint8Array) result[name] = Buffer.from(v).toString('base64');
    else if (typeof v === 'object') result[name] = nestedJson(v);
    else result[name] = String(v);
  }
  return result;
}

function nestedJson(value: Value): string {
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString('base64'));
  if (Array.isArray(value)) return `[${value.map(nestedJson).join(',')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([k, v]) => `${JSON.stringify(k)}:${nestedJson(v)}`)
      .join(',')}}`;
  return JSON.stringify(value);
}
