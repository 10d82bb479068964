import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeLogs } from '../../collector/logs/decode.ts';
import { LoopscopeError } from '../../src/errors.ts';
import { encodeRequest, jsonRequest } from '../support/otlp-proto.ts';
import * as v from '../support/otlp-values.ts';

/** Random log records through protobufjs and plain JSON, neither of which knows our decoders, and back. */
const record = fc.record({
  time: v.uint64,
  observed: v.uint64,
  severity: fc.integer({ min: 0, max: 24 }),
  severityText: v.text,
  body: v.value,
  attributes: v.attributes,
  flags: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  traceId: fc.uint8Array({ maxLength: 16 }),
  spanId: fc.uint8Array({ maxLength: 8 }),
  eventName: v.text,
});
const scope = fc.record({
  name: v.text,
  version: v.text,
  attributes: v.attributes,
  dropped: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  schemaUrl: v.text,
  records: fc.array(record, { maxLength: 3 }),
});
const resource = fc.record({
  attributes: v.attributes,
  schemaUrl: v.text,
  scopes: fc.array(scope, { maxLength: 2 }),
});
const requests = fc.array(resource, { maxLength: 2 });
type Request = typeof requests extends fc.Arbitrary<infer T> ? T : never;

const message = (request: Request): object => ({
  resourceLogs: request.map((r) => ({
    resource: { attributes: v.keyValues(r.attributes), droppedAttributesCount: 7 },
    schemaUrl: r.schemaUrl,
    scopeLogs: r.scopes.map((s) => ({
      scope: {
        name: s.name,
        version: s.version,
        attributes: v.keyValues(s.attributes),
        droppedAttributesCount: s.dropped,
      },
      schemaUrl: s.schemaUrl,
      logRecords: s.records.map((l) => ({
        timeUnixNano: l.time,
        observedTimeUnixNano: l.observed,
        severityNumber: l.severity,
        severityText: l.severityText,
        body: v.anyValue(l.body),
        attributes: v.keyValues(l.attributes),
        droppedAttributesCount: 3,
        flags: l.flags,
        traceId: Buffer.from(l.traceId),
        spanId: Buffer.from(l.spanId),
        eventName: l.eventName,
      })),
    })),
  })),
});

const expected = (request: Request) =>
  request.flatMap((r) =>
    r.scopes.flatMap((s) =>
      s.records.map((l) => ({
        timeNs: l.time,
        observedNs: l.observed,
        severityNumber: l.severity,
        severityText: l.severityText,
        body: v.expectedText(l.body),
        attributes: v.expectedAttributes(l.attributes),
        flags: l.flags,
        traceId: Buffer.from(l.traceId).toString('hex'),
        spanId: Buffer.from(l.spanId).toString('hex'),
        eventName: l.eventName,
        source: {
          resource: { attributes: v.expectedAttributes(r.attributes), schemaUrl: r.schemaUrl },
          scope: {
            name: s.name,
            version: s.version,
            attributes: v.expectedAttributes(s.attributes),
            droppedAttributes: s.dropped,
            schemaUrl: s.schemaUrl,
          },
        },
      })),
    ),
  );

test('any log record comes out of protobuf as it went in', () => {
  fc.assert(
    fc.property(requests, (request) => {
      assert.deepEqual(decodeLogs(encodeRequest('logs', message(request)), 'protobuf'), expected(request));
    }),
    { numRuns: 300 },
  );
});

test('any log record comes out of JSON as it went in', () => {
  fc.assert(
    fc.property(requests, (request) => {
      assert.deepEqual(decodeLogs(jsonRequest(message(request)), 'json'), expected(request));
    }),
    { numRuns: 300 },
  );
});

test('whatever the bytes are, the outcome is records or a refusal', () => {
  const mangled = fc
    .tuple(requests, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.boolean())
    .map(([request, at, byte, cut]) => {
      const bytes = encodeRequest('logs', message(request));
      if (bytes.length === 0) return bytes;
      if (cut) return bytes.subarray(0, at % bytes.length);
      bytes[at % bytes.length] = byte;
      return bytes;
    });
  fc.assert(
    fc.property(mangled, fc.constantFrom('protobuf' as const, 'json' as const), (bytes, encoding) => {
      try {
        decodeLogs(bytes, encoding);
      } catch (error) {
        assert.ok(error instanceof LoopscopeError && ['bad_input', 'body_too_large'].includes(error.code));
      }
    }),
    { numRuns: 2_000 },
  );
});
