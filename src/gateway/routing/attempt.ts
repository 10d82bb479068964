import type {
  ConnectionError,
  Exchange,
  ExchangeListener,
  ProviderRequest,
} from '../connections/exchange.ts';
import { beginsWithError, isEventStream } from './answer-head.ts';
import type { Ticket } from './breaker.ts';
import type { Timed } from './deadlines.ts';
import { type FailureReason, failureReason, isOurOwn, ProviderFailure } from './failure.ts';
import { OPENING_MS_MAX, type Opening, openingOf } from './opening.ts';
import { isRetryableStatus, retryAdvice } from './retry.ts';
import type { AttemptNotice, AttemptOwner } from './routed-call.ts';
import { PACE_WINDOW_MS, StreamPace } from './stream-pace.ts';
import type { Outcome, Target } from './target.ts';

/** Of an answer that may yet be the caller's, this much is kept; a larger one is thrown away. */
const HELD_BYTES_MAX = 64 * 1024;
/** The SDKs say their patience in whole seconds, and leave about then. */
const PATIENCE_SLACK_MS = 1_000;
/** How long an error's body may take to come before its connection is closed instead. */
const DRAIN_MS = 1_000;

const NEVER = Number.POSITIVE_INFINITY;

/**
 * One request to one target. It is its own listener to the connection and its own timeout, so that a call costs no closure
 * and no timer.
 *
 *     connecting → waiting → answering → over
 *                     └─────► draining ──┘    a failure with a body that is read to its end
 *
 * - The start of an answer is held back until its first byte came, for as long as another attempt could follow: a
 *   provider that accepts and then hangs or breaks off has answered nothing. Where the call wants it, so are a stream's
 *   events that say nothing yet.
 * - `settle` says once how the target did, `#end` once that the attempt is over. After that nothing is listened to.
 * - While the caller does not read, only the call's total time runs: that is not the provider's silence.
 */
export class Attempt implements ExchangeListener, Timed, AttemptNotice {
  readonly target: Target;
  readonly number: number;
  readonly startNs: bigint;
  endNs: bigint | undefined;
  status: number | undefined;
  outcome: Outcome | undefined;
  reason: FailureReason | undefined;
  dueMs = NEVER;
  place = -1;

  readonly #owner: AttemptOwner;
  readonly #ticket: Ticket;
  #phase: 'connecting' | 'waiting' | 'answering' | 'draining' | 'over' = 'connecting';
  #exchange: Exchange | undefined;
  #statusText = '';
  #headers: string[] = [];
  #gotData = false;
  #paused = false;
  #pace: StreamPace | undefined;
  #paceDueMs = NEVER;
  /** When it was heard last, and how long it may be silent. */
  #heardMs = 0;
  #silenceMsMax = 0;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** What came of a stream that has said nothing yet, and for how long it may wait. */
  #opening: Opening | undefined;
  #openingDueMs = NEVER;

  constructor(owner: AttemptOwner, target: Target, number: number) {
    this.#owner = owner;
    this.target = target;
    this.number = number;
    this.startNs = owner.context.clock.nowNs();
    this.#ticket = target.health.breaker.begin();
  }

  send(request: ProviderRequest): void {
    const { context, policy, listener } = this.#owner;
    listener.attemptStarted?.(this);
    this.#due(policy.connectMs);
    context.deadlines.add(this);
    this.#exchange = context.connections.send(this.target.endpoint, request, this);
  }

