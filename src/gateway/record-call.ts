import type { Asked } from './asked.ts';
import { attemptSpans } from './attempt-span.ts';
import { countCall } from './call-figures.ts';
import { type CallLimits, NOTHING_USED } from './call-limits.ts';
import { callSpan } from './call-span.ts';
import { type CallContext, configuredProvider, type Settings } from './context.ts';
import type { Outcome as Replayed } from './idempotency/replay.ts';
import { roleOf } from './identity.ts';
import type { Usage } from './protocol.ts';
import type { SpanDraft } from './record/span-draft.ts';
import type { RequestPart } from './request-part.ts';
import type { FailureReason } from './routing/failure.ts';
import type { AttemptNotice } from './routing/routed-call.ts';
import type { StreamPieces } from './stream-pieces.ts';
import type { Tap, TapResult } from './tap/tap.ts';

/** A call that is over. */
export interface EndedCall {
  readonly settings: Settings;
  readonly asked: Asked;
  readonly attempts: readonly AttemptNotice[];
  /** Where other calls may get the same answer: whether it was the first of them. */
  readonly replayed: Replayed | undefined;
  /** `undefined` for one that came to nothing before they were asked. */
  readonly limits: CallLimits | undefined;
  readonly tap: Tap | undefined;
  readonly status: number | undefined;
  /** What went wrong on the way. */
  readonly errorType: string | undefined;
  readonly firstChunkNs: bigint | undefined;
  readonly endNs: bigint;
  readonly pieces: StreamPieces | undefined;
  /** What is on its span already. */
  describe(): RequestPart;
  /** Told once whether its spans are on disk. */
  recorded(isRecorded: boolean): void;
}

/** The same, read. */
interface ReadCall {
  call: EndedCall;
  tap: TapResult;
  /** `gen_ai.provider.name` */
  providerName: string;
  usage: Usage | undefined;
  costUsd: number | undefined;
  span: SpanDraft;
}

/**
 * Records calls that ended together: writes their spans, lets their answers go out, and then, when nobody waits any more,
 * settles their limits, counts them and tells their runs. What goes wrong with one call does not with the others.
 */
export function recordCalls(context: CallContext, calls: readonly EndedCall[]): void {
  const read: ReadCall[] = [];
  for (const call of calls)
    try {
      const tap = call.tap?.end() ?? NOTHING_READ;
      if (tap instanceof Promise)
        tap
          .then((late) => write(context, [readCall(context, call, late)]))
          .catch((e) => fail(context, call, e));
      else read.push(readCall(context, call, tap));
    } catch (error) {
      fail(context, call, error);
    }
  write(context, read);
}

function write(context: CallContext, read: readonly ReadCall[]): void {
  const spans: SpanDraft[] = [];
  for (const { span, call } of read) spans.push(span, ...attemptSpans(span, call.attempts));
  let isRecorded: boolean | Promise<boolean>;
  try {
    isRecorded = context.recorder.record(spans);
  } catch (error) {
    for (const { call } of read) fail(context, call, error);
    return;
  }
  if (isRecorded instanceof Promise) void isRecorded.then((late) => finish(context, read, late));
  else finish(context, read, isRecorded);
}

function finish(context: CallContext, read: readonly ReadCall[], isRecorded: boolean): void {
  for (const { call } of read) call.recorded(isRecorded);
  for (const one of read) {
    settleLimits(one.call, one.tap, one.costUsd);
    count(context, one);
    leave(context, one.call);
  }
}

function fail(context: CallContext, call: EndedCall, error: unknown): void {
  context.log.error({ err: error }, 'a call could not be recorded');
  call.recorded(false);
  settleLimits(call, NOTHING_READ, undefined);
  leave(context, call);
}

/** The last that is done for a call: its run is told. */
function leave({ runs, unrecorded }: CallContext, { asked, endNs }: EndedCall): void {
  const { run, caller, startNs } = asked;
  const { agent: name, parentAgent: parent, role } = caller;
  const parentRole = parent === undefined ? undefined : roleOf(caller.definition, parent, undefined);
  if (run) runs.callEnded(run, { name, parent, role, parentRole }, startNs, endNs);
  unrecorded.end();
}

function readCall(context: CallContext, call: EndedCall, tap: TapResult): ReadCall {
  const { settings, asked, attempts, replayed, status, errorType, firstChunkNs, endNs, pieces } = call;
  if (tap.skipped) context.metrics.unread(tap.skipped);
  const isFollower = replayed?.kind === 'follow';
  if (replayed?.kind === 'first' && (tap.errorType !== undefined || tap.answer?.complete === false))
    replayed.recorder.discard();
  const target = attempts.at(-1)?.target;
  const provider = target?.provider ?? asked.route.provider;
  const { api, endpoint } = configuredProvider(settings, provider);
  const providerName = api.telemetryName;
  // Whoever got the answer of another call used nothing.
  const usage = isFollower ? undefined : tap.answer?.usage;
  const model = tap.answer?.model ?? target?.model ?? asked.request?.model;
  const costUsd = usage && settings.prices.costUsd(provider, model, usage, context.clock.now());
  const span = callSpan({
    asked,
    part: call.describe(),
    providerName,
    endpoint: target?.endpoint ?? endpoint,
    endNs,
    firstChunkNs,
    status,
    errorType,
    tap,
    usage,
    costUsd,
    attempts: attempts.length,
    pieces: pieces?.toJson(),
    origin: isFollower ? replayed.reader.origin : undefined,
  });
  return { call, tap, providerName, usage, costUsd, span };
}

function count(context: CallContext, { call, tap, providerName, usage, span }: ReadCall): void {
  const { settings, asked, attempts, status, firstChunkNs, endNs } = call;
  countCall(context, settings.accessLog, asked, {
    provider: providerName,
    status,
    errorType: span.error,
    endNs,
    firstChunkNs,
    usage,
    servedModel: tap.answer?.model,
    attempts: attempts.length,
  });
}

/** What the call came to takes the place of what was held for it. */
function settleLimits(
  { limits, attempts }: EndedCall,
  { answer }: TapResult,
  costUsd: number | undefined,
): void {
  const last = attempts.at(-1);
  if (!last) limits?.release();
  else if (usedNothing(last)) limits?.settle(last.target, NOTHING_USED);
  // A provider works on, and bills, what its caller does not wait for: what is not known counts as it was reserved.
  else {
    const { inputTokens, outputTokens } = answer?.usage ?? NO_TOKENS;
    limits?.settle(last.target, { costUsd, inputTokens, outputTokens });
  }
}

const NOTHING_READ: TapResult = {};
const NO_TOKENS: Usage = {};

const NEVER_SENT: ReadonlySet<string | undefined> = new Set<FailureReason>([
  'connect_failed',
  'connect_timeout',
  'unsendable',
  'closing',
]);

/** Whether the provider refused the call, or never got it. */
const usedNothing = ({ status = 0, reason }: AttemptNotice): boolean =>
  status >= 400 || NEVER_SENT.has(reason);
