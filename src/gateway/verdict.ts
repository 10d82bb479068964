import type { VerdictRule } from '../registry/loop.ts';

/**
 * Reads a checker's answer by the rule of its loop: `true`, `false`, or `undefined` where the answer holds no
 * verdict. No verdict is not a failed one.
 */
export function readVerdict(rule: VerdictRule, answer: string): boolean | undefined {
  if ('regex' in rule) return patternOf(rule).test(answer);
  let at = parseAnswer(answer);
  for (const field of rule.json.split('.').slice(1))
    at =
      typeof at === 'object' && at !== null && Object.hasOwn(at, field)
        ? (at as Record<string, unknown>)[field]
        : undefined;
  return typeof at === 'boolean' ? at : undefined;
}

/** A rule lives as long as its loop's definition, and is compiled once. */
const patterns = new WeakMap<object, RegExp>();

function patternOf(rule: { regex: string }): RegExp {
  const known = patterns.get(rule);
  if (known) return known;
  const pattern = new RegExp(rule.regex);
  patterns.set(rule, pattern);
  return pattern;
}

/** Models like to wrap JSON in a code fence, or in a sentence. */
function parseAnswer(answer: string): unknown {
  const candidates = [answer, answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1)];
  for (const text of candidates) {
    try {
      return JSON.parse(text);
    } catch {}
  }
  return undefined;
}
