import { isDeepStrictEqual } from 'node:util';
import { parseAnswer, parseJson } from './json-answer.ts';
import type { Scorer } from './scorer.ts';

/** A field of an answer in JSON, bare or in a fence. Right when it equals what was expected; no JSON is wrong. */
export function json({ json: path }: { json: string }): Scorer {
  const fields = path.split('.').slice(1);
  return (output, expected) => {
    const found = at(parseAnswer(output), fields);
    if (found === undefined) return 0;
    // Golden data keeps text as text and everything else as JSON, so `5` may be either.
    return found === expected || isDeepStrictEqual(found, parseJson(expected)) ? 1 : 0;
  };
}

function at(value: unknown, fields: readonly string[]): unknown {
  let here = value;
  for (const field of fields) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, field)) return undefined;
    here = (here as Record<string, unknown>)[field];
  }
  return here;
}
