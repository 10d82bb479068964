import { command } from './command/command.ts';
import type { ScorerDefinition } from './definition.ts';
import { exact } from './exact.ts';
import { json } from './json.ts';
import { jsonDiff } from './json-diff.ts';
import { judge } from './judge/judge.ts';
import { pairwise } from './judge/pairwise.ts';
import { module } from './module.ts';
import { numeric } from './numeric.ts';
import { regex } from './regex.ts';
import { type Scored, type ScoredItem, type Scorer, ScorerError } from './scorer.ts';
import { defaultServices, type ScorerServices } from './services.ts';
import { similarity } from './similarity.ts';
import { text } from './text.ts';

/** The scorer a suite asks for; a user's module and a command's files are looked for in `directory`. */
export function makeScorer(
  definition: ScorerDefinition,
  directory: string,
  services: ScorerServices = defaultServices(),
): Scorer {
  if (definition === 'exact') return exact();
  if (definition === 'text') return text();
  if (definition === 'similarity') return similarity();
  if ('regex' in definition) return regex(definition);
  if ('json' in definition) return json(definition);
  if ('json_diff' in definition) return jsonDiff(definition);
  if ('numeric' in definition) return numeric(definition);
  if ('judge' in definition) return judge(definition, services);
  if ('pairwise' in definition) return pairwise(definition, services);
  if ('command' in definition) return command(definition, directory, services);
  return module(definition, directory);
}

/** What a score was made with, in one word. */
export const scorerName = (definition: ScorerDefinition): string =>
  typeof definition === 'string' ? definition : Object.keys(definition)[0]!;

/** The outcome of one scoring: a number in [0, 1], or why there is none. */
export type ScoreResult = { score: number } | { error: string };

/** Runs a scorer and makes anything but a number in [0, 1] an error. Never throws. */
export async function tryScore(score: () => number | Promise<number>): Promise<ScoreResult> {
  const result = await tryExplain(async () => ({ score: await score(), reason: '' }));
  return 'error' in result ? result : { score: result.score };
}

/** As `tryScore`, with the grounds of a scorer that gives some. */
export const scoreAnswer = (
  scorer: Scorer,
  output: string,
  expected: string,
  item?: ScoredItem,
): Promise<Scored | { error: string }> =>
  tryExplain(async () =>
    scorer.explained
      ? scorer.explained(output, expected, item)
      : { score: await scorer(output, expected, item), reason: '' },
  );

async function tryExplain(score: () => Promise<Scored>): Promise<Scored | { error: string }> {
  try {
    const scored = await score();
    const given: unknown = scored.score;
    if (typeof given === 'number' && given >= 0 && given <= 1) return scored;
    return { error: `scorer_invalid: expected a number in [0, 1], got ${describe(given)}` };
  } catch (error) {
    const code = error instanceof ScorerError ? error.code : 'scorer_failed';
    return { error: `${code}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

const describe = (given: unknown) =>
  (typeof given === 'number' ? String(given) : (JSON.stringify(given) ?? typeof given)).slice(0, 80);
