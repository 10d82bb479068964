import { parseAnswer, parseJson } from './json-answer.ts';
import type { JsonDiffSettings } from './json-diff-settings.ts';
import { compile, type PathRules } from './json-paths.ts';
import { explaining, type Scored, type Scorer, ScorerError } from './scorer.ts';

/**
 * How much of a JSON answer is as expected: the weight of the leaves that match, as a share of the weight of all leaves
 * that either side has. A leaf is whatever is no object and no array, or an empty one of these. What is missing counts
 * against the answer, and so does what nobody asked for. No JSON is wrong; golden data that is none is an error.
 *
 * Elements of an array whose order does not matter are paired greedily, likest first, ties in order: elements that are
 * equal always find each other. That is no optimal assignment where many are half alike, and it is the same each time.
 */
const DEPTH_MAX = 100;
/** Leaves held against each other; pairs of elements without order count each. */
const COMPARISONS_MAX = 200_000;
const UNORDERED_MAX = 200;
const DIFFERENCES_SHOWN = 5;
const VALUE_SHOWN_MAX = 60;

export function jsonDiff({ json_diff: settings }: { json_diff: JsonDiffSettings }): Scorer {
  const rules = compile(settings);
  return explaining((output, expected) => {
    const wanted = parseJson(expected);
    if (wanted === undefined)
      throw new ScorerError(
        'golden_unusable',
        `expected JSON in the golden data, found ${JSON.stringify(expected.slice(0, 80))}`,
      );
    const given = parseAnswer(output);
    if (given === undefined) return { score: 0, reason: 'the answer is no JSON' };
    return scoreOf(diff(given, wanted, [], { settings, rules, budget: { comparisons: COMPARISONS_MAX } }));
  });
}

/** Weights, and what differs. */
interface Diff {
  matched: number;
  all: number;
  differences: string[];
}

interface Comparison {
  settings: JsonDiffSettings;
  rules: PathRules;
  budget: { comparisons: number };
}

const NOTHING: Diff = { matched: 0, all: 0, differences: [] };

function scoreOf({ matched, all, differences }: Diff): Scored {
  if (all === 0)
    throw new ScorerError(
      'golden_unusable',
      'every field is ignored or weighs nothing: nothing is left to compare',
    );
  const hidden = differences.length - DIFFERENCES_SHOWN;
  const shown = differences.slice(0, DIFFERENCES_SHOWN).join('; ');
  // Sums of weights are floats: all of them must be exactly 1.
  return {
    score: differences.length === 0 ? 1 : Math.min(1, matched / all),
    reason: hidden > 0 ? `${shown}; and ${hidden} more` : shown,
  };
}

type Path = readonly string[];

/** `undefined` stands for what one side does not have. */
function diff(given: unknown, wanted: unknown, path: Path, comparison: Comparison): Diff {
  const { rules, budget } = comparison;
  if (path.length > DEPTH_MAX)
    throw new ScorerError('answer_too_large', `expected JSON at most ${DEPTH_MAX} levels deep`);
  if (rules.isIgnored(path)) return NOTHING;
  if (isArray(given) && isArray(wanted) && rules.isUnordered(path))
    return diffUnordered(given, wanted, path, comparison);
  const isBranch = (value: unknown) => value === undefined || childrenOf(value) !== undefined;
  const sameKind = given === undefined || wanted === undefined || isArray(given) === isArray(wanted);
  if (isBranch(given) && isBranch(wanted) && sameKind) {
    const left = childrenOf(given) ?? {};
    const right = childrenOf(wanted) ?? {};
    const keys = new Set([...Object.keys(right), ...Object.keys(left)]);
    return sum([...keys].map((key) => diff(own(left, key), own(right, key), [...path, key], comparison)));
  }
  if (isBranch(wanted) && wanted !== undefined)
    // What stands in its place is none of its leaves, and one more that nobody asked for.
    return sum([diff(undefined, wanted, path, comparison), leaf(given, undefined, path, comparison)]);
  if (isBranch(given) && given !== undefined)
    return sum([leaf(undefined, wanted, path, comparison), diff(given, undefined, path, comparison)]);
  if (budget.comparisons-- === 0)
    throw new ScorerError('answer_too_large', `expected at most ${COMPARISONS_MAX} fields to compare`);
  return leaf(given, wanted, path, comparison);
}

function leaf(given: unknown, wanted: unknown, path: Path, { settings, rules }: Comparison): Diff {
  const weight = rules.weightOf(path);
  if (weight === 0) return NOTHING;
  if (isEqualLeaf(given, wanted, settings)) return { matched: weight, all: weight, differences: [] };
  return {
    matched: 0,
    all: weight,
    differences: [`${['$', ...path].join('.')}: expected ${show(wanted)}, found ${show(given)}`],
  };
}

function diffUnordered(given: unknown[], wanted: unknown[], path: Path, comparison: Comparison): Diff {
  if (given.length > UNORDERED_MAX || wanted.length > UNORDERED_MAX)
    throw new ScorerError(
      'answer_too_large',
      `${['$', ...path].join('.')}: expected at most ${UNORDERED_MAX} elements of an array without order`,
    );
  if (given.length === 0 && wanted.length === 0) return leaf(given, wanted, path, comparison);
  const pairs = given.flatMap((left, i) =>
    wanted.map((right, j) => {
      const found = diff(left, right, [...path, String(j)], comparison);
      const likeness = found.differences.length === 0 ? 1 : found.all === 0 ? 0 : found.matched / found.all;
      return { i, j, found, likeness };
    }),
  );
  pairs.sort((a, b) => b.likeness - a.likeness || a.j - b.j || a.i - b.i);
  const lefts = new Set(given.keys());
  const rights = new Set(wanted.keys());
  const found: Diff[] = [];
  for (const pair of pairs) {
    // What has nothing in common is no pair: one is missing and the other too much.
    if (pair.likeness === 0 || !lefts.has(pair.i) || !rights.has(pair.j)) continue;
    lefts.delete(pair.i);
    rights.delete(pair.j);
    found.push(pair.found);
  }
  for (const j of rights) found.push(diff(undefined, wanted[j], [...path, String(j)], comparison));
  for (const i of lefts) found.push(diff(given[i], undefined, [...path, String(i)], comparison));
  return sum(found);
}

/** Fields of what has some; `undefined` for a leaf. */
function childrenOf(value: unknown): Record<string, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) return undefined;
  return value as Record<string, unknown>;
}

const isArray = (value: unknown): value is unknown[] => Array.isArray(value);

const own = (value: Record<string, unknown>, key: string): unknown =>
  Object.hasOwn(value, key) ? value[key] : undefined;

function isEqualLeaf(given: unknown, wanted: unknown, { absolute, relative }: JsonDiffSettings): boolean {
  if (typeof given === 'number' && typeof wanted === 'number')
    return Math.abs(given - wanted) <= Math.max(absolute, relative * Math.abs(wanted));
  if (typeof given === 'object' && typeof wanted === 'object' && given !== null && wanted !== null)
    return isArray(given) === isArray(wanted); // both are empty
  return given === wanted;
}

function sum(diffs: readonly Diff[]): Diff {
  return {
    matched: diffs.reduce((total, one) => total + one.matched, 0),
    all: diffs.reduce((total, one) => total + one.all, 0),
    differences: diffs.flatMap((one) => one.differences),
  };
}

const show = (value: unknown) =>
  value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value)).slice(0, VALUE_SHOWN_MAX);
