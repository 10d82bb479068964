import type { IncomingMessage, ServerResponse } from 'node:http';
import { LoopscopeError } from '../errors.ts';
import type { LoopDefinition } from '../registry/loop.ts';
import { answerError, toGatewayError } from './answer-error.ts';
import { attemptSpans } from './attempt-span.ts';
import { callSpan } from './call-span.ts';
import type { CallContext, ConfiguredProvider, Settings } from './context.ts';
import { hasOwnKey, reasonPhrase, requestHeaders, responseHeaders } from './headers.ts';
import type { AnswerRecorder } from './idempotency/recording.ts';
import type { Outcome as Replayed } from './idempotency/replay.ts';
import { type Caller, identify, roleOf } from './identity.ts';
import { type Refusal, refusalError } from './limits/refusal.ts';
import type { Reservation } from './limits/reservation.ts';
import { pathPattern } from './path-pattern.ts';
import type { GatewayError, Operation, RequestFacts } from './protocol.ts';
import type { ProviderCall, ProviderListener, ProviderRequest } from './provider.ts';
import type { CallRoute } from './route.ts';
import { isEventStream } from './routing/answer-head.ts';
import { callTargets } from './routing/attempts.ts';
import type { Timed } from './routing/deadlines.ts';
import { type FailureReason, ProviderFailure, toRefusal } from './routing/failure.ts';
import { replaceModel } from './routing/model-field.ts';
import { lacksKey } from './routing/next-target.ts';
import type { Plan } from './routing/plan.ts';
import { callerTimeouts } from './routing/retry.ts';
import type { AttemptNotice } from './routing/routed-call.ts';
import type { Target } from './routing/target.ts';
import { isSubAgent, type OpenRun } from './runs.ts';
import { openTap, type Tap, type TapResult } from './tap.ts';

interface Incoming {
  message: IncomingMessage;
  body: Buffer | undefined;
  response: ServerResponse;
}

/**
 * One request on its way:
 *
 *     who is calling → was it answered before? → may it? → which target → attempts → the answer, byte for byte → a span
 *
 * Throws what the caller is to be told when there is nothing to record of it.
 */
export async function handleCall(context: CallContext, route: CallRoute, incoming: Incoming): Promise<void> {
  const why = context.recorder.whyNot();
  if (why !== undefined) throw new LoopscopeError('overloaded', why);
  const startNs = context.clock.nowNs();
  const { identity, settings } = context;
  const keyHeaders = settings.providers.get(route.provider)?.api.keyHeaders;
  const caller = await identify(
    incoming.message.headers,
    { ...route, keyHeaders },
    identity,
    settings.strict,
  );
  await new Call(context, route, incoming, caller, startNs).begin();
}

/**
 * A call under way. What happens first decides how it ended: `settle` is heard once. The last piece of an answer goes to
 * the caller when the span is on disk: of a stream that is its last event, of any other answer what came last.
 */
class Call implements ProviderListener, Timed {
  private readonly context: CallContext;
  /** As they were when it began. */
  private readonly settings: Settings;
  private readonly route: CallRoute;
  private readonly incoming: Incoming;
  private readonly method: string;
  private readonly caller: Caller;
  private readonly startNs: bigint;
  private readonly operation: Operation | undefined;
  private readonly json: unknown;
  private readonly request: RequestFacts | undefined;
  private readonly run: OpenRun | undefined;
  private readonly traceId: string;
  private readonly spanId: string;
  private readonly isNested: boolean;
  /** What we add to the answer's headers. */
  private readonly ours: Record<string, string>;
  private readonly attempts: AttemptNotice[] = [];
  private replayed: Replayed | undefined;
  private reservation: Reservation | undefined;
  /** Whom to ask for more of the answer, and to tell that nobody wants it. */
  private provider: ProviderCall | undefined;
  private status: number | undefined;
  private statusText = '';
  private rawHeaders: string[] = [];
  private isStream = false;
  private tap: Tap | undefined;
  private firstChunkNs: bigint | undefined;
  private held: Buffer | undefined;
  private state: 'under way' | 'settled' | 'recorded' = 'under way';
  private hasEnded = false;
  private hasLeft = false;
  /** While another gateway is asked whether it has the answer. */
  private isClaiming = false;
  /** For how long the end of an answer is waited for whose caller has left. */
  dueMs = 0;
  place = -1;
  /** Resolves when its span is on disk, or is known not to get there. */
  private readonly recorded = Promise.withResolvers<void>();

