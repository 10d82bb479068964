import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from '../../collector/decode/decode.ts';
import { LIMITS } from '../../src/span/limits.ts';

const fromJson = (span: string) =>
  decode(Buffer.from(`{"resourceSpans":[{"scopeSpans":[{"spans":[${span}]}]}]}`), 'json')[0]!;
const jsonValue = (value: string) =>
  fromJson(`{"attributes":[{"key":"a","value":${value}}]}`).attributes['a'];

/** Protobuf by hand: a field that holds bytes. */
const field = (n: number, ...parts: (Buffer | string | number[])[]): Buffer => {
  const body = Buffer.concat(parts.map((p) => Buffer.from(p as Buffer)));
  const length = [];
  let rest = body.length;
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(n << 3) | 2, ...length, rest]), body]);
};
const fromProtobuf = (...fields: Buffer[]) => decode(field(1, field(2, field(2, ...fields))), 'protobuf')[0]!;
const protobufValue = (...value: Buffer[]) =>
  fromProtobuf(field(9, field(1, 'a'), field(2, ...value))).attributes['a'];

test('every kind of value reads the same from JSON', () => {
  assert.equal(jsonValue('{"stringValue":"x"}'), 'x');
  assert.equal(jsonValue('{"boolValue":true}'), 'true');
  assert.equal(jsonValue('{"boolValue":false}'), 'false');
  assert.equal(jsonValue('{"intValue":"-9223372036854775808"}'), '-9223372036854775808');
  assert.equal(jsonValue('{"intValue":9223372036854775807}'), '9223372036854775807', 'digits, not a double');
  assert.equal(jsonValue('{"intValue":7}'), '7');
  assert.equal(jsonValue('{"doubleValue":0.1}'), '0.1');
  assert.equal(jsonValue('{"doubleValue":"NaN"}'), 'NaN');
  assert.equal(jsonValue('{"doubleValue":"-Infinity"}'), '-Infinity');
  assert.equal(jsonValue('{"bytesValue":"AQI="}'), 'AQI=');
  assert.equal(jsonValue('{}'), '');
  assert.equal(jsonValue('null'), '');
  const nested =
    '{"values":[{"intValue":"9007199254740993"},{"stringValue":"\\""},{"doubleValue":"NaN"},{},{"boolValue":true}]}';
  assert.equal(jsonValue(`{"arrayValue":${nested}}`), '[9007199254740993,"\\"","NaN",null,true]');
  assert.equal(
    jsonValue(`{"kvlistValue":{"values":[{"key":"k","value":{"arrayValue":{}}},{"key":"l"}]}}`),
    '{"k":[],"l":null}',
  );
});

test('every kind of value reads the same from protobuf', () => {
  assert.equal(protobufValue(field(1, 'x')), 'x');
  assert.equal(protobufValue(Buffer.from([2 << 3, 1])), 'true');
  assert.equal(protobufValue(Buffer.from([2 << 3, 0])), 'false');
  const min = Buffer.from([3 << 3, ...new Array(9).fill(0x80), 1]);
  assert.equal(protobufValue(min), '-9223372036854775808');
  const max = Buffer.from([3 << 3, ...new Array(8).fill(0xff), 0x7f]);
  assert.equal(protobufValue(max), '9223372036854775807');
  const nan = Buffer.from([(4 << 3) | 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]);
  assert.equal(protobufValue(nan), 'NaN');
  assert.equal(protobufValue(field(7, [1, 2])), 'AQI=');
  assert.equal(protobufValue(), '');
  assert.equal(
    protobufValue(field(5, field(1, field(1, '"')), field(1, nan), field(1))),
    '["\\"","NaN",null]',
  );
  assert.equal(protobufValue(field(6, field(1, field(1, 'k'), field(2, max)))), '{"k":9223372036854775807}');
});

test('times are exact however they are written, and kinds and codes may be names', () => {
  const span = fromJson(
    '{"startTimeUnixNano":1687856400123456789,"endTimeUnixNano":"1687856400123456790","kind":"SPAN_KIND_CLIENT","status":{"code":2}}',
  );
  assert.equal(span.startNs, 1687856400123456789n);
  assert.equal(span.endNs, 1687856400123456790n);
  assert.equal(span.kind, 'Client');
  assert.equal(span.statusCode, 'Error');
  assert.equal(fromJson('{"kind":99,"status":{"code":"STATUS_CODE_OK"}}').statusCode, 'Ok');
  assert.equal(fromJson('{"kind":99}').kind, 'Unspecified');
});

