import { LoopscopeError } from '../errors.ts';
import { toGatewayError } from './answer-error.ts';
import { type Asked, type Incoming, readAsked } from './asked.ts';
import { CallLimits } from './call-limits.ts';
import { CallerResponse } from './caller-response.ts';
import type { ProviderRequest } from './connections/exchange.ts';
import { type CallContext, configuredProvider, type Settings } from './context.ts';
import { EndOfTurn } from './end-of-turn.ts';
import { hasOwnKey, requestHeaders, withPlainAnswer } from './headers.ts';
import type { AnswerRecorder } from './idempotency/recording.ts';
import type { Outcome as Replayed } from './idempotency/replay.ts';
import { identify } from './identity.ts';
import { refusalError } from './limits/refusal.ts';
import type { GatewayError } from './protocol.ts';
import type { ProviderCall } from './provider.ts';
import { type EndedCall, recordCalls } from './record-call.ts';
import { type RequestPart, requestPart } from './request-part.ts';
import type { CallRoute } from './route.ts';
import { isEventStream } from './routing/answer-head.ts';
import { callTargets } from './routing/attempts.ts';
import type { Timed } from './routing/deadlines.ts';
import { ProviderFailure, toRefusal } from './routing/failure.ts';
import { replaceModel } from './routing/model-field.ts';
import { lacksKey } from './routing/next-target.ts';
import type { Plan } from './routing/plan.ts';
import { callerTimeouts } from './routing/retry.ts';
import type { AttemptNotice, RoutedListener } from './routing/routed-call.ts';
import type { Target } from './routing/target.ts';
import { StreamPieces } from './stream-pieces.ts';
import { openTap } from './tap/open.ts';
import type { Tap } from './tap/tap.ts';

/**
 * What takes calls. One request on its way:
 *
 *     who is calling → was it answered before? → may it? → which target → attempts → the answer, byte for byte → a span
 *
 * It throws what the caller is to be told when there is nothing to record of it.
 */
export function callHandler(context: CallContext): (route: CallRoute, incoming: Incoming) => Promise<void> {
  const turns = {
    begun: new EndOfTurn<Call>(describeCalls),
    ended: new EndOfTurn<Call>((calls) => recordCalls(context, calls)),
  };
  return async (route, incoming) => {
    const why = context.recorder.whyNot();
    if (why !== undefined) throw new LoopscopeError('overloaded', why);
    const startNs = context.clock.nowNs();
    const { identity, settings } = context;
    const keyHeaders = settings.providers.get(route.provider)?.api.keyHeaders;
    const found = identify(incoming.message.headers, route, identity, settings.strict, keyHeaders);
    const caller = found instanceof Promise ? await found : found;
    const asked = readAsked(context, route, incoming, caller, startNs);
    await new Call(context, incoming, asked, turns).begin();
  };
}

/**
 * A call under way. What happens first decides how it ended: `settle` is heard once. The last piece of an answer goes to
 * the caller when the span is on disk: of a stream that is its last event, of any other answer what came last.
 */
class Call implements RoutedListener, Timed, EndedCall {
  private readonly context: CallContext;
  /** As they were when it began. */
  readonly settings: Settings;
  private readonly incoming: Incoming;
  readonly asked: Asked;
  private readonly answer: CallerResponse;
  private readonly turns: Turns;
  readonly attempts: AttemptNotice[] = [];
  replayed: Replayed | undefined;
  limits: CallLimits | undefined;
  /** Whom to ask for more of the answer, and to tell that nobody wants it. */
  private provider: ProviderCall | undefined;
  status: number | undefined;
  private isStream = false;
  tap: Tap | undefined;
  /** Of a stream whose content is kept. */
  pieces: StreamPieces | undefined;
  firstChunkNs: bigint | undefined;
  /** What its span says of the request, once that was read. */
  private part: RequestPart | undefined;
  private state: 'under way' | 'settled' | 'recorded' = 'under way';
  /** How and when it ended, and what is to be done when that is on record. */
  errorType: string | undefined;
  endNs = 0n;
  private afterwards = () => {};
  private hasEnded = false;
  private hasLeft = false;
  /** While another gateway is asked whether it has the answer. */
  private isClaiming = false;
  /** For how long the end of an answer is waited for whose caller has left. */
  dueMs = 0;
  place = -1;
  /** Says whether nobody waits for it any more. Not the call itself: what limits remember would hold on to all of it. */
  private readonly signal = { aborted: false };
  /** Told when its span is on disk, or is known not to get there: whoever has the answer from a recording. */
  private onRecorded = () => {};

