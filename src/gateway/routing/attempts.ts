import type { LoopscopeError } from '../../errors.ts';
import type { ProviderCall } from '../provider.ts';
import { Attempt } from './attempt.ts';
import type { Timed } from './deadlines.ts';
import { type FailureReason, isOurOwn, ProviderFailure } from './failure.ts';
import type { Withheld } from './figures.ts';
import { firstTarget, hadCall, isTried, nextTarget, untriedTarget } from './next-target.ts';
import { mayRepeat, type RetryAdvice, retryWaitMs } from './retry.ts';
import type { AttemptOwner, HeldAnswer, RoutedCall, RoutedListener, RoutingContext } from './routed-call.ts';
import type { CallPolicy } from './settings.ts';

/**
 * A call and its attempts. Until something of an answer is passed on, a failure leads to another attempt where that
 * may help, and the caller sees nothing of it:
 *
 *     attempt ──► answer begins ──► passed on ──► end, or `fail`: it broke, and nothing is tried any more
 *        ▲  └──► failure ──► another attempt?  no ──► the last answer that a provider gave, or `fail`
 *        └─────── wait ◄───── yes
 *
 * - At any time there is one attempt, or one wait for the next or for its limits, or the call is over.
 * - A target whose limits are reached is passed over, as one that is broken: nothing was sent, and no retry was spent.
 * - The listener gets `start` once, `data` any number of times, then `end` or `fail`; nothing after `cancel`.
 * - An attempt that is given up leaves nothing open: its body is read to its end, or its connection is closed.
 */

/** Makes a call by its plan. The listener may be told of a failure before this returns. */
export function callTargets(
  context: RoutingContext,
  call: RoutedCall,
  listener: RoutedListener,
): ProviderCall {
  const routed = new Call(context, call, listener);
  routed.begin();
  return routed;
}

class Call implements ProviderCall, AttemptOwner, Timed {
  readonly context: RoutingContext;
  readonly routed: RoutedCall;
  readonly listener: RoutedListener;
  readonly policy: CallPolicy;
  readonly totalDueMs: number;
  readonly answerDueMs: number;
  /** When the wait for the next attempt is over. */
  dueMs = 0;
  place = -1;
  #attempt: Attempt | undefined;
  #number = 0;
  /** A bit for every target that was tried, by its place in the plan. */
  #tried = 0;
  /** The same for every one whose limits were reached. */
  #passed = 0;
  #nextPlace = 0;
  /** The last answer that was whole and not passed on. */
  #held: HeldAnswer | undefined;
  #isCancelled = false;

  constructor(context: RoutingContext, routed: RoutedCall, listener: RoutedListener) {
    const { deadlines } = context;
    const { policy } = routed.plan;
    this.context = context;
    this.routed = routed;
    this.listener = listener;
    this.policy = policy;
    this.totalDueMs = deadlines.in(Math.min(policy.totalMs, routed.patience.totalMs));
    this.answerDueMs = Math.min(this.totalDueMs, deadlines.in(routed.patience.answerMs));
  }

  begin(): void {
    const { plan, gatewayKey } = this.routed;
    const nowMs = this.context.clock.now();
    this.#try(firstTarget(plan.targets, gatewayKey, nowMs), nowMs);
  }

  resume(): void {
    this.#attempt?.resume();
  }

  cancel(): void {
    this.#isCancelled = true;
    this.context.deadlines.remove(this);
    this.#attempt?.cancel();
    this.#attempt = undefined;
  }

  /** The wait is over. */
  expire(): void {
    this.#try(this.#nextPlace, this.context.clock.now());
  }

  get mayTryAgain(): boolean {
    return this.#number <= this.policy.retriesMax;
  }

  /** Decides, once for an attempt that failed, whether another follows. */
  plansAnother(reason: FailureReason, advice: RetryAdvice | undefined): boolean {
    const { context, routed, policy } = this;
    const { deadlines, clock, figures } = context;
    const withhold = (why: Withheld): false => {
      figures.withheld(why);
      return false;
    };
    if (isOurOwn(reason)) return false;
    if (!mayRepeat(reason, routed.repeatable, advice?.should)) return withhold('not_repeatable');
    if (!this.mayTryAgain) return withhold('attempts');
    const left = this.answerDueMs - deadlines.in(0);
    if (left <= 0) return withhold('deadline');
    const failedPlace = this.#nextPlace;
    const next = nextTarget({
      targets: routed.plan.targets,
      tried: this.#tried,
      passed: this.#passed,
      gatewayKey: routed.gatewayKey,
      nowMs: clock.now(),
      waitMs: (place) => {
        const afterMs = place === failedPlace ? advice?.afterMs : undefined;
        return retryWaitMs(this.#number, afterMs, policy, clock.random());
      },
    });
    if (typeof next === 'string') return withhold(next);
    if (next.waitMs >= left) return withhold('deadline');
    figures.retried(reason);
    this.#nextPlace = next.place;
    this.dueMs = next.waitMs;
    return true;
  }

  /** The attempt is over and another was planned. */
  again(held: HeldAnswer | undefined): void {
    this.#held = held ?? this.#held;
    this.#attempt = undefined;
    const waitMs = this.dueMs;
    if (waitMs === 0) {
      this.#try(this.#nextPlace, this.context.clock.now());
      return;
    }
    this.dueMs = this.context.deadlines.in(waitMs);
    this.context.deadlines.add(this);
  }

  /** No attempt follows, and nothing was passed on. */
  giveUp(reason: FailureReason, cause: Error | undefined): void {
    const { listener } = this;
    const { target } = this.#attempt!;
    this.#attempt = undefined;
    if (!this.#held) {
      listener.fail(new ProviderFailure(reason, target, this.#number, cause));
      return;
    }
    this.#giveHeld(this.#held);
  }

  #giveHeld({ status, statusText, headers, body }: HeldAnswer): void {
    const { listener } = this;
    listener.start(status, statusText, headers);
    if (body.length > 0) listener.data(body);
    listener.end();
  }

  #try(place: number, nowMs: number): void {
    const target = this.routed.plan.targets[place]!;
    const isNew = !isTried(this.#tried, place);
    const why = isNew ? this.routed.whyNot(target) : undefined;
    if (why instanceof Promise) void why.then((late) => this.#sendOrPass(place, late));
    else this.#sendOrPass(place, why, nowMs);
  }

  #sendOrPass(
    place: number,
    why: LoopscopeError | undefined,
    nowMs: number = this.context.clock.now(),
  ): void {
    if (this.#isCancelled) return;
    if (why) this.#pass(place, why, nowMs);
    else this.#send(place, nowMs);
  }

  /** The target's limits do not let it have the call. */
  #pass(place: number, why: LoopscopeError, nowMs: number): void {
    const { plan, gatewayKey } = this.routed;
    this.#passed |= 1 << place;
    const next = untriedTarget(plan.targets, this.#tried | this.#passed, gatewayKey, nowMs);
    if (next !== undefined) this.#try(next, nowMs);
    else if (this.#held) this.#giveHeld(this.#held);
    else this.listener.fail(why);
  }

  #send(place: number, nowMs: number): void {
    const { plan, request } = this.routed;
    const target = plan.targets[place]!;
    if (this.#number === 0 || !hadCall(plan.targets, this.#tried, target.budget)) target.budget.call(nowMs);
    this.#number++;
    this.#tried |= 1 << place;
    this.#nextPlace = place;
    const attempt = new Attempt(this, target, this.#number);
    this.#attempt = attempt;
    attempt.send(request(target, this.#number));
  }
}