  constructor(context: CallContext, route: CallRoute, incoming: Incoming, caller: Caller, startNs: bigint) {
    this.context = context;
    this.settings = context.settings;
    this.route = route;
    this.incoming = incoming;
    this.method = incoming.message.method ?? 'GET';
    this.caller = caller;
    this.startNs = startNs;
    const { runs, clock } = context;
    this.operation = route.protocol.operation(this.method, route.path);
    this.json = this.operation && parseBody(incoming.body);
    this.request = this.operation?.readRequest(this.json);
    const { loop, remote, definition, parentAgent } = caller;
    // A request that is no model call joins a run and opens none: a look at the list of models is no work.
    const runId = caller.runId ?? (this.operation ? runs.implicitRun(loop) : runs.openImplicitRun(loop));
    const registered = definition !== undefined;
    this.run =
      runId === undefined
        ? undefined
        : runs.touch({ loop, runId, registered, traceId: remote?.traceId }, startNs);
    this.isNested =
      parentAgent !== undefined &&
      (roleOf(definition, parentAgent, undefined) === 'sub' ||
        (this.run !== undefined && isSubAgent(this.run, parentAgent)));
    if (this.isNested && this.settings.nestedAgents === 'refuse') throw nested(caller);
    if (this.run) runs.callStarted(this.run);
    this.traceId = remote?.traceId ?? this.run?.traceId ?? clock.randomHex(16);
    this.spanId = clock.randomHex(8);
    this.ours = { 'x-loopscope-trace': this.traceId };
    if (this.run) this.ours['x-loopscope-run'] = this.run.runId;
  }

  /** Leads it to its first attempt, or to a refusal. Throws bugs only. */
  async begin(): Promise<void> {
    const { response } = this.incoming;
    this.context.unrecorded.add(this.recorded.promise);
    // A caller that is gone in the middle of a write is told of by `close`, which follows.
    response.on('error', () => {});
    response.on('close', () => this.callerLeft());
    if (response.destroyed) this.callerLeft();
    if (this.hasLeft) return;
    try {
      // Not even an answer that costs nothing: a loop that was stopped is to do no more.
      const stopped = this.context.limiter.stopped({ loop: this.caller.loop, runId: this.run?.runId });
      if (stopped) throw this.limited(stopped);
      const replayed = this.replay();
      this.isClaiming = replayed instanceof Promise;
      this.replayed = replayed instanceof Promise ? await replayed : replayed;
      this.isClaiming = false;
      if (this.replayed?.kind === 'refused') throw this.replayed.error;
      if (this.replayed) {
        Object.assign(this.ours, this.replayed.headers);
        this.provider = this.replayed.reader;
        if (this.hasLeft) this.replayed.reader.hangUp();
        this.replayed.reader.play(this);
        if (this.replayed.kind === 'follow') return;
      }
      await this.admit();
      if (this.state === 'under way') this.ask();
      // Its caller left while it waited for its turn.
      else if (this.reservation) void this.context.limiter.release(this.reservation);
    } catch (error) {
      if (!(error instanceof LoopscopeError)) throw error;
      // Those who wait for the same answer are told the same.
      if (this.replayed?.kind === 'first') this.replayed.recorder.fail(error);
      else this.refuse(error, error.code);
    }
  }