  constructor(context: CallContext, incoming: Incoming, asked: Asked, turns: Turns) {
    this.context = context;
    this.turns = turns;
    this.settings = context.settings;
    this.incoming = incoming;
    this.asked = asked;
    this.answer = new CallerResponse(incoming.response, () => this.provider?.resume());
    this.answer.ours['x-loopscope-trace'] = asked.traceId;
    if (asked.run) this.answer.ours['x-loopscope-run'] = asked.run.runId;
  }

  /** Leads it to its first attempt, or to a refusal. Throws bugs only. */
  async begin(): Promise<void> {
    const { response } = this.incoming;
    this.context.unrecorded.begin();
    response.on('close', () => this.callerLeft());
    if (response.destroyed) this.callerLeft();
    if (this.hasLeft) return;
    try {
      // Not even an answer that costs nothing: a loop that was stopped is to do no more.
      const stopped = this.context.limiter.stopped({
        loop: this.asked.caller.loop,
        runId: this.asked.run?.runId,
      });
      if (stopped) throw refusalError(stopped);
      const replayed = this.replay();
      this.isClaiming = replayed instanceof Promise;
      this.replayed = replayed instanceof Promise ? await replayed : replayed;
      this.isClaiming = false;
      if (this.replayed?.kind === 'refused') throw this.replayed.error;
      if (this.replayed) {
        Object.assign(this.answer.ours, this.replayed.headers);
        this.provider = this.replayed.reader;
        if (this.hasLeft) this.replayed.reader.hangUp();
        this.replayed.reader.play(this);
        if (this.replayed.kind === 'follow') return;
      }
      const gatewayKey = this.needsGatewayKey();
      const plan = this.plan(gatewayKey);
      this.limits = new CallLimits(this.context, {
        asked: this.asked,
        bodyBytes: this.incoming.body?.length ?? 0,
        plan,
        prices: this.settings.prices,
        signal: this.signal,
        onRetryAfter: (seconds) => {
          this.answer.ours['retry-after'] = String(seconds);
        },
      });
      const why = this.limits.admit();
      const refused = why instanceof Promise ? await why : why;
      if (refused) throw refused;
      if (this.state === 'under way') this.ask(plan, this.limits, gatewayKey);
      // Its caller left while it waited for its turn.
      else this.limits.release();
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      // Those who wait for the same answer are told the same.
      if (this.replayed?.kind === 'first') this.replayed.recorder.fail(error);
      else this.refuse(error, error.code);
    }
  }

  private replay(): ReturnType<CallContext['replay']['begin']> {
    const { route, caller, method, json, traceId, spanId } = this.asked;
    const { message, body } = this.incoming;
    return this.context.replay.begin(
      {
        provider: route.provider,
        protocol: route.protocol,
        loop: caller.loop,
        method,
        path: route.path + route.query,
        headers: message.headers,
        body,
        json,
        virtualKey: caller.virtualKey,
        // A probe, and a replay, asks what the model says now.
        cacheTtlS:
          caller.probe === undefined && caller.replay === undefined
            ? caller.definition?.cache?.ttl_s
            : undefined,
      },
      { traceId, spanId },
    );
  }

  /** Whether it is made with the gateway's key: the caller came with a virtual one only. */
  private needsGatewayKey(): boolean {
    const { route, caller } = this.asked;
    const { api } = configuredProvider(this.settings, route.provider);
    return caller.virtualKey && !hasOwnKey(this.incoming.message.headers, api);
  }

  /** Where it may go. Throws where there is no target that could be asked. */
  private plan(gatewayKey: boolean): Plan {
    const { route, caller, request } = this.asked;
    const plan = this.context.router.plan({
      model: request?.model,
      loopModels: caller.definition?.models,
      provider: route.provider,
      gatewayKey,
    });
    if (gatewayKey) requireKey(plan);
    return plan;
  }

  /** Asks a target for the answer. */
  private ask(plan: Plan, limits: CallLimits, gatewayKey: boolean): void {
    const { context, asked } = this;
    const { caller, operation, method } = asked;
    const first = this.replayed?.kind === 'first' ? this.replayed.recorder : undefined;
    const to = first ? this.feed(first) : this;
    const call = callTargets(
      context.routing,
      {
        plan,
        request: (target) => this.requestFor(target, gatewayKey),
        whyNot: (target) => limits.admitTarget(target),
        repeatable: operation !== undefined || method === 'GET' || method === 'HEAD',
        gatewayKey,
        patience: callerTimeouts(this.incoming.message.headers),
        isOpening: caller.definition?.on_broken_stream === 'restart' ? operation?.isOpening : undefined,
      },
      to,
    );
    if (first) first.drivenBy(call);
    else this.provider = call;
    this.turns.begun.add(this);
    // It may have left while the call was put together.
    if (this.hasLeft && !first) call.cancel();
  }

