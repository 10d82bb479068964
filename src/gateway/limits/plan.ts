import { createHash } from 'node:crypto';
import { type Amounts, nanoDollars } from './amounts.ts';
import type { Rule, Scope, Window } from './settings.ts';

/**
 * Which counters a call is on. Use belongs to a subject and a window, not to a rule: rules are bounds on counters,
 * so several may share one, and changing a rule forgets nothing.
 */
export interface LimitedCall {
  loop: string;
  agent: string;
  /** Without it the call is no step, and limits of runs do not apply to it. */
  runId: string | undefined;
  team: string | undefined;
  provider: string;
  /** As the loop asked for it, or as a target gets it. */
  model: string | undefined;
  /** Which limits are meant: of a virtual model, those of a target are held when it is tried. */
  part: CallPart;
  estimate: CallEstimate;
  /** Says whether the caller has gone: a call that waits gives up its place then. */
  signal?: { readonly aborted: boolean };
}

/** `target`: the limits of provider and model, where it really goes. `caller`: all but the provider's. */
export type CallPart = 'whole' | 'caller' | 'target';

/** The most that a call may come to. */
export interface CallEstimate {
  inputTokens: number;
  outputTokensMax: number;
  /** `undefined` where the price is unknown: nothing is reserved of cost then, and its settlement counts as unknown. */
  costUsd: number | undefined;
}

/** A rule with its numbers in the units of counting. */
export interface Bound {
  readonly rule: Rule;
  readonly max: Amounts;
  readonly enforced: boolean;
  readonly waitMs: number;
}

export interface PlannedCounter {
  readonly scope: Scope;
  readonly window: Window;
  /** Who is counted; `undefined` where it is the run. */
  readonly subject: string | undefined;
  readonly bounds: readonly Bound[];
  /** The least that an enforced rule allows. */
  readonly max: Amounts;
  /** Whether calls may wait here. */
  readonly waits: boolean;
}

/** Combinations of loop, agent, team, provider and model whose plans are remembered. */
const PLANS_MAX = 20_000;
const SUBJECT_LENGTH_MAX = 200;

export class Plans {
  readonly #bounds: readonly Bound[];
  readonly #plans = new Map<string, readonly PlannedCounter[]>();

  constructor(rules: readonly Rule[]) {
    this.#bounds = rules.map(bound);
  }

  /** The counters of a call, each once. */
  of(call: LimitedCall): readonly PlannedCounter[] {
    if (this.#bounds.length === 0) return NONE;
    const { loop, agent, team, provider, model, part } = call;
    const key = `${part}\n${loop}\n${agent}\n${call.runId === undefined}\n${team}\n${provider}\n${model}`;
    let plan = this.#plans.get(key);
    if (!plan) {
      plan = this.#plan(call);
      if (this.#plans.size >= PLANS_MAX) this.#plans.clear();
      this.#plans.set(key, plan);
    }
    return plan;
  }

  #plan(call: LimitedCall): readonly PlannedCounter[] {
    const counters = new Map<string, { subject: string | undefined; bounds: Bound[] }>();
    for (const one of this.#bounds) {
      if (!applies(one.rule, call)) continue;
      const { scope, window } = one.rule;
      const at = counters.get(`${scope} ${window}`);
      if (at) at.bounds.push(one);
      else counters.set(`${scope} ${window}`, { subject: subjectOf(scope, call), bounds: [one] });
    }
    return [...counters.values()].map(({ subject, bounds }) => {
      const { scope, window } = bounds[0]!.rule;
      const enforced = bounds.filter((b) => b.enforced);
      const least = (m: 0 | 1 | 2 | 3) => Math.min(...enforced.map((b) => b.max[m]));
      const max: Amounts = [least(0), least(1), least(2), least(3)];
      return { scope, window, subject, bounds, max, waits: enforced.some((b) => b.waitMs > 0) };
    });
  }
}

const NONE: readonly PlannedCounter[] = [];

function bound(rule: Rule): Bound {
  const { cost_usd, tokens, calls, steps } = rule.max;
  const or = (value: number | undefined) => value ?? Number.POSITIVE_INFINITY;
  return {
    rule,
    max: [cost_usd === undefined ? or(undefined) : nanoDollars(cost_usd), or(tokens), or(calls), or(steps)],
    enforced: rule.mode === 'enforce',
    waitMs: rule.wait_s * 1000,
  };
}

function applies({ scope, name, window, loop }: Rule, call: LimitedCall): boolean {
  if (loop !== undefined && loop !== call.loop) return false;
  if ((scope === 'run' || window === 'run') && call.runId === undefined) return false;
  if (call.part === 'target' && scope !== 'provider' && scope !== 'model') return false;
  switch (scope) {
    case 'loop':
      return name === undefined || name === call.loop;
    case 'agent':
      return name === undefined || name === call.agent;
    case 'run':
      return true;
    case 'team':
      return call.team !== undefined && (name === undefined || name === call.team);
    case 'provider':
      return call.part !== 'caller' && (name === undefined || name === call.provider);
    case 'model':
      return (
        call.model !== undefined &&
        (name === undefined || name === call.model || name === `${call.provider}/${call.model}`)
      );
  }
}

function subjectOf(scope: Scope, { loop, agent, team, provider, model }: LimitedCall): string | undefined {
  switch (scope) {
    case 'loop':
      return loop;
    case 'agent':
      return `${loop}/${agent}`;
    case 'run':
      return undefined;
    case 'team':
      return team;
    case 'provider':
      return provider;
    case 'model':
      return short(`${provider}/${model}`);
  }
}

/** A model's name is whatever the caller wrote. */
const short = (name: string): string =>
  name.length <= SUBJECT_LENGTH_MAX
    ? name
    : `${name.slice(0, SUBJECT_LENGTH_MAX - 40)}#${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
