import { A } from '../span/attributes.ts';
import { recordSpanId } from '../span/ids.ts';
import { LIMITS } from '../span/limits.ts';
import { Attributes, type SpanDraft } from './record/span-draft.ts';
import type { AttemptNotice } from './routing/routed-call.ts';

/** The spans of a call's attempts, below its own; none where there was one attempt and the call's span tells all of it. */
export function attemptSpans(call: SpanDraft, attempts: readonly AttemptNotice[]): SpanDraft[] {
  if (attempts.length < 2 && !hasReasonOfItsOwn(attempts[0])) return [];
  return attempts.map(({ target, number, status, outcome, reason, startNs, endNs = call.endNs }) => ({
    traceId: call.traceId,
    spanId: recordSpanId(call.traceId, call.spanId, 'attempt', String(number)),
    parentSpanId: call.spanId,
    name: `attempt ${target.name}`.slice(0, LIMITS.nameLengthMax),
    kind: 'Client',
    startNs,
    endNs: endNs < call.endNs ? endNs : call.endNs,
    attributes: Attributes.of({
      [A.loop]: call.attributes.get(A.loop),
      [A.runId]: call.attributes.get(A.runId),
      [A.record]: 'attempt',
      [A.attemptNumber]: number,
      [A.attemptTarget]: target.name,
      // A stream's last event comes before its end: whoever has it was answered.
      [A.attemptOutcome]: outcome ?? (call.error === undefined ? 'answered' : undefined),
      [A.serverAddress]: target.endpoint.address,
      [A.serverPort]: target.endpoint.port,
      [A.httpStatus]: status,
      [A.errorType]: reason,
    }),
    error: reason,
  }));
}

/** A status is on the call's span too; why an answer did not come, or broke off, is not. */
const hasReasonOfItsOwn = (attempt: AttemptNotice | undefined): boolean =>
  attempt?.reason !== undefined && !attempt.reason.startsWith('http_');