  private replay(): ReturnType<CallContext['replay']['begin']> {
    const { route, caller, incoming, method, json, traceId, spanId } = this;
    return this.context.replay.begin(
      {
        provider: route.provider,
        protocol: route.protocol,
        loop: caller.loop,
        method,
        path: route.path + route.query,
        headers: incoming.message.headers,
        body: incoming.body,
        json,
        virtualKey: caller.virtualKey,
        cacheTtlS: caller.definition?.cache?.ttl_s,
      },
      { traceId, spanId },
    );
  }

  /** Holds what the call may come to. Throws what its limits say. */
  private async admit(): Promise<void> {
    const { operation, request, caller, route, run, incoming } = this;
    if (!operation || !request) return;
    const { limiter, clock } = this.context;
    const bytes = incoming.body?.length ?? 0;
    const { prices } = this.settings;
    const outcome = limiter.reserve({
      loop: caller.loop,
      agent: caller.agent,
      runId: run?.runId,
      team: caller.definition?.team,
      provider: route.provider,
      model: request.model,
      estimate: prices.estimate(route.provider, request.model, request, bytes, clock.now()),
      signal: this,
    });
    const decided = outcome instanceof Promise ? await outcome : outcome;
    if (!decided.granted) throw this.limited(decided);
    this.reservation = decided;
  }

  /** Whether nobody waits for it any more. */
  get aborted(): boolean {
    return this.state !== 'under way';
  }

  private limited(refusal: Refusal): LoopscopeError {
    if (refusal.retryAfterS !== undefined) this.ours['retry-after'] = String(refusal.retryAfterS);
    return refusalError(refusal);
  }

  /** Asks a target for the answer. Throws where there is none that could be asked. */
  private ask(): void {
    const { route, caller, incoming, operation, context } = this;
    const { headers } = incoming.message;
    const { api } = this.configured(route.provider);
    const gatewayKey = caller.virtualKey && !hasOwnKey(headers, api);
    const plan = context.router.plan({
      model: this.request?.model,
      loopModels: caller.definition?.models,
      provider: route.provider,
      gatewayKey,
    });
    if (gatewayKey) requireKey(plan);
    const first = this.replayed?.kind === 'first' ? this.replayed.recorder : undefined;
    const to: ProviderListener = first ? this.feed(first) : this;
    const call = callTargets(
      context.routing,
      {
        plan,
        request: (target) => this.requestFor(target, gatewayKey),
        repeatable: operation !== undefined || this.method === 'GET' || this.method === 'HEAD',
        gatewayKey,
        patience: callerTimeouts(headers),
        isOpening: caller.definition?.on_broken_stream === 'restart' ? operation?.isOpening : undefined,
      },
      {
        start: (status, statusText, raw) => to.start(status, statusText, raw),
        data: (chunk) => to.data(chunk),
        end: () => to.end(),
        fail: (failure) => to.fail(failure),
        attemptStarted: (attempt) => void this.attempts.push(attempt),
      },
    );
    if (first) first.drivenBy(call);
    else this.provider = call;
    // It may have left while the call was put together.
    if (this.hasLeft && !first) call.cancel();
  }

  private requestFor(target: Target, gatewayKey: boolean): ProviderRequest {
    const { route, incoming, operation } = this;
    const { api } = this.configured(target.provider);
    const { body, message } = incoming;
    return {
      method: this.method,
      path: route.path + api.query(route.query),
      headers: requestHeaders(
        message.rawHeaders,
        api,
        gatewayKey ? (target.endpoint.apiKey ?? '') : undefined,
      ),
      body: operation && body && target.model !== undefined ? replaceModel(body, target.model) : body,
    };
  }

  private configured(provider: string): ConfiguredProvider {
    const known = this.settings.providers.get(provider);
    if (known) return known;
    throw new LoopscopeError('provider_unknown', `No provider is called ${JSON.stringify(provider)}.`);
  }

