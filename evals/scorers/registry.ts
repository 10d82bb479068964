import type { ScorerDefinition } from '../suite.ts';
import { exact } from './exact.ts';
import { json } from './json.ts';
import { module } from './module.ts';
import { numeric } from './numeric.ts';
import { regex } from './regex.ts';
import type { Scorer } from './scorer.ts';
import { text } from './text.ts';

/** The scorer a suite asks for; a user's module is looked for in `directory`. */
export function makeScorer(definition: ScorerDefinition, directory: string): Scorer {
  if (definition === 'exact') return exact();
  if (definition === 'text') return text();
  if ('regex' in definition) return regex(definition);
  if ('json' in definition) return json(definition);
  if ('numeric' in definition) return numeric(definition);
  return module(definition, directory);
}

/** What a score was made with, in one word. */
export const scorerName = (definition: ScorerDefinition): string =>
  typeof definition === 'string' ? definition : Object.keys(definition)[0]!;

/** The outcome of one scoring: a number in [0, 1], or why there is none. */
export type ScoreResult = { score: number } | { error: string };

/** Runs a scorer and makes anything but a number in [0, 1] an error. Never throws. */
export async function tryScore(score: () => number | Promise<number>): Promise<ScoreResult> {
  try {
    const given: unknown = await score();
    if (typeof given === 'number' && given >= 0 && given <= 1) return { score: given };
    return { error: `scorer_invalid: expected a number in [0, 1], got ${describe(given)}` };
  } catch (error) {
    return { error: `scorer_failed: ${error instanceof Error ? error.message : String(error)}` };
  }
}

const describe = (given: unknown) =>
  (typeof given === 'number' ? String(given) : (JSON.stringify(given) ?? typeof given)).slice(0, 80);