  resume(): void {
    if (!this.#paused || this.#isOver) return;
    this.#paused = false;
    if (this.#pace) {
      this.#pace.restart();
      this.#paceDueMs = this.#owner.context.deadlines.in(PACE_WINDOW_MS);
    }
    this.#due(this.#owner.policy.betweenTokensMs);
    this.#exchange?.resume();
  }

  /** Ends it at once. The listener hears that the attempt ended, and nothing else. */
  cancel(): void {
    if (this.#isOver) return;
    const { context, answerDueMs } = this.#owner;
    // One who waited for as long as it could did not change its mind: a provider that hangs would else never be
    // found out where callers are less patient than the settings.
    if (!this.#gotData && context.deadlines.nowMs >= answerDueMs - PATIENCE_SLACK_MS)
      this.#settle('failed', 'first_token_timeout');
    else this.#settle('cancelled', undefined);
    this.#end();
    this.#close();
  }

  sent(): void {
    this.#phase = 'waiting';
    this.#due(this.#owner.policy.firstTokenMs);
  }

  head(status: number, statusText: string, headers: string[]): void {
    this.status = status;
    this.#statusText = statusText;
    this.#headers = headers;
    if (status >= 400) this.#refusal(status);
    else if (!(this.#owner.mayTryAgain && this.#owner.routed.repeatable)) this.#passOn();
  }

  body(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#phase === 'draining') {
      this.#hold(chunk);
      return;
    }
    if (!this.#gotData) {
      this.#gotData = true;
      this.#firstByte(chunk);
      if (this.#isOver) return;
    }
    this.#pace?.took(chunk);
    if (!this.#opening) this.#deliver(chunk);
    else if (this.#opening.holds(chunk)) this.#due(this.#owner.policy.betweenTokensMs);
    else if (!this.#opening.failed || !this.#startsAnew()) this.#endOpening();
  }

  #deliver(chunk: Buffer): void {
    const { context, listener, policy, totalDueMs } = this.#owner;
    if (listener.data(chunk)) {
      if (this.#silenceMsMax === policy.betweenTokensMs) this.#heardMs = context.deadlines.in(0);
      else this.#due(policy.betweenTokensMs);
      return;
    }
    this.#paused = true;
    this.#paceDueMs = NEVER;
    this.dueMs = totalDueMs;
    this.#exchange?.pause();
  }

  end(): void {
    if (this.#isOver) return;
    if (this.#phase === 'draining') {
      this.#drained(true);
      return;
    }
    if (this.#opening) {
      this.#fail('cut', undefined);
      return;
    }
    if (this.#phase !== 'answering') this.#passOn();
    if (this.#isOver) return;
    this.#settle('answered', undefined);
    this.#end();
    this.#owner.listener.end();
  }

  failed(error: ConnectionError): void {
    const phase = this.#phase;
    if (phase === 'over') return;
    if (phase === 'draining') this.#drained(false);
    else this.#fail(failureReason(error, phase), error);
  }

  expire(): void {
    if (this.#phase === 'draining') {
      this.#drained(false);
      return;
    }
    const overdue = this.#overdue();
    if (overdue !== undefined) {
      this.#fail(overdue, undefined);
      return;
    }
    const { context, totalDueMs } = this.#owner;
    const { nowMs } = context.deadlines;
    if (nowMs >= this.#openingDueMs) this.#endOpening();
    if (this.#isOver) return;
    if (!this.#paused) {
      if (nowMs >= this.#paceDueMs) this.#paceDueMs = context.deadlines.in(PACE_WINDOW_MS);
      this.dueMs = Math.min(this.#silenceDueMs, this.#paceDueMs, this.#openingDueMs, totalDueMs);
    }
    context.deadlines.add(this);
  }

  /** What took too long; `undefined` where a window of the stream is over and it was fast enough, or its opening. */
  #overdue(): FailureReason | undefined {
    const { context, totalDueMs } = this.#owner;
    const { nowMs } = context.deadlines;
    if (nowMs >= totalDueMs) return 'total_timeout';
    if (this.#phase === 'connecting') return 'connect_timeout';
    if (!this.#gotData) return 'first_token_timeout';
    if (nowMs >= this.#silenceDueMs) return 'between_tokens_timeout';
    return nowMs >= this.#paceDueMs && this.#pace?.endWindow() ? 'too_slow' : undefined;
  }

  /** The answer has a status that says no. */
  #refusal(status: number): void {
    const { context, routed } = this.#owner;
    const advice = retryAdvice(this.#headers, context.clock.now());
    if (status === 429 && routed.gatewayKey)
      this.target.health.breaker.rateLimited(advice.afterMs ?? 0, context.clock.now());
    const reason = `http_${status}` as const;
    this.#settle(status === 429 ? 'rate_limited' : status < 500 ? 'refused' : 'failed', reason);
    if (!isRetryableStatus(status, advice.should) || !this.#owner.plansAnother(reason, advice)) {
      this.#passOn();
      return;
    }
    this.#phase = 'draining';
    this.#due(DRAIN_MS);
  }

  #hold(chunk: Buffer): void {
    this.#heldBytes += chunk.length;
    if (this.#heldBytes > HELD_BYTES_MAX) this.#drained(false);
    else this.#held.push(chunk);
  }

  /** All that will be read of a failure's body was; only a whole one can be passed on later. */
  #drained(whole: boolean): void {
    this.#end();
    if (!whole) this.#close();
    const status = this.status!;
    const body = Buffer.concat(this.#held);
    this.#owner.again(
      whole ? { status, statusText: this.#statusText, headers: this.#headers, body } : undefined,
    );
  }

  #firstByte(chunk: Buffer): void {
    const { context, routed, policy } = this.#owner;
    if (this.outcome === undefined && beginsWithError(chunk) && isEventStream(this.#headers)) {
      if (this.#startsAnew()) return;
    }
    if (routed.plan.measures && this.outcome === undefined)
      this.target.health.measured(Number(context.clock.nowNs() - this.startNs) / 1e6);
    if (policy.tokensPerSMin > 0 && isEventStream(this.#headers)) {
      this.#pace = new StreamPace(policy.tokensPerSMin);
      this.#paceDueMs = context.deadlines.in(PACE_WINDOW_MS);
    }
    if (this.#phase === 'answering') return;
    this.#opening = openingOf(routed.isOpening, this.#headers);
    if (this.#opening) this.#openingDueMs = context.deadlines.in(OPENING_MS_MAX);
    else this.#passOn();
  }

  /** Gives up a stream that is an error from its first words on, where another attempt follows. */
  #startsAnew(): boolean {
    this.#settle('failed', 'stream_error');
    if (this.#phase !== 'waiting' || !this.#owner.plansAnother('stream_error', undefined)) return false;
    this.#end();
    this.#close();
    this.#owner.again(undefined);
    return true;
  }

  /** Passes on what was held back of the stream; from now on it goes to the caller as it comes. */
  #endOpening(): void {
    const held = this.#opening!.bytes();
    this.#opening = undefined;
    this.#openingDueMs = NEVER;
    this.#passOn();
    if (!this.#isOver) this.#deliver(held);
  }

  #passOn(): void {
    this.#phase = 'answering';
    if (this.outcome === undefined) this.target.health.breaker.answered(this.#ticket);
    this.#owner.listener.start(this.status!, this.#statusText, this.#headers);
  }

  #fail(reason: FailureReason, error: Error | undefined): void {
    const owner = this.#owner;
    if (this.#phase === 'answering') {
      this.#settle('broken', reason);
      this.#end();
      this.#close();
      owner.listener.fail(new ProviderFailure(reason, this.target, this.number, error));
      return;
    }
    this.#settle('failed', reason);
    const another = reason !== 'total_timeout' && owner.plansAnother(reason, undefined);
    this.#end();
    this.#close();
    if (another) owner.again(undefined);
    else owner.giveUp(reason, error);
  }

  /** Says how the target did; what is known first holds. */
  #settle(outcome: Outcome, reason: FailureReason | undefined): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.reason = reason;
    const { breaker, outcomes } = this.target.health;
    const nowMs = this.#owner.context.clock.now();
    outcomes[outcome]++;
    // How long an answer may go on is the call's affair, and what cannot be sent is nobody's fault there.
    const isTargets = !isOurOwn(reason) && !(reason === 'total_timeout' && this.#gotData);
    if (outcome === 'answered') breaker.succeeded(this.#ticket, nowMs);
    else if ((outcome === 'failed' || outcome === 'broken') && isTargets) breaker.failed(this.#ticket, nowMs);
    else if (outcome === 'refused') breaker.answered(this.#ticket);
    else breaker.released(this.#ticket);
  }

  get #isOver(): boolean {
    return this.#phase === 'over';
  }

  #end(): void {
    const { context, listener } = this.#owner;
    this.#phase = 'over';
    this.endNs = context.clock.nowNs();
    context.deadlines.remove(this);
    listener.attemptEnded?.(this);
  }

  /** Lets go of the connection. */
  #close(): void {
    this.#exchange?.abort();
  }

  get #silenceDueMs(): number {
    return this.#heardMs + this.#silenceMsMax;
  }

  /** It may be silent for so long from now on. What comes puts that off, and `expire` finds out: a stream has many pieces. */
  #due(silenceMsMax: number): void {
    this.#heardMs = this.#owner.context.deadlines.in(0);
    this.#silenceMsMax = silenceMsMax;
    this.dueMs = Math.min(this.#silenceDueMs, this.#paceDueMs, this.#openingDueMs, this.#owner.totalDueMs);
  }
}
