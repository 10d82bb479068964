import { Cron } from 'croner';
import { z } from 'zod';
import { LoopLimitRule } from '../gateway/limits/settings.ts';
import { ModelsSettings } from '../gateway/routing/settings.ts';

/** A loop as its owner describes it in `loops/*.yaml`. */

const name = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a name has letters, digits, ".", "_" and "-" only');

export const cron = z.string().superRefine((pattern, context) => {
  try {
    new Cron(pattern, { paused: true });
  } catch (error) {
    context.addIssue({
      code: 'custom',
      message: `expected a cron pattern such as "0 6 * * 2": ${(error as Error).message}`,
    });
  }
});

export const regex = z.string().superRefine((source, context) => {
  try {
    new RegExp(source);
  } catch (error) {
    context.addIssue({
      code: 'custom',
      message: `expected a regular expression: ${(error as Error).message}`,
    });
  }
});

/** How a checker's own answer is read as a verdict. */
export const VerdictRule = z.union([
  z.strictObject({
    /** Path to a boolean in a JSON answer: `$.pass`, `$.result.ok`. */
    json: z.string().regex(/^\$(\.[A-Za-z0-9_-]+)+$/, 'expected a path such as $.pass'),
  }),
  z.strictObject({
    /** Passes when the answer matches. */
    regex,
  }),
]);

export const AgentDefinition = z.strictObject({
  name,
  role: z.enum(['maker', 'checker', 'sub']),
  /** Models it may use, as it asks for them. */
  models: z.array(z.string().min(1)).default([]),
  verdict: VerdictRule.optional(),
});

/** A tool that the loop's agents use, as far as a replay has to know it. */
export const ToolDefinition = z.strictObject({
  /** As models name it. */
  name: z.string().min(1).max(200),
  /** Whether it only reads: a replay carries out no other unless it is told to. */
  safe: z.boolean().default(false),
  /** Program and arguments that carry it out in a live replay: what the model asks comes as JSON on its stdin, its stdout is the result. */
  command: z.array(z.string()).min(1).optional(),
});

export const LoopDefinition = z.strictObject({
  loop: name,
  owner: z.string().min(1),
  description: z.string().optional(),
  /** When it wakes up; without it the loop is never late. */
  schedule: cron.optional(),
  agents: z.array(AgentDefinition).default([]),
  tools: z.array(ToolDefinition).default([]),
  artifacts: z
    .strictObject({ owns: z.array(name).default([]), reads: z.array(name).default([]) })
    .prefault({}),
  /** Golden dataset its runs are held against, and the suite that does it. */
  dataset: name.optional(),
  suite: name.optional(),
  /** What is kept of prompts and answers: nothing, hashes, or all. */
  capture: z.enum(['off', 'hashed', 'full']).default('full'),
  /** Whose budget it draws on besides its own. */
  team: name.optional(),
  /** The most urgent that its alerts get: `page` wakes somebody. Each kind's own without it. */
  severity: z.enum(['page', 'ticket', 'info']).optional(),
  /** Virtual models of its own, in place of those of the same name for all. */
  models: ModelsSettings.default({}),
  /**
   * A stream that breaks before it says anything, its opening events aside: told to the caller, or asked for again, where
   * those events wait for the first word. What breaks after that is always told.
   */
  on_broken_stream: z.enum(['fail', 'restart']).default('fail'),
  limits: z.array(LoopLimitRule).default([]),
  /** Equal calls are answered from the first one's answer for so long; every one calls its provider without it. */
  cache: z
    .strictObject({
      ttl_s: z
        .number()
        .positive()
        .max(30 * 86_400),
    })
    .optional(),
});

export type LoopDefinition = z.infer<typeof LoopDefinition>;
export type AgentDefinition = z.infer<typeof AgentDefinition>;
export type AgentRole = AgentDefinition['role'];
export type VerdictRule = z.infer<typeof VerdictRule>;
