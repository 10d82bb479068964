import fc from 'fast-check';
import { type Attributes, emptyAttributes } from '../../src/span/span.ts';

/** Random values of every kind that OTLP has, and the text that each is to become. */
export type Value =
  | { kind: 'empty' }
  | { kind: 'string'; of: string }
  | { kind: 'bool'; of: boolean }
  | { kind: 'int'; of: bigint }
  | { kind: 'double'; of: number }
  | { kind: 'bytes'; of: Uint8Array }
  | { kind: 'list'; of: Value[] }
  | { kind: 'map'; of: [string, Value][] };

export const text = fc.string({ unit: 'binary', maxLength: 20 });
export const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
export const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** Those that JSON has no word for come often enough to be met inside lists and maps. */
const double = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0));

export const { value } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant<Value>({ kind: 'empty' }),
    fc.record({ kind: fc.constant('string' as const), of: text }),
    fc.record({ kind: fc.constant('bool' as const), of: fc.boolean() }),
    fc.record({ kind: fc.constant('int' as const), of: int64 }),
    fc.record({ kind: fc.constant('double' as const), of: double }),
    fc.record({ kind: fc.constant('bytes' as const), of: fc.uint8Array({ maxLength: 8 }) }),
    fc.record({ kind: fc.constant('list' as const), of: fc.array(tie('value'), { maxLength: 3 }) }),
    fc.record({
      kind: fc.constant('map' as const),
      of: fc.array(fc.tuple(text, tie('value')), { maxLength: 3 }),
    }),
  ),
}));

export const attributes = fc.uniqueArray(fc.tuple(text, value), { maxLength: 5, selector: ([key]) => key });
export type RandomAttributes = [string, Value][];

/** As a message of `otlp-proto.ts`. */
export function anyValue(v: Value): object {
  switch (v.kind) {
    case 'empty':
      return {};
    case 'string':
      return { stringValue: v.of };
    case 'bool':
      return { boolValue: v.of };
    case 'int':
      return { intValue: v.of };
    case 'double':
      return { doubleValue: v.of };
    case 'bytes':
      return { bytesValue: Buffer.from(v.of) };
    case 'list':
      return { arrayValue: { values: v.of.map(anyValue) } };
    case 'map':
      return { kvlistValue: { values: keyValues(v.of) } };
  }
}

export const keyValues = (all: RandomAttributes): object[] =>
  all.map(([key, v]) => ({ key, value: anyValue(v) }));

/** A scalar as it is, what is nested as JSON. */
export function expectedText(v: Value): string {
  if (v.kind === 'empty') return '';
  if (v.kind === 'string') return v.of;
  if (v.kind === 'double') return String(v.of);
  if (v.kind === 'bytes') return Buffer.from(v.of).toString('base64');
  return nested(v);
}

function nested(v: Value): string {
  switch (v.kind) {
    case 'empty':
      return 'null';
    case 'string':
      return JSON.stringify(v.of);
    case 'bytes':
      return JSON.stringify(Buffer.from(v.of).toString('base64'));
    case 'double':
      return Number.isFinite(v.of) ? String(v.of) : `"${v.of}"`;
    case 'list':
      return `[${v.of.map(nested).join(',')}]`;
    case 'map':
      return `{${v.of.map(([key, of]) => `${JSON.stringify(key)}:${nested(of)}`).join(',')}}`;
    default:
      return String(v.of);
  }
}

export function expectedAttributes(all: RandomAttributes): Attributes {
  const result = emptyAttributes();
  for (const [key, v] of all) result[key] = expectedText(v);
  return result;
}