  /**
   * What comes is read here and given out by the recording, to this caller as to the others. Nobody has the whole answer
   * before the call that used something is on record, however slow its own caller reads.
   */
  private feed(recorder: AnswerRecorder): ProviderListener {
    const end = () => {
      this.settle();
      void this.recorded.promise.then(() => recorder.end());
    };
    return {
      start: (status, statusText, headers) => {
        this.hear(status, statusText, headers);
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
    };
  }

  private hear(status: number, statusText: string, headers: string[]): void {
    this.status = status;
    this.statusText = statusText;
    this.rawHeaders = headers;
    const contentType = headerOf(headers, 'content-type');
    this.isStream = isEventStream(headers);
    this.tap = openTap({
      protocol: this.route.protocol,
      operation: this.operation,
      content: (this.caller.definition?.capture ?? 'full') !== 'off' || this.caller.role === 'checker',
      status,
      contentType,
      contentEncoding: headerOf(headers, 'content-encoding'),
    });
  }

  private read(chunk: Buffer): void {
    this.firstChunkNs ??= this.context.clock.nowNs();
    this.tap?.write(chunk);
  }

  start(status: number, statusText: string, headers: string[]): void {
    if (this.replayed?.kind !== 'first') this.hear(status, statusText, headers);
    // A stream's first words may be long in coming: its caller learns now that it was accepted.
    if (this.isStream && !this.hasLeft) {
      this.writeHead();
      this.incoming.response.flushHeaders();
    }
  }

  data(chunk: Buffer): boolean {
    if (this.replayed?.kind !== 'first') this.read(chunk);
    if (this.state === 'recorded') return this.write(chunk);
    if (this.isStream && !this.tap?.isComplete) return this.writeEvents(chunk);
    const goesOn = this.held === undefined || this.write(this.held);
    this.held = chunk;
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
    if (this.state === 'recorded') this.release();
  }

  fail(failure: Error): void {
    const { response } = this.incoming;
    // The last event of a stream has come: the answer is whole, however its connection ends.
    if (this.state !== 'under way') {
      this.end();
      return;
    }
    const refusal = failure instanceof ProviderFailure ? toRefusal(failure) : failure;
    if (!response.headersSent && this.held === undefined && !this.hasLeft) {
      if (refusal instanceof LoopscopeError) this.refuse(refusal, errorTypeOf(failure));
      else this.refuse(new LoopscopeError('provider_unreachable', refusal.message), 'connection_error');
      return;
    }
    const told = toGatewayError(refusal);
    this.breakOff(told?.code === 'provider_timeout' ? told : INTERRUPTED);
  }

  /**
   * Closing it in good order would tell the caller that the answer is whole: its SDK is told in its own words, where
   * the protocol has some, and the connection breaks off.
   */
  private breakOff(error: GatewayError): void {
    const { response } = this.incoming;
    const event = this.tap?.errorEvent(error);
    const rest = event && this.held ? wholeEvents(this.held) : NO_BYTES;
    this.settle('stream_interrupted', () => {
      if (event && !response.destroyed)
        response.write(Buffer.concat([rest, event]), () => response.destroy());
      else response.destroy();
    });
  }

  private callerLeft(): void {
    if (this.incoming.response.writableFinished) return;
    this.hasLeft = true;
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

  private writeHead(): void {
    const { response } = this.incoming;
    response.sendDate = false;
    response.writeHead(
      this.status!,
      reasonPhrase(this.statusText),
      responseHeaders(this.rawHeaders, this.ours),
    );
  }

  /**
   * Passes a stream on in whole events, as far as they are not larger than `HELD_EVENT_BYTES_MAX`: to a caller who has
   * half of one nothing can be said any more when the stream breaks.
   */
  private writeEvents(chunk: Buffer): boolean {
    const { held, tap } = this;
    const isWhole = tap === undefined || tap.isBetweenEvents;
    if (isWhole && held === undefined) return this.write(chunk);
    const bytes = held === undefined ? chunk : Buffer.concat([held, chunk]);
    if (!isWhole && bytes.length <= HELD_EVENT_BYTES_MAX) {
      this.held = bytes;
      return true;
    }
    this.held = undefined;
    return this.write(bytes);
  }

  /** Gives `false` when the caller takes no more for now; then the provider waits until it does. */
  private write(chunk: Buffer): boolean {
    if (this.hasLeft) return true;
    const { response } = this.incoming;
    if (!response.headersSent) this.writeHead();
    if (response.write(chunk)) return true;
    response.once('drain', () => this.provider?.resume());
    return false;
  }

  private refuse(error: LoopscopeError, errorType: string): void {
    this.context.metrics.refused(error.code);
    this.status = error.status;
    this.settle(errorType, () => {
      if (!this.hasLeft)
        answerError(this.incoming.response, this.route.protocol, toGatewayError(error)!, this.ours);
    });
  }

  /** The answer's last piece, and its end where that has come. */
  private release(): void {
    const { response } = this.incoming;
    const { held } = this;
    this.held = undefined;
    if (response.destroyed) return;
    if (!this.hasEnded) {
      if (held) this.write(held);
      return;
    }
    if (response.headersSent || held === undefined || held.length > ONE_WRITE_BYTES_MAX) {
      if (!response.headersSent) this.writeHead();
      response.end(held);
      return;
    }
    // As text it goes out in one piece with its head, which is cheaper; a byte is a character of Latin-1.
    this.writeHead();
    response.end(held.toString('latin1'), 'latin1');
  }

  /** Ends the call, once, by recording it; `then` is done when the record is on disk. */
  private settle(errorType?: string, then: () => void = () => this.release()): void {
    if (this.state !== 'under way') return;
    this.state = 'settled';
    this.context.routing.deadlines.remove(this);
    const { context, run, caller, startNs } = this;
    const { runs, log, unrecorded } = context;
    const endNs = context.clock.nowNs();
    const { agent: name, parentAgent: parent, role } = caller;
    const parentRole = parent === undefined ? undefined : roleOf(caller.definition, parent, undefined);
    if (run) runs.callEnded(run, { name, parent, role, parentRole }, startNs, endNs);
    this.record(endNs, this.hasLeft ? 'client_disconnected' : errorType)
      .catch((error: Error) => {
        log.error({ err: error }, 'a call could not be recorded');
        return false;
      })
      .then((isRecorded) => {
        unrecorded.delete(this.recorded.promise);
        this.recorded.resolve();
        this.state = 'recorded';
        if (isRecorded) then();
        else this.incoming.response.destroy(); // nobody gets an answer that is on no record
      });
  }

  private async record(endNs: bigint, errorType: string | undefined): Promise<boolean> {
    const { context, caller, request, attempts, replayed } = this;
    const read = this.tap?.end() ?? NOTHING_READ;
    const tap = read instanceof Promise ? await read : read;
    if (tap.skipped) context.metrics.unread(tap.skipped);
    const isFollower = replayed?.kind === 'follow';
    if (replayed?.kind === 'first' && (tap.errorType !== undefined || tap.answer?.complete === false))
      replayed.recorder.discard();
    const target = attempts.at(-1)?.target;
    const provider = target?.provider ?? this.route.provider;
    const { api, endpoint } = this.configured(provider);
    const endMs = context.clock.now();
    // Whoever got the answer of another call used nothing.
    const usage = isFollower ? undefined : tap.answer?.usage;
    const model = tap.answer?.model ?? target?.model ?? request?.model;
    const costUsd = usage && this.settings.prices.costUsd(provider, model, usage, endMs);
    this.settleReservation(tap, costUsd);
    const span = callSpan({
      method: this.method,
      route: this.route,
      operation: this.operation?.name,
      providerName: api.telemetryName,
      endpoint: target?.endpoint ?? endpoint,
      caller,
      isNested: this.isNested,
      run: this.run,
      traceId: this.traceId,
      spanId: this.spanId,
      request,
      startNs: this.startNs,
      endNs,
      firstChunkNs: this.firstChunkNs,
      status: this.status,
      errorType,
      tap,
      usage,
      costUsd,
      attempts: attempts.length,
      origin: isFollower ? replayed.reader.origin : undefined,
    });
    this.count(api.telemetryName, span.error, endNs, usage);
    return await context.recorder.record([span, ...attemptSpans(span, attempts)]);
  }

  /** What the call came to takes the place of what was held for it. */
  private settleReservation({ answer }: TapResult, costUsd: number | undefined): void {
    const { reservation, attempts } = this;
    if (!reservation) return;
    const { limiter } = this.context;
    const last = attempts.at(-1);
    if (!last) void limiter.release(reservation);
    else if (usedNothing(last)) void limiter.settle(reservation, NOTHING_USED);
    // A provider works on, and bills, what its caller does not wait for: what is not known counts as it was reserved.
    else void limiter.settle(reservation, { costUsd, ...NO_TOKENS, ...answer?.usage });
  }

  private count(
    provider: string,
    errorType: string | undefined,
    endNs: bigint,
    usage: NonNullable<TapResult['answer']>['usage'] | undefined,
  ): void {
    const { metrics, inference, log } = this.context;
    const { status, startNs, firstChunkNs, operation, request, caller, run, traceId } = this;
    metrics.request(this.route.provider, status ?? 0);
    const seconds = Number(endNs - startNs) / 1e9;
    if (operation)
      inference.add({
        operation: operation.name,
        provider,
        model: request?.model,
        errorType,
        seconds,
        firstChunkSeconds: firstChunkNs === undefined ? undefined : Number(firstChunkNs - startNs) / 1e9,
        usage,
      });
    if (this.settings.accessLog)
      log.info(
        {
          loop: caller.loop,
          run: run?.runId,
          agent: caller.agent,
          method: this.method,
          path: pathPattern(this.route.path),
          provider,
          model: request?.model,
          status,
          error: errorType,
          seconds,
          attempts: this.attempts.length,
          trace: traceId,
        },
        'call',
      );
  }
}

const NO_BYTES = Buffer.alloc(0);
/** Nothing is generated any more: the end comes at once, or the connection hangs. */
const HEARD_OUT_MS = 2_000;
/** An event that is larger goes to the caller as it comes. */
const HELD_EVENT_BYTES_MAX = 64 * 1024;

/** Longer answers gain nothing by it. */
const ONE_WRITE_BYTES_MAX = 8 * 1024;
const NOTHING_READ: TapResult = {};
const NOTHING_USED = { costUsd: 0, inputTokens: 0, outputTokens: 0 };
const NO_TOKENS = { inputTokens: undefined, outputTokens: undefined };
const INTERRUPTED = {
  status: 502,
  code: 'provider_unreachable',
  message: 'The provider broke off in the middle of its answer.',
  retryable: true,
};

/** The part of a stream's bytes that is whole events. */
function wholeEvents(bytes: Buffer): Buffer {
  const lf = bytes.lastIndexOf('\n\n');
  const crlf = bytes.lastIndexOf('\r\n\r\n');
  return bytes.subarray(0, Math.max(lf === -1 ? 0 : lf + 2, crlf === -1 ? 0 : crlf + 4));
}

const NEVER_SENT: ReadonlySet<string | undefined> = new Set<FailureReason>([
  'connect_failed',
  'connect_timeout',
  'unsendable',
  'closing',
]);

/** Whether the provider refused the call, or never got it. */
const usedNothing = ({ status = 0, reason }: AttemptNotice): boolean =>
  status >= 400 || NEVER_SENT.has(reason);

/** The provider judges a body that is no JSON; we just cannot read it. */
function parseBody(body: Buffer | undefined): unknown {
  try {
    return body && JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

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

const nested = ({ agent, parentAgent, loop }: Caller & { definition: LoopDefinition | undefined }) =>
  new LoopscopeError(
    'agent_nested',
    `Agent "${agent}" of loop "${loop}" names the sub-agent "${parentAgent}" as its parent, but delegation is one level deep. ` +
      'Let its parent call it instead, or set `gateway.nested_agents: flag`.',
  );
