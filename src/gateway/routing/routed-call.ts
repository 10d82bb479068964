import type { Clock } from '../../clock.ts';
import type { LoopscopeError } from '../../errors.ts';
import type { Connections } from '../connections/connections.ts';
import type { ProviderRequest } from '../connections/exchange.ts';
import type { ProviderListener } from '../provider.ts';
import type { Deadlines } from './deadlines.ts';
import type { FailureReason, ProviderFailure } from './failure.ts';
import type { RoutingFigures } from './figures.ts';
import type { Plan } from './plan.ts';
import type { CallerTimeouts, RetryAdvice } from './retry.ts';
import type { CallPolicy } from './settings.ts';
import type { Outcome, Target } from './target.ts';

/** What a routed call is given, what it tells, and what an attempt and its call say to each other. */

/** What all calls share. */
export interface RoutingContext {
  connections: Connections;
  clock: Clock;
  deadlines: Deadlines;
  figures: RoutingFigures;
}

export interface RoutedCall {
  plan: Plan;
  /** Makes the request for a target; called for every attempt. */
  request: (target: Target, number: number) => ProviderRequest;
  /** Asked before each attempt: why it may not go to this target, which is passed over then; `undefined` where it may. */
  whyNot: (target: Target) => LoopscopeError | undefined | Promise<LoopscopeError | undefined>;
  /** Whether it may be carried out twice: a model call, or a request that changes nothing. */
  repeatable: boolean;
  /** Whether it is made with the gateway's keys. A rate limit of a caller's own key says nothing of the target. */
  gatewayKey: boolean;
  patience: CallerTimeouts;
  /** Which events of a stream say nothing yet; where given, they are held back while another attempt could follow. */
  isOpening?: ((data: string) => boolean) | undefined;
}

/** One attempt, as it is told of. What is not known yet is `undefined`. */
export interface AttemptNotice {
  readonly target: Target;
  /** From 1. */
  readonly number: number;
  readonly startNs: bigint;
  readonly endNs: bigint | undefined;
  readonly status: number | undefined;
  readonly outcome: Outcome | undefined;
  /** `undefined` for what was answered or cancelled. */
  readonly reason: FailureReason | undefined;
}

export interface RoutedListener extends Omit<ProviderListener, 'fail'> {
  attemptStarted?(attempt: AttemptNotice): void;
  /** The same object as when it started. Comes before the `end` or `fail` that follows from it. */
  attemptEnded?(attempt: AttemptNotice): void;
  /** No answer, or one that broke off: after `start` it is the latter. No target was asked where it is `whyNot`'s error. */
  fail(failure: ProviderFailure | LoopscopeError): void;
}

/** An answer that was kept, whole, in case that no better one comes. */
export interface HeldAnswer {
  status: number;
  statusText: string;
  headers: string[];
  body: Buffer;
}

/** The call, as its attempts see it. */
export interface AttemptOwner {
  readonly context: RoutingContext;
  readonly routed: RoutedCall;
  readonly listener: RoutedListener;
  readonly policy: CallPolicy;
  /** When the caller will have given up on an answer that has not begun. */
  readonly answerDueMs: number;
  readonly totalDueMs: number;
  /** Whether the number of attempts allows another. */
  readonly mayTryAgain: boolean;
  /** Decides, once for an attempt that failed, whether another follows. */
  plansAnother(reason: FailureReason, advice: RetryAdvice | undefined): boolean;
  /** The attempt is over, and the one that was planned may begin. */
  again(held: HeldAnswer | undefined): void;
  /** The attempt is over, no other was planned, and nothing was passed on. */
  giveUp(reason: FailureReason, cause: Error | undefined): void;
}
