import { malformed } from './refusals.ts';
import { doubleJson, NESTED_DEPTH_MAX } from './value.ts';

/** An OTLP/JSON AnyValue as text: a scalar as it is, a list or map as JSON. The same text as from protobuf. */
export function anyValueText(value: unknown): string {
  const [kind, inner] = arm(value);
  if (kind === undefined) return '';
  if (kind === 'stringValue' || kind === 'bytesValue') return wellFormed(String(inner));
  if (kind === 'doubleValue') return String(doubleOf(inner));
  return anyValueJson(value, 0);
}

/** A string without lone surrogates: they are no Unicode, and no store takes them. */
export const wellFormed = (text: string): string => (text.isWellFormed() ? text : text.toWellFormed());

/** An integer of up to 64 bits as the encoding has it, a string or a number; `undefined` when it is neither. */
export function integerOf(value: unknown): bigint | undefined {
  if (typeof value === 'string') return /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
  return Number.isInteger(value) ? BigInt(value as number) : undefined;
}

function anyValueJson(value: unknown, depth: number): string {
  const [kind, inner] = arm(value);
  switch (kind) {
    case undefined:
      return 'null';
    case 'stringValue':
    case 'bytesValue':
      return JSON.stringify(wellFormed(String(inner)));
    case 'boolValue':
      return inner === true || inner === 'true' ? 'true' : 'false';
    case 'intValue': {
      const integer = integerOf(inner);
      if (integer === undefined || BigInt.asIntN(64, integer) !== integer)
        throw malformed(`JSON: intValue: expected a 64-bit integer, found ${String(inner).slice(0, 40)}`);
      return String(integer);
    }
    case 'doubleValue':
      return doubleJson(doubleOf(inner));
    case 'arrayValue':
      if (depth >= NESTED_DEPTH_MAX) return 'null';
      return `[${items(inner)
        .map((item) => anyValueJson(item, depth + 1))
        .join(',')}]`;
    case 'kvlistValue':
      if (depth >= NESTED_DEPTH_MAX) return 'null';
      return `{${items(inner)
        .map((entry) => {
          const { key, value: of } = (entry ?? {}) as { key?: unknown; value?: unknown };
          return `${JSON.stringify(wellFormed(String(key ?? '')))}:${anyValueJson(of, depth + 1)}`;
        })
        .join(',')}}`;
  }
}

const ARMS = [
  'stringValue',
  'intValue',
  'boolValue',
  'doubleValue',
  'arrayValue',
  'kvlistValue',
  'bytesValue',
] as const;

/** Which of the value's alternatives is set. None is an empty value, which is allowed. */
function arm(value: unknown): [(typeof ARMS)[number], unknown] | [undefined] {
  if (value === undefined || value === null) return [undefined];
  if (typeof value !== 'object') throw malformed(`JSON: value: expected an object such as {"stringValue":…}`);
  for (const kind of ARMS) {
    const inner = (value as Record<string, unknown>)[kind];
    if (inner === undefined || inner === null) continue;
    const nested = kind === 'arrayValue' || kind === 'kvlistValue';
    if ((typeof inner === 'object') !== nested)
      throw malformed(`JSON: ${kind}: found a ${typeof inner} where that cannot be`);
    return [kind, inner];
  }
  return [undefined];
}

function items(list: unknown): unknown[] {
  const { values } = list as { values?: unknown };
  if (values === undefined || values === null) return [];
  if (Array.isArray(values)) return values;
  throw malformed(`JSON: values: expected a list, found a ${typeof values}`);
}

export function doubleOf(value: unknown): number {
  const double = typeof value === 'string' && value.trim() === '' ? Number.NaN : Number(value);
  if (Number.isNaN(double) && value !== 'NaN')
    throw malformed(`JSON: doubleValue: expected a number, found ${String(value).slice(0, 40)}`);
  return double;
}