  private requestFor(target: Target, gatewayKey: boolean): ProviderRequest {
    const { route, operation, method, request } = this.asked;
    const { api } = configuredProvider(this.settings, target.provider);
    const { body, message } = this.incoming;
    const headers = requestHeaders(
      message.rawHeaders,
      api,
      gatewayKey ? (target.endpoint.apiKey ?? '') : undefined,
    );
    return {
      method,
      path: route.path + api.query(route.query),
      headers: request?.stream ? withPlainAnswer(headers) : headers,
      body: operation && body && target.model !== undefined ? replaceModel(body, target.model) : body,
    };
  }

  /**
   * What comes is read here and given out by the recording, to this caller as to the others. Nobody has the whole answer
   * before the call that used something is on record, however slow its own caller reads.
   */
  private feed(recorder: AnswerRecorder): RoutedListener {
    const end = () => {
      this.settle();
      if (this.state === 'recorded') recorder.end();
      else this.onRecorded = () => recorder.end();
    };
    return {
      start: (status, statusText, headers) => {
        this.hear(status, headers);
        recorder.start(status, statusText, headers);
      },
      data: (chunk) => {
        this.read(chunk);
        if (this.isStream && this.tap?.isComplete) this.settle();
        return recorder.data(chunk);
      },
      end: () => {
        if (!this.isShort) return end();
        recorder.discard();
        recorder.end();
      },
      // The last event of a stream has come: the answer is whole, however its connection ends.
      fail: (failure) => (this.state === 'under way' ? recorder.fail(failure) : end()),
      attemptStarted: (attempt) => this.attemptStarted(attempt),
    };
  }

  /** Reads what the answer begins with. */
  private hear(status: number, headers: string[]): void {
    const { route, operation, caller } = this.asked;
    this.status = status;
    this.isStream = isEventStream(headers);
    const capture = caller.definition?.capture ?? 'full';
    this.pieces =
      this.isStream && capture !== 'off' ? new StreamPieces(Number(this.asked.startNs) / 1e6) : undefined;
    this.tap = openTap({
      protocol: route.protocol,
      operation,
      content: capture !== 'off' || caller.role === 'checker',
      status,
      contentType: headerOf(headers, 'content-type'),
      contentEncoding: headerOf(headers, 'content-encoding'),
    });
  }

  private read(chunk: Buffer): void {
    const { clock } = this.context;
    this.firstChunkNs ??= clock.nowNs();
    this.tap?.write(chunk);
    this.pieces?.add(clock.now(), this.tap!.textChars);
  }

  attemptStarted(attempt: AttemptNotice): void {
    this.attempts.push(attempt);
  }

  start(status: number, statusText: string, headers: string[]): void {
    if (this.replayed?.kind !== 'first') this.hear(status, headers);
    // A stream's first words may be long in coming: its caller learns now that it was accepted.
    this.answer.start(status, statusText, headers, this.isStream);
  }

  data(chunk: Buffer): boolean {
    const { answer, tap } = this;
    if (this.replayed?.kind !== 'first') this.read(chunk);
    if (this.state === 'recorded') return answer.write(chunk);
    if (this.isStream && !tap?.isComplete) return answer.writeEvents(chunk, tap?.isBetweenEvents ?? true);
    const goesOn = answer.hold(chunk);
    if (this.isStream) this.settle();
    return goesOn;
  }

  /** Whether what came so far is a stream that did not say that it was over. */
  private get isShort(): boolean {
    const mayBe = this.state === 'under way' && this.isStream && this.status! < 400;
    return mayBe && this.tap?.endsShort() === true;
  }

  end(): void {
    if (this.isShort) {
      this.breakOff(INTERRUPTED);
      return;
    }
    this.hasEnded = true;
    this.settle();
    if (this.state === 'recorded') this.answer.release(true);
  }

