import { contentHash } from '../../src/records/normalize.ts';

/**
 * Requests with places to fill in. A place is `{{input}}` or `{{output}}` inside of a text of the request's JSON. Filling
 * replaces it in the value and never in JSON text, and in one pass: what is filled in is never read as a template.
 */
export type Json = string | number | boolean | null | Json[] | { [field: string]: Json };

export type Placeholder = 'input' | 'output';

const PLACEHOLDER = /\{\{(input|output)\}\}/g;
const VERSION_CHARS = 12;

/** A copy of `template` with its places filled. */
export function fill<T extends Json>(template: T, values: Partial<Record<Placeholder, string>>): T {
  return map(template, (text) =>
    text.replace(PLACEHOLDER, (place, name: Placeholder) => values[name] ?? place),
  ) as T;
}

/** The places that a template has. */
export function placeholdersIn(template: Json): Set<Placeholder> {
  const found = new Set<Placeholder>();
  map(template, (text) => {
    for (const [, name] of text.matchAll(PLACEHOLDER)) found.add(name as Placeholder);
    return text;
  });
  return found;
}

/** Names what a template asks: the same for the same request to the same path. */
export const templateVersion = (path: string, template: Json): string =>
  contentHash(`${path}\0${JSON.stringify(template)}`).slice(0, VERSION_CHARS);

function map(value: Json, change: (text: string) => string): Json {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((one) => map(one, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([field, one]) => [field, map(one, change)]));
}
