import { z } from 'zod';
import { CommandSettings } from './command/settings.ts';
import { JsonDiffSettings } from './json-diff-settings.ts';
import { JudgeSettings, PairwiseSettings } from './judge/settings.ts';

/**
 * How a suite says what scores its answers: a word, or an object whose one telling key is the scorer's name. The key
 * decides before anything is checked, so that a mistake is told by the field it is in.
 */

const RegexScorer = z
  .strictObject({
    regex: z.string(),
    flags: z.string().default(''),
    group: z.number().int().min(0).default(1),
  })
  .superRefine(({ regex: source, flags, group }, context) => {
    const compile = (field: string, pattern: string, withFlags?: string) => {
      try {
        return new RegExp(pattern, withFlags);
      } catch (error) {
        const message = `expected a regular expression: ${(error as Error).message}`;
        context.addIssue({ code: 'custom', path: [field], message });
      }
    };
    if (!compile('regex', source)) return;
    // An alternative that matches anything makes `exec` give every group of the pattern.
    const groups = compile('flags', `${source}|`, flags)?.exec('')?.length;
    if (groups !== undefined && group > groups - 1)
      context.addIssue({
        code: 'custom',
        path: ['group'],
        message: `expected the number of a capture group of the pattern, which has ${groups - 1}`,
      });
  });

const WORDS = ['exact', 'text', 'similarity'] as const;

const BY_KEY = {
  regex: RegexScorer,
  json: z.strictObject({
    json: z.string().regex(/^\$(\.[A-Za-z0-9_-]+)*$/, 'expected a path such as $.answer'),
  }),
  numeric: z.strictObject({
    numeric: z.strictObject({
      /** Largest difference that still counts as right. */
      absolute: z.number().min(0).default(0),
      /** The same, as a share of the expected value. */
      relative: z.number().min(0).default(0),
    }),
  }),
  module: z.strictObject({
    /** A TypeScript module beside the suite whose default export scores an answer. */
    module: z.string().min(1),
  }),
  json_diff: z.strictObject({ json_diff: JsonDiffSettings }),
  judge: z.strictObject({ judge: JudgeSettings }),
  pairwise: z.strictObject({ pairwise: PairwiseSettings }),
  command: z.strictObject({ command: CommandSettings }),
};

export type ScorerDefinition =
  | (typeof WORDS)[number]
  | { [Key in keyof typeof BY_KEY]: z.output<(typeof BY_KEY)[Key]> }[keyof typeof BY_KEY];

export const ScorerDefinition = z.unknown().transform((given, context): ScorerDefinition => {
  const word = WORDS.find((known) => known === given);
  if (word) return word;
  const isObject = typeof given === 'object' && given !== null;
  const keys = (Object.keys(BY_KEY) as (keyof typeof BY_KEY)[]).filter(
    (key) => isObject && Object.hasOwn(given, key),
  );
  if (keys.length !== 1) {
    const message = `expected ${WORDS.join(', ')}, or an object with one of ${Object.keys(BY_KEY).join(', ')}`;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  }
  const parsed = BY_KEY[keys[0]!].safeParse(given);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) context.issues.push({ ...issue, input: given } as never);
  return z.NEVER;
});
