import { A } from '../../src/span/attributes.ts';
import type { Message } from '../../src/span/batch.ts';
import { LIMITS } from '../../src/span/limits.ts';
import type { Attributes, Span } from '../../src/span/span.ts';
import { type Capture, ContentMover } from './content.ts';
import { boundAttributes, cutText } from './cut.ts';
import { type FindLoop, isGenAi, loopOf, normalize } from './normalize.ts';
import { addTexts, dropJoinedText } from './texts.ts';

/** Why a span was not taken. */
export const REJECTIONS = {
  trace_id: 'its trace id is not 16 bytes, or all zero',
  span_id: 'its span id is not 8 bytes, or all zero',
  parent_span_id: 'its parent span id is not 8 bytes',
  time: 'its times are past the year 2262',
  name_too_long: `its loop, run or agent name is longer than ${LIMITS.nameLengthMax} characters`,
} as const;
export type Rejection = keyof typeof REJECTIONS;

/** What was cut off spans that were taken. */
export type Cut = 'attributes' | 'events' | 'links' | 'value' | 'name';

/**
 * Decides which spans of a request are kept and brings them within `LIMITS`; what a span says in prompts and answers
 * goes out into messages, and their hashes in its place. Spans of other conventions get our names as well.
 */
export class Admission {
  readonly rejected: Partial<Record<Rejection, number>> = {};
  readonly cut: Partial<Record<Cut, number>> = {};
  private readonly capture: (loop: string) => Capture;
  private readonly findLoop: FindLoop | undefined;
  private readonly content = new ContentMover();

  /** `findLoop` says what the registry knows of a loop. */
  constructor(capture: (loop: string) => Capture, findLoop: FindLoop | undefined) {
    this.capture = capture;
    this.findLoop = findLoop;
  }

  /** What was said in the spans admitted so far, as far as it is kept. */
  get messages(): Message[] {
    return this.content.messages;
  }

  /** Whether the span is kept; it is changed if so. */
  admit(span: Span): boolean {
    const rejection = rejectionOf(span);
    if (rejection) {
      this.reject(rejection);
      return false;
    }
    if (ZEROS.test(span.parentSpanId)) span.parentSpanId = '';
    const kind = normalize(span, this.findLoop);
    const loop = loopOf(span.attributes, span.resource);
    // Nobody could have said what is to be kept of a span that belongs to no loop, and nothing shows it.
    const capture = loop === undefined ? 'off' : this.capture(loop);
    if (kind === 'call' && capture !== 'off') addTexts(span.attributes);
    dropJoinedText(span.attributes);
    const ofGenAi = isGenAi(span);
    this.content.traceId = span.traceId;
    this.content.fromAttributes(span.attributes, capture, ofGenAi);
    for (const event of span.events) this.content.fromEvent(event, capture, ofGenAi);
    this.boundResource(span.resource);
    bound(span, this.onCut);
    return true;
  }

  reject(reason: Rejection): void {
    this.rejected[reason] = (this.rejected[reason] ?? 0) + 1;
  }

  /** Brings a resource's attributes within `LIMITS`, once for all its spans. */
  boundResource(resource: Attributes): void {
    boundAttributes(resource, this.onCut);
  }

  private readonly onCut = (what: Cut) => {
    this.cut[what] = (this.cut[what] ?? 0) + 1;
  };
}

export interface Admitted extends Pick<Admission, 'messages' | 'rejected' | 'cut'> {
  spans: Span[];
}

/** Admits the spans of one request. */
export function admit(
  spans: readonly Span[],
  capture: (loop: string) => Capture,
  findLoop?: FindLoop,
): Admitted {
  const admission = new Admission(capture, findLoop);
  const { messages, rejected, cut } = admission;
  return { spans: spans.filter((span) => admission.admit(span)), messages, rejected, cut };
}

const TRACE_ID = /^[0-9a-f]{32}$/;
const SPAN_ID = /^[0-9a-f]{16}$/;
const ZEROS = /^0+$/;
/** The last nanosecond of ClickHouse's DateTime64(9). */
const TIME_MAX_NS = 2n ** 63n - 1n;
const NAMES = [A.loop, A.runId, A.agentName];

function rejectionOf({
  traceId,
  spanId,
  parentSpanId,
  startNs,
  endNs,
  attributes,
}: Span): Rejection | undefined {
  if (!TRACE_ID.test(traceId) || ZEROS.test(traceId)) return 'trace_id';
  if (!SPAN_ID.test(spanId) || ZEROS.test(spanId)) return 'span_id';
  if (parentSpanId !== '' && !SPAN_ID.test(parentSpanId)) return 'parent_span_id';
  if (startNs > TIME_MAX_NS || endNs > TIME_MAX_NS) return 'time';
  // Cut, two names could become one; so a span that cannot say whose it is is not kept.
  if (NAMES.some((name) => (attributes[name]?.length ?? 0) > LIMITS.nameLengthMax)) return 'name_too_long';
  return undefined;
}

function bound(span: Span, onCut: (what: Cut) => void): void {
  const name = cutText(span.name, LIMITS.spanNameBytesMax);
  if (name !== span.name) onCut('name');
  span.name = name;
  if (span.events.length > LIMITS.eventsPerSpanMax) {
    span.events.length = LIMITS.eventsPerSpanMax;
    onCut('events');
  }
  if (span.links.length > LIMITS.linksPerSpanMax) {
    span.links.length = LIMITS.linksPerSpanMax;
    onCut('links');
  }
  boundAttributes(span.attributes, onCut);
  for (const event of span.events) boundAttributes(event.attributes, onCut);
  for (const link of span.links) boundAttributes(link.attributes, onCut);
  // A time past the end of an event's own type would fail the insert it is part of.
  for (const event of span.events) if (event.timeNs > TIME_MAX_NS) event.timeNs = TIME_MAX_NS;
}
