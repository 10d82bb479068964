import type { Asked } from './asked.ts';
import { attemptSpans } from './attempt-span.ts';
import { countCall } from './call-figures.ts';
import { type CallLimits, NOTHING_USED } from './call-limits.ts';
import { callSpan } from './call-span.ts';
import { type CallContext, configuredProvider, type Settings } from './context.ts';
import type { Outcome as Replayed } from './idempotency/replay.ts';
import type { Usage } from './protocol.ts';
import type { FailureReason } from './routing/failure.ts';
import type { AttemptNotice } from './routing/routed-call.ts';
import type { StreamPieces } from './stream-pieces.ts';
import type { Tap, TapResult } from './tap.ts';

/** A call that is over. */
export interface EndedCall {
  settings: Settings;
  asked: Asked;
  attempts: readonly AttemptNotice[];
  /** Where other calls may get the same answer: whether it was the first of them. */
  replayed: Replayed | undefined;
  /** `undefined` for one that came to nothing before they were asked. */
  limits: CallLimits | undefined;
  tap: Tap | undefined;
  status: number | undefined;
  /** What went wrong on the way. */
  errorType: string | undefined;
  firstChunkNs: bigint | undefined;
  endNs: bigint;
  pieces: StreamPieces | undefined;
}

/**
 * What a call came to: settles its limits, counts it, and writes its spans. Resolves with whether these are on disk.
 */
export function recordCall(context: CallContext, call: EndedCall): Promise<boolean> {
  const read = call.tap?.end() ?? NOTHING_READ;
  return read instanceof Promise
    ? read.then((late) => recordRead(context, call, late))
    : recordRead(context, call, read);
}

function recordRead(context: CallContext, call: EndedCall, tap: TapResult): Promise<boolean> {
  const { settings, asked, attempts, replayed, status, errorType, firstChunkNs, endNs, pieces } = call;
  if (tap.skipped) context.metrics.unread(tap.skipped);
  const isFollower = replayed?.kind === 'follow';
  if (replayed?.kind === 'first' && (tap.errorType !== undefined || tap.answer?.complete === false))
    replayed.recorder.discard();
  const target = attempts.at(-1)?.target;
  const provider = target?.provider ?? asked.route.provider;
  const { api, endpoint } = configuredProvider(settings, provider);
  // Whoever got the answer of another call used nothing.
  const usage = isFollower ? undefined : tap.answer?.usage;
  const model = tap.answer?.model ?? target?.model ?? asked.request?.model;
  const costUsd = usage && settings.prices.costUsd(provider, model, usage, context.clock.now());
  settleLimits(call, tap, costUsd);
  const span = callSpan({
    asked,
    providerName: api.telemetryName,
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
  countCall(context, settings.accessLog, asked, {
    provider: api.telemetryName,
    status,
    errorType: span.error,
    endNs,
    firstChunkNs,
    usage,
    servedModel: tap.answer?.model,
    attempts: attempts.length,
  });
  return context.recorder.record([span, ...attemptSpans(span, attempts)]);
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
