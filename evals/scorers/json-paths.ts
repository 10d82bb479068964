import type { JsonDiffSettings } from './json-diff-settings.ts';

/** What the settings say of a place in a JSON document, by patterns such as `$.items.*.price`. */
export interface PathRules {
  /** Weight of the longest pattern that matches the place or what it stands in; 1 where none does. */
  weightOf(path: readonly string[]): number;
  /** Whether a pattern matches the place or what it stands in. */
  isIgnored(path: readonly string[]): boolean;
  /** Whether a pattern matches the place itself. */
  isUnordered(path: readonly string[]): boolean;
}

export function compile({ weights, ignore, unordered }: JsonDiffSettings): PathRules {
  const weighted = Object.entries(weights)
    .map(([pattern, weight]) => ({ pattern: fieldsOf(pattern), weight }))
    .sort((a, b) => b.pattern.length - a.pattern.length);
  const ignored = ignore.map(fieldsOf);
  const loose = unordered.map(fieldsOf);
  return {
    weightOf: (path) => weighted.find(({ pattern }) => isAtOrBelow(path, pattern))?.weight ?? 1,
    isIgnored: (path) => ignored.some((pattern) => isAtOrBelow(path, pattern)),
    isUnordered: (path) =>
      loose.some((pattern) => pattern.length === path.length && isAtOrBelow(path, pattern)),
  };
}

const fieldsOf = (pattern: string) => pattern.split('.').slice(1);

const isAtOrBelow = (path: readonly string[], pattern: readonly string[]) =>
  path.length >= pattern.length && pattern.every((field, i) => field === '*' || field === path[i]);