  fail(failure: Error): void {
    // The last event of a stream has come: the answer is whole, however its connection ends.
    if (this.state !== 'under way') {
      this.end();
      return;
    }
    const refusal = failure instanceof ProviderFailure ? toRefusal(failure) : failure;
    if (!this.answer.hasBegun && !this.hasLeft) {
      if (refusal instanceof LoopscopeError) this.refuse(refusal, errorTypeOf(failure));
      else this.refuse(new LoopscopeError('provider_unreachable', refusal.message), 'connection_error');
      return;
    }
    const told = toGatewayError(refusal);
    this.breakOff(told?.code === 'provider_timeout' ? told : INTERRUPTED);
  }

  private breakOff(error: GatewayError): void {
    const event = this.tap?.errorEvent(error);
    this.settle('stream_interrupted', () => this.answer.breakOff(event));
  }

  private callerLeft(): void {
    if (this.incoming.response.writableFinished) return;
    this.hasLeft = true;
    this.answer.left();
    if (this.isClaiming) return;
    // What was generated is paid for, and what it came to is told at the end, which is on its way.
    if (this.state === 'under way' && this.tap?.isGenerated()) {
      const { deadlines } = this.context.routing;
      this.dueMs = deadlines.in(HEARD_OUT_MS);
      deadlines.add(this);
      this.provider?.resume();
    } else this.leave();
  }

  /** The end did not come in time. */
  expire(): void {
    this.leave();
  }

  private leave(): void {
    // Others may wait for the same answer, and then the call goes on, to be told to its end.
    if (this.replayed?.kind === 'first') {
      this.replayed.reader.hangUp();
      return;
    }
    this.settle('client_disconnected');
    this.provider?.cancel();
  }

  private refuse(error: LoopscopeError, errorType: string): void {
    this.context.metrics.refused(error.code);
    this.status = error.status;
    this.settle(errorType, () => this.answer.refuse(this.asked.route.protocol, toGatewayError(error)!));
  }

  /** Ends the call, once, by recording it; `then` is done when the record is on disk. */
  private settle(errorType?: string, then = () => this.answer.release(this.hasEnded)): void {
    if (this.state !== 'under way') return;
    this.state = 'settled';
    this.signal.aborted = true;
    this.context.routing.deadlines.remove(this);
    this.errorType = this.hasLeft ? 'client_disconnected' : errorType;
    this.afterwards = then;
    this.endNs = this.context.clock.nowNs();
    this.turns.ended.add(this);
  }

  describe(): RequestPart {
    this.part ??= requestPart(this.asked);
    this.asked.json = undefined;
    return this.part;
  }

  /** Its span is on disk, or will not be: the caller gets what was held back, or nothing more. */
  recorded(isRecorded: boolean): void {
    this.state = 'recorded';
    try {
      if (isRecorded) this.afterwards();
      else this.answer.destroy();
    } catch (error) {
      this.context.log.error({ err: error }, 'an answer could not be sent on');
      this.answer.destroy();
    }
    this.onRecorded();
  }
}

/** Calls that are on their way, and those that are over: each kind is looked at when the event loop has heard all that is new. */
interface Turns {
  begun: EndOfTurn<Call>;
  ended: EndOfTurn<Call>;
}

/** The larger part of a span is made while the provider works, as nobody waits for it then. */
function describeCalls(calls: readonly Call[]): void {
  for (const call of calls)
    try {
      call.describe();
    } catch {
      // it comes up again when the call is recorded, and is told there
    }
}

/** Nothing is generated any more: the end comes at once, or the connection hangs. */
const HEARD_OUT_MS = 2_000;

const INTERRUPTED = {
  status: 502,
  code: 'provider_unreachable',
  message: 'The provider broke off in the middle of its answer.',
  retryable: true,
};

function headerOf(raw: readonly string[], name: string): string {
  for (let i = 0; i + 1 < raw.length; i += 2)
    if (raw[i]!.length === name.length && raw[i]!.toLowerCase() === name) return raw[i + 1]!;
  return '';
}

/** `error.type` of a call that no provider answered. */
function errorTypeOf(failure: Error): string {
  if (failure instanceof LoopscopeError) return failure.code;
  if (!(failure instanceof ProviderFailure)) return 'connection_error';
  return /timeout|too_slow/.test(failure.reason) ? 'timeout' : 'connection_error';
}

/** Throws when the gateway was to use its own key and no target has one. */
function requireKey({ targets }: Plan): void {
  if (!targets.every(lacksKey)) return;
  const { provider, endpoint } = targets[0]!;
  throw new LoopscopeError(
    'provider_key_missing',
    `A Loopscope key was accepted, but the gateway has no key for ${provider} to call it with. ` +
      `Set ${endpoint.apiKeyEnv} in the gateway's environment, or \`providers.${provider}.api_key_env\`, and restart it.`,
  );
}