test('names from strangers are names and nothing else', () => {
  const span = fromJson(
    '{"attributes":[{"key":"__proto__","value":{"stringValue":"x"}},{"key":"constructor","value":{"stringValue":"y"}}]}',
  );
  assert.deepEqual(Object.entries(span.attributes), [
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ]);
  assert.equal(Object.getPrototypeOf(span.attributes), null);
  assert.equal(({} as Record<string, unknown>)['x'], undefined);
});

test('unknown fields, groups, null fields and fields of a later version are passed over', () => {
  const span = fromJson('{"name":"n","later":{"x":[1]},"events":null,"status":null,"links":[]}');
  assert.equal(span.name, 'n');
  const group = Buffer.from(
    [(20 << 3) | 3, 5 << 3, 1, (21 << 3) | 3, (21 << 3) | 4, (20 << 3) | 4].flatMap(varint),
  );
  const varints = Buffer.from([...varint(30 << 3), 0x96, 0x01, ...varint((31 << 3) | 5), 1, 2, 3, 4]);
  assert.equal(fromProtobuf(group, field(5, 'n'), varints, field(40, 'later')).name, 'n');
  assert.throws(() => fromProtobuf(Buffer.from([4])), { code: 'bad_input' });
});

test('the scope is known wherever it stands in the message', () => {
  const spans = decode(field(1, field(2, field(2), field(1, field(1, 'late'), field(2, '2')))), 'protobuf');
  assert.deepEqual([spans[0]!.scopeName, spans[0]!.scopeVersion], ['late', '2']);
});

test('what cannot be read is refused with a reason', () => {
  const refused = (body: string) =>
    assert.throws(() => decode(Buffer.from(body), 'json'), { code: 'bad_input' });
  for (const body of ['', '[]', 'null', '7', '{"resourceSpans":{}}', '{"resourceSpans":[7]}']) refused(body);
  for (const span of [
    '{"name":7}',
    '{"startTimeUnixNano":"soon"}',
    '{"startTimeUnixNano":-1}',
    '{"attributes":[{"key":"a","value":7}]}',
    '{"attributes":[{"key":"a","value":{"intValue":"x"}}]}',
    '{"attributes":[{"key":"a","value":{"intValue":"9223372036854775808"}}]}',
    '{"attributes":[{"key":"a","value":{"arrayValue":7}}]}',
    '{"attributes":[{"key":"a","value":{"doubleValue":"much"}}]}',
  ])
    assert.throws(() => fromJson(span), { code: 'bad_input' }, span);
});

test('values nested without end are cut, not followed', () => {
  const deep = 100_000;
  const json = jsonValue(`${'{"arrayValue":{"values":['.repeat(deep)}{}${']}}'.repeat(deep)}`);
  assert.equal(json, `${'['.repeat(64)}null${']'.repeat(64)}`);
  let value = field(1, 'x');
  for (let i = 0; i < 2_000; i++) value = field(5, field(1, value));
  assert.equal(protobufValue(value), `${'['.repeat(64)}null${']'.repeat(64)}`);
});

test('a small body that would decode into very much is refused', () => {
  const empty = Buffer.alloc(2 * (LIMITS.otlpObjectsMax / 20 + 1));
  for (let i = 0; i < empty.length; i += 2) empty[i] = (2 << 3) | 2;
  assert.throws(() => decode(field(1, field(2, empty)), 'protobuf'), { code: 'body_too_large' });
  const spans = `{"resourceSpans":[{"scopeSpans":[{"spans":[${'{},'.repeat(LIMITS.otlpObjectsMax / 20)}{}]}]}]}`;
  assert.throws(() => decode(Buffer.from(spans), 'json'), { code: 'body_too_large' });
  const brackets = Buffer.alloc(2 * LIMITS.otlpObjectsMax + 2, '[');
  assert.throws(() => decode(brackets, 'json'), { code: 'body_too_large' });
});

function varint(n: number): number[] {
  const bytes = [];
  let rest = n;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}
