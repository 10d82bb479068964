import { z } from 'zod';

/**
 * Rules as they are written in the settings: `limits: [...]` in `loopscope.yaml`, for all loops, and in
 * `loops/*.yaml`, for that loop.
 *
 * A rule holds each subject of its scope to its own share, unless it names one:
 *
 * | scope      | each …                           | `name` is |
 * |------------|----------------------------------|-----------|
 * | `loop`     | loop                             | the loop's |
 * | `agent`    | agent of a loop                  | the agent's, in every loop that has one |
 * | `run`      | run                              | not given |
 * | `team`     | team                             | the team's |
 * | `provider` | provider                         | the provider's |
 * | `model`    | model of a provider, as asked for | the model's, or `provider/model` |
 *
 * A virtual model is a model too: a call for it is held to the rules of its name, and to those of the provider and model that
 * it is sent to, also where that is another one after a failure. A target whose limit is reached is passed over for the next.
 *
 * What counts: a *call* is one request of a loop to a provider, however often the gateway has to try; a *step* is a
 * call that belongs to a run: one turn of one of its agents. *Tokens* are those of input and output together.
 *
 * Windows follow the calendar in UTC: an hour from :00, a day from 00:00, a week from Monday, a month from the first;
 * `run` is the whole run, for any scope: with `scope: agent` it is the agent within the run.
 */

const name = z.string().min(1).max(200);
/** A million dollars, or a thousand million million tokens: past it a number is a mistake, and counting inexact. */
const COST_USD_MAX = 1_000_000;
const COUNT_MAX = 1_000_000_000_000_000;
const count = z.number().int().positive().max(COUNT_MAX);

export const WINDOWS = ['run', 'minute', 'hour', 'day', 'week', 'month'] as const;
export const SCOPES = ['loop', 'agent', 'run', 'team', 'provider', 'model'] as const;
export type Window = (typeof WINDOWS)[number];
export type Scope = (typeof SCOPES)[number];

const max = z
  .strictObject({
    cost_usd: z.number().positive().max(COST_USD_MAX).optional(),
    tokens: count.optional(),
    calls: count.optional(),
    steps: count.optional(),
  })
  .refine((m) => Object.values(m).some((value) => value !== undefined), {
    error: 'expected at least one of cost_usd, tokens, calls, steps',
  });

const common = {
  name: name.optional(),
  window: z.enum(WINDOWS),
  max,
  /** `audit` lets every call pass and counts those it would have refused. */
  mode: z.enum(['enforce', 'audit']).default('enforce'),
  /** How long a call may wait for its turn instead of being refused; only where the window is a minute. */
  wait_s: z.number().min(0).max(600).default(0),
};

const waitsWithinMinutes = (rule: { window: Window; wait_s: number }) =>
  rule.wait_s === 0 || rule.window === 'minute';
const waits = { error: 'wait_s: only limits with window: minute let calls wait', path: ['wait_s'] };
const runIsNamed = (rule: { scope: Scope; name?: string | undefined }) =>
  !(rule.scope === 'run' && rule.name !== undefined);
const unnamed = {
  error: 'name: with scope: run the rule is for each run; leave the name out',
  path: ['name'],
};

/** A rule in `loopscope.yaml`. */
export const LimitRule = z
  .strictObject({ scope: z.enum(SCOPES), ...common })
  .refine(waitsWithinMinutes, waits)
  .refine(runIsNamed, unnamed);

/** A rule in `loops/*.yaml`: for the loop itself, its agents or its runs. What is shared is not a loop's to limit. */
export const LoopLimitRule = z
  .strictObject({ scope: z.enum(['loop', 'agent', 'run']).default('loop'), ...common })
  .refine(waitsWithinMinutes, waits)
  .refine((rule) => rule.scope === 'agent' || rule.name === undefined, {
    error: 'name: only a rule with scope: agent has one here; the loop is the one this file describes',
    path: ['name'],
  });

/**
 * What happens to a call that an enforced rule applies to while the shared store cannot be reached. `deny` unless
 * chosen otherwise: nobody watches a loop at night, it comes back by itself after a refusal that can be retried,
 * and money that was spent does not.
 */
export const LimitsWhenStoreAway = z.enum(['allow', 'deny']).default('deny');

export type LimitRule = z.infer<typeof LimitRule>;
export type LoopLimitRule = z.infer<typeof LoopLimitRule>;
export type LimitsWhenStoreAway = z.infer<typeof LimitsWhenStoreAway>;

/** A rule and, where it came from a loop's own file, the loop that it is for. */
export type Rule = LimitRule & { loop?: string };

/** The rules of all files together. */
export function collectRules(
  settings: readonly LimitRule[],
  loops: Iterable<{ loop: string; limits: readonly LoopLimitRule[] }>,
): Rule[] {
  const rules: Rule[] = [...settings];
  for (const { loop, limits } of loops) for (const rule of limits) rules.push({ ...rule, loop });
  return rules;
}
