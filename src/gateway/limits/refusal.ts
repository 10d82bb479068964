import { type ErrorCode, LoopscopeError } from '../../errors.ts';
import { MEASURES, type Measure, shown, TOKENS } from './amounts.ts';
import type { Excess } from './excess.ts';
import type { LimitedCall, PlannedCounter } from './plan.ts';
import type { Scope } from './settings.ts';

/** A call that may not be made now, and what its caller is told. */
export interface Refusal {
  readonly granted: false;
  readonly scope: Scope;
  readonly what: RefusedFor;
  readonly code: ErrorCode;
  readonly message: string;
  /** For `Retry-After`; nothing where waiting does not help. */
  readonly retryAfterS: number | undefined;
}

/**
 * - a measure: there is not enough left of it;
 * - `killed`: the loop or the run was stopped by hand;
 * - `store_away`: limits cannot be checked, and the configured choice is to deny;
 * - `queue_full`: too many wait already;
 * - `abandoned`: the caller left while it waited, or the gateway is closing;
 * - `too_many`: this gateway has as many calls under way as it can account for.
 */
export type RefusedFor = Measure | 'killed' | 'store_away' | 'queue_full' | 'abandoned' | 'too_many';

/** As it is thrown on the way to the caller. */
export const refusalError = ({ code, message }: Refusal): LoopscopeError => new LoopscopeError(code, message);

/** Too much of something. `endMs` is when the window ends; a run has no such time. */
export function overLimit(
  { counter, bound, measure, used, amount }: Excess,
  call: LimitedCall,
  endMs: number | undefined,
  nowMs: number,
): Refusal {
  const { scope, window, subject } = counter;
  const max = bound.max[measure]!;
  const what = MEASURES[measure]!;
  const who = `${scope} "${subject ?? `${call.loop}/${call.runId}`}"`;
  const per = window === 'run' ? (scope === 'run' ? 'in all' : 'a run') : `a ${window}`;
  const unit = what === 'cost' ? '' : ` ${what}`;
  const rule = `${who} may use ${shown(measure, max)}${unit} ${per}`;
  const fits = amount <= max;
  const needs = `this call may take ${shown(measure, amount)}`;
  const state = fits
    ? `${shown(measure, used)} ${what === 'cost' ? 'is' : 'are'} used or reserved, and ${needs}`
    : `${needs}, more than there ever is`;
  const advice = !fits
    ? 'Ask for fewer tokens, or raise the limit.'
    : endMs === undefined
      ? 'Start a new run, or raise the limit.'
      : `It begins anew at ${new Date(endMs).toISOString()}; or raise the limit.`;
  const helps = fits && endMs !== undefined;
  return {
    granted: false,
    scope,
    what,
    code: window === 'minute' && helps ? 'rate_limited' : 'budget_exceeded',
    message: `Limit reached: ${rule}; ${state}. ${advice}`,
    retryAfterS: helps ? Math.max(1, Math.ceil((endMs - nowMs) / 1000)) : undefined,
  };
}

/** It waited, and its turn did not come. */
export function waitedInVain(
  { scope, subject, max }: PlannedCounter,
  { loop, runId }: LimitedCall,
  waitMs: number,
  windowLeftMs: number,
): Refusal {
  return {
    granted: false,
    scope,
    what: max[TOKENS] < Number.POSITIVE_INFINITY ? 'tokens' : 'calls',
    code: 'rate_limited',
    message: `The call waited ${waitMs / 1000} s for its turn at the limit of ${scope} "${subject ?? `${loop}/${runId}`}", and it did not come. Make fewer calls at once, or raise the limit.`,
    retryAfterS: Math.max(1, Math.ceil(windowLeftMs / 1000)),
  };
}

export const killed = (
  scope: 'loop' | 'run',
  { loop, runId }: Pick<LimitedCall, 'loop' | 'runId'>,
): Refusal => ({
  granted: false,
  scope,
  what: 'killed',
  code: 'loop_killed',
  message: `${scope === 'loop' ? `Loop "${loop}"` : `Run "${runId}" of loop "${loop}"`} was stopped by its operators and may call no more until they revive it.`,
  retryAfterS: undefined,
});

export const storeAway = (scope: Scope): Refusal => ({
  granted: false,
  scope,
  what: 'store_away',
  code: 'limits_unavailable',
  message:
    'The Redis that limits are counted in cannot be reached, and this gateway denies limited calls meanwhile ' +
    '(limits_when_store_away: deny). Try again in a moment.',
  retryAfterS: 1,
});

export const queueFull = (scope: Scope): Refusal => ({
  granted: false,
  scope,
  what: 'queue_full',
  code: 'rate_limited',
  message: `Too many calls wait for their turn at this limit (scope: ${scope}) already. Make fewer at once.`,
  retryAfterS: 1,
});

export const tooMany = (): Refusal => ({
  granted: false,
  scope: 'loop',
  what: 'too_many',
  code: 'overloaded',
  message: 'This gateway has as many limited calls under way as it can account for. Try again in a moment.',
  retryAfterS: 1,
});

export const abandoned = (scope: Scope): Refusal => ({
  granted: false,
  scope,
  what: 'abandoned',
  code: 'overloaded',
  message: 'The call was given up while it waited for its turn.',
  retryAfterS: 1,
});
