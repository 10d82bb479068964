import fc from 'fast-check';

/** Random export requests for protobufjs to encode, and what the wire allows besides: other orders, unknown fields. */

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: 'binary', minLength: 40, maxLength: 200 }),
);
export const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const whole = fc.oneof(
  fc.bigInt(INT64),
  fc.bigInt({ min: -5n, max: 300n }),
  fc.constantFrom(
    0n,
    2n ** 28n - 1n,
    2n ** 28n,
    2n ** 31n,
    2n ** 32n,
    2n ** 53n,
    2n ** 53n + 1n,
    INT64.min,
    INT64.max,
  ),
);
const scalar = fc.oneof(
  text.map((stringValue) => ({ stringValue })),
  fc.boolean().map((boolValue) => ({ boolValue })),
  whole.map((intValue) => ({ intValue })),
  fc.double().map((doubleValue) => ({ doubleValue })),
  fc.constantFrom(-0, 1e21, 1e-7, 4, Number.MAX_VALUE).map((doubleValue) => ({ doubleValue })),
  fc.uint8Array({ maxLength: 60 }).map((bytesValue) => ({ bytesValue })),
  fc.constant({}),
);
const { value } = fc.letrec<{ value: object }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }).map((values) => ({ arrayValue: { values } })),
    fc
      .array(fc.record({ key: text, value: tie('value') }), { maxLength: 3 })
      .map((values) => ({ kvlistValue: { values } })),
  ),
}));
/** Few enough that names come again, in the same place and in others, and twice in one span. */
const key = fc.oneof(fc.constantFrom('a', 'b', 'http.method', 'é', '', '__proto__', 'x'.repeat(300)), text);
const attributes = (maxLength: number) => fc.array(fc.record({ key, value }), { maxLength });
const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });
const time = fc.bigInt({ min: 1_600_000_000_000_000_000n, max: 1_600_400_000_000_000_000n });
const anyTime = fc.oneof(
  { weight: 20, arbitrary: time },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
);

const span = fc.record(
  {
    traceId: fc.oneof({ weight: 30, arbitrary: bytes(16) }, bytes(3), fc.constant(new Uint8Array(16))),
    spanId: fc.oneof({ weight: 30, arbitrary: bytes(8) }, bytes(9)),
    parentSpanId: fc.oneof({ weight: 8, arbitrary: bytes(8) }, fc.constant(new Uint8Array(8)), bytes(4)),
    traceState: text,
    name: fc.oneof(fc.constantFrom('chat', 'tool', ''), text),
    kind: fc.integer({ min: 0, max: 7 }),
    startTimeUnixNano: anyTime,
    endTimeUnixNano: anyTime,
    attributes: attributes(8),
    events: fc.array(fc.record({ timeUnixNano: anyTime, name: text, attributes: attributes(3) }), {
      maxLength: 3,
    }),
    links: fc.array(
      fc.record({
        traceId: bytes(16),
        spanId: bytes(8),
        traceState: text,
        attributes: attributes(2),
        flags: fc.nat(),
      }),
      { maxLength: 2 },
    ),
    status: fc.record({ code: fc.integer({ min: 0, max: 4 }), message: text }),
    flags: fc.nat(),
    droppedAttributesCount: fc.nat(),
  },
  { requiredKeys: ['traceId', 'spanId'] },
);
export const traceRequest = fc.record({
  resourceSpans: fc.array(
    fc.record({
      resource: fc.record({ attributes: attributes(4) }),
      scopeSpans: fc.array(
        fc.record({
          scope: fc.record({ name: text, version: text, attributes: attributes(2) }),
          spans: fc.array(span, { maxLength: 4 }),
        }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 2 },
  ),
});

/** Fields that are messages, by the message they are in. */
const MESSAGES: Record<string, Record<number, string>> = {
  request: { 1: 'resourceSpans' },
  resourceSpans: { 1: 'resource', 2: 'scopeSpans' },
  resource: { 1: 'keyValue' },
  scopeSpans: { 1: 'scope', 2: 'span' },
  scope: { 3: 'keyValue' },
  span: { 9: 'keyValue', 11: 'event', 13: 'link', 15: 'status' },
  event: { 3: 'keyValue' },
  link: { 4: 'keyValue' },
  status: {},
  keyValue: {},
};
/** Of fields that nobody knows: a number, a text, 8 bytes, 4 bytes, and a group with a number in it. */
const UNKNOWN = ['8006ac02', '8206026869', '81060102030405060708', '850601020304', '830608018406'].map(
  (hex) => Buffer.from(hex, 'hex'),
);

/** The same message with its fields in another order, and some that nobody knows. `random` gives [0, 1). */
export function shuffled(body: Buffer, random: () => number, message = 'request'): Buffer {
  const fields: { number: number; bytes: Buffer }[] = [];
  for (let at = 0; at < body.length; ) {
    const start = at;
    const [tag, afterTag] = varint(body, at);
    const type = tag & 7;
    if (type !== 2) {
      at = type === 0 ? varint(body, afterTag)[1] : afterTag + (type === 1 ? 8 : 4);
      fields.push({ number: tag >>> 3, bytes: body.subarray(start, at) });
      continue;
    }
    const [size, content] = varint(body, afterTag);
    at = content + size;
    const inner = MESSAGES[message]?.[tag >>> 3];
    const part = body.subarray(content, at);
    const written = inner === undefined ? part : shuffled(part, random, inner);
    fields.push({
      number: tag >>> 3,
      bytes: Buffer.concat([body.subarray(start, afterTag), encodeVarint(written.length), written]),
    });
  }
  if (random() < 0.3) fields.push({ number: 0, bytes: UNKNOWN[Math.floor(random() * UNKNOWN.length)]! });
  const order = new Map<number, number>();
  for (const { number } of fields) if (!order.has(number)) order.set(number, random());
  if (random() < 0.5) fields.sort((a, b) => order.get(a.number)! - order.get(b.number)!);
  return Buffer.concat(fields.map((field) => field.bytes));
}

function varint(bytes: Buffer, from: number): [value: number, end: number] {
  let value = 0;
  for (let at = from, scale = 1; ; at++, scale *= 128) {
    value += (bytes[at]! & 0x7f) * scale;
    if (bytes[at]! < 0x80) return [value, at + 1];
  }
}

function encodeVarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}
