import { LIMITS } from '../../src/span/limits.ts';
import { type Attributes, emptyAttributes } from '../../src/span/span.ts';
import { anyValueText, integerOf, wellFormed } from './json-value.ts';
import { malformed, tooManyObjects } from './refusals.ts';
import { OBJECT_COST } from './value.ts';

/** An object of OTLP/JSON. Whatever is read from one is checked; `null` is as good as absent. */
export type Fields = Record<string, unknown>;

/** Reads what may be there many times, while there is room for what one request may decode into. */
export class JsonLists {
  private objectsLeft: number = LIMITS.otlpObjectsMax;

  attributes(of: Fields, name = 'attributes'): Attributes {
    const attributes = emptyAttributes();
    for (const attribute of this.list(of, name, OBJECT_COST.attribute))
      attributes[text(attribute, 'key')] = anyValueText(attribute['value']);
    return attributes;
  }

  /** A list of objects. */
  list(of: Fields, name: string, cost: number): Fields[] {
    const value = this.values(of, name, cost);
    for (const item of value) fields(item, name);
    return value as Fields[];
  }

  /** A list of anything. */
  values(of: Fields, name: string, cost: number): unknown[] {
    const value = of[name];
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) throw malformed(`JSON: ${name}: expected a list, found ${kindOf(value)}`);
    this.objectsLeft -= cost * value.length;
    if (this.objectsLeft < 0) throw tooManyObjects();
    return value;
  }
}

const NO_FIELDS: Fields = Object.freeze(Object.create(null));

export function optional(of: Fields, name: string): Fields {
  const value = of[name];
  return value === undefined || value === null ? NO_FIELDS : fields(value, name);
}

export function fields(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw malformed(`JSON: ${what}: expected an object, found ${kindOf(value)}`);
}

export function text(of: Fields, name: string): string {
  const value = of[name];
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return wellFormed(value);
  throw malformed(`JSON: ${name}: expected a string, found ${kindOf(value)}`);
}

export function timeNs(of: Fields, name: string): bigint {
  const value = of[name];
  if (value === undefined || value === null || value === '') return 0n;
  const time = integerOf(value);
  if (time !== undefined && time >= 0n && time < 1n << 64n) return time;
  throw malformed(`JSON: ${name}: expected nanoseconds since 1970 as an integer, found ${kindOf(value)}`);
}

const kindOf = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
