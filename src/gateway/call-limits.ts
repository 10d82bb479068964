import type { LoopscopeError } from '../errors.ts';
import type { Asked } from './asked.ts';
import type { CallContext } from './context.ts';
import type { CallEstimate, CallPart } from './limits/plan.ts';
import { type Refusal, refusalError } from './limits/refusal.ts';
import type { Reservation, Settlement } from './limits/reservation.ts';
import type { Prices } from './price.ts';
import type { RequestFacts } from './protocol.ts';
import type { Plan } from './routing/plan.ts';
import type { Target } from './routing/target.ts';

/**
 * What a call holds of its limits until it is known what it came to. A model that is served by one provider is held to
 * all its limits at once. Of a virtual model the caller's limits are held first, for the dearest of its targets, and a
 * target's own when the call is about to go there.
 *
 * A request that is no model call has no limits.
 */
export interface LimitedBy {
  asked: Asked;
  bodyBytes: number;
  plan: Plan;
  prices: Prices;
  /** Whether nobody waits for the call any more. */
  signal: { readonly aborted: boolean };
  /** Told in how many seconds another try may help. */
  onRetryAfter: (seconds: number) => void;
}

type Context = Pick<CallContext, 'limiter' | 'clock'>;
type Why = LoopscopeError | undefined;

export class CallLimits {
  readonly #context: Context;
  readonly #by: LimitedBy;
  readonly #request: RequestFacts | undefined;
  /** Of the caller, or the whole. */
  #held: Reservation | undefined;
  readonly #targets: { target: Target; reservation: Reservation }[] = [];

  constructor(context: Context, by: LimitedBy) {
    this.#context = context;
    this.#by = by;
    this.#request = by.asked.request;
  }

  /** Before anything is asked: why the call may not be made, `undefined` where it may. */
  admit(): Why | Promise<Why> {
    if (!this.#request) return undefined;
    const { asked, plan } = this.#by;
    const isVirtual = plan.model !== undefined;
    const { provider } = asked.route;
    const estimate = isVirtual ? this.#dearest(this.#request) : this.#estimate(this.#request, provider);
    return this.#reserve(isVirtual ? 'caller' : 'whole', provider, this.#request.model, estimate, (held) => {
      this.#held = held;
    });
  }

  /** Before the first attempt at a target: why the call may not go there. */
  admitTarget(target: Target): Why | Promise<Why> {
    if (!this.#request || this.#by.plan.model === undefined) return undefined;
    const { route } = this.#by.asked;
    const { provider } = target;
    const model = target.model ?? this.#request.model;
    // The caller's part has counted the model that was asked for.
    const isAsked = provider === route.provider && model === this.#request.model;
    const estimate = this.#estimate(this.#request, provider, model);
    return this.#reserve('target', provider, isAsked ? undefined : model, estimate, (reservation) => {
      this.#targets.push({ target, reservation });
    });
  }

  /** The last target asked takes what the call came to; what others held of it, they get back. */
  settle(last: Target, came: Settlement): void {
    const { limiter } = this.#context;
    if (this.#held) void limiter.settle(this.#held, came);
    for (const { target, reservation } of this.#targets)
      void limiter.settle(reservation, target === last ? came : NOTHING_USED);
  }

  /** For a call that went nowhere. */
  release(): void {
    const { limiter } = this.#context;
    if (this.#held) void limiter.release(this.#held);
    for (const { reservation } of this.#targets) void limiter.release(reservation);
  }

  #reserve(
    part: CallPart,
    provider: string,
    model: string | undefined,
    estimate: CallEstimate,
    keep: (reservation: Reservation) => void,
  ): Why | Promise<Why> {
    const { caller, run } = this.#by.asked;
    const decide = (outcome: Reservation | Refusal): Why => {
      if (!outcome.granted) return this.#refusal(outcome);
      keep(outcome);
      return undefined;
    };
    const outcome = this.#context.limiter.reserve({
      loop: caller.loop,
      agent: caller.agent,
      runId: run?.runId,
      team: caller.definition?.team,
      provider,
      model,
      part,
      estimate,
      signal: this.#by.signal,
    });
    return outcome instanceof Promise ? outcome.then(decide) : decide(outcome);
  }

  #refusal(refusal: Refusal): LoopscopeError {
    if (refusal.retryAfterS !== undefined) this.#by.onRetryAfter(refusal.retryAfterS);
    return refusalError(refusal);
  }

  #estimate(request: RequestFacts, provider: string, model = request.model): CallEstimate {
    const { prices, bodyBytes } = this.#by;
    return prices.estimate(provider, model, request, bodyBytes, this.#context.clock.now());
  }

  /** Where the call goes is not known yet, and a budget must not be exceeded wherever it is. */
  #dearest(request: RequestFacts): CallEstimate {
    const all = this.#by.plan.targets.map(({ provider, model }) => this.#estimate(request, provider, model));
    const costs = all.flatMap(({ costUsd }) => costUsd ?? []);
    return {
      inputTokens: Math.max(...all.map(({ inputTokens }) => inputTokens)),
      outputTokensMax: Math.max(...all.map(({ outputTokensMax }) => outputTokensMax)),
      costUsd: costs.length > 0 ? Math.max(...costs) : undefined,
    };
  }
}

export const NOTHING_USED: Settlement = { costUsd: 0, inputTokens: 0, outputTokens: 0 };
