import { z } from 'zod';
import { parseJson } from '../json-answer.ts';
import { ScorerError, type ScorerUsage } from '../scorer.ts';
import type { Answered, Ask } from './ask.ts';

/**
 * A judge's verdict: exactly one JSON object of the schema, bare or as the one fence of the answer, and nothing else.
 * An answer that quotes a verdict and then gives one is none: picking one of two is how an answer under judgment
 * would get its own verdict through. What is none is told to the judge once, with what is wrong with it.
 */
export interface Verdict<V> {
  verdict: V;
  /** The model that gave it. */
  model: string;
  usage: ScorerUsage;
}

const LONE_FENCE = /^\s*```(?:json)?[^\S\n]*\n([\s\S]*?)\n?```\s*$/i;
/** Of a verdict that is none: as much as goes back to the judge. */
const QUOTED_LENGTH_MAX = 4_000;

/** Asks until there is a verdict, twice at most. Throws `ScorerError`. */
export async function askForVerdict<S extends z.ZodType>(
  ask: Ask,
  { system, prompt, schema }: { system: string; prompt: string; schema: S },
): Promise<Verdict<z.output<S>>> {
  const question = { role: 'user', content: prompt } as const;
  const jsonSchema = jsonSchemaOf(schema);
  const first = await ask({ system, messages: [question], schema: jsonSchema });
  const read = readVerdict(first.text, schema);
  if ('verdict' in read) return { ...read, model: first.model, usage: usageOf(first) };
  const second = await ask({
    system,
    messages: [
      question,
      { role: 'assistant', content: first.text.trim().slice(0, QUOTED_LENGTH_MAX) || '(nothing)' },
      {
        role: 'user',
        content: `That is no verdict: ${read.wrong}. Give your verdict again, as one JSON object of the schema and nothing else.`,
      },
    ],
    schema: jsonSchema,
  });
  const again = readVerdict(second.text, schema);
  if ('verdict' in again) return { ...again, model: second.model, usage: usageOf(first, second) };
  throw new ScorerError('judge_unparsable', `no verdict, also when asked again: ${again.wrong}`);
}

/** The verdict of an answer's text, or what is wrong with it. */
export function readVerdict<S extends z.ZodType>(
  text: string,
  schema: S,
): { verdict: z.output<S> } | { wrong: string } {
  const value = parseJson(text) ?? parseJson(LONE_FENCE.exec(text)?.[1] ?? '');
  if (value === undefined) return { wrong: 'expected one JSON object and nothing else' };
  const parsed = schema.safeParse(value);
  if (parsed.success) return { verdict: parsed.data };
  return {
    wrong: parsed.error.issues
      .map(({ path, message }) => `${path.join('.') || 'verdict'}: ${message}`)
      .join('; '),
  };
}

/** Without what not every API's strict mode knows. */
function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema) as Record<string, unknown>;
  return rest;
}

const usageOf = (...answers: readonly Answered[]): ScorerUsage =>
  addUsage(...answers.map(({ inputTokens, outputTokens }) => ({ calls: 1, inputTokens, outputTokens })));

export const addUsage = (...usages: readonly ScorerUsage[]): ScorerUsage => ({
  calls: usages.reduce((sum, usage) => sum + usage.calls, 0),
  inputTokens: usages.reduce((sum, usage) => sum + usage.inputTokens, 0),
  outputTokens: usages.reduce((sum, usage) => sum + usage.outputTokens, 0),
});
