import {
  type Attributes,
  type HrTime,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type TraceState,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOnSampler,
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { OtelExport } from '../config.ts';
import { A } from '../span/attributes.ts';
import { LIMITS } from '../span/limits.ts';
import { collectorExporter } from './collector-exporter.ts';
import { SpanQueue } from './span-queue.ts';

/** Spans through the OpenTelemetry API and SDK, with ids that are chosen here instead of drawn. */

export interface TracingOptions {
  collectorUrl: string;
  collectorToken?: string | undefined;
  /** Certificates to trust there, in PEM; the system's where not given. */
  collectorAuthorities?: string[] | undefined;
  /** Where spans go besides the collector. */
  otelExport: OtelExport;
  /** Instead of the OTLP exporter to the collector: for tests. */
  exporter?: SpanExporter;
}

/** One finished span. */
export interface SpanDraft {
  traceId: string;
  spanId: string;
  /** `undefined` for the root of a trace. */
  parentSpanId: string | undefined;
  traceState?: TraceState;
  name: string;
  kind: 'Internal' | 'Client';
  startNs: bigint;
  endNs: bigint;
  attributes: Attributes;
  /** Makes it an error; says what kind, never what the provider's message was. */
  error?: string;
  event?: { name: string; attributes: Attributes };
}

export interface Tracing {
  emit(span: SpanDraft): void;
  readonly queue: SpanQueue;
  /** Sends what is left, for at most `deadlineMs`. */
  close(deadlineMs: number): Promise<void>;
}

export function startTracing(
  { collectorUrl, collectorToken, collectorAuthorities, otelExport, exporter }: TracingOptions,
  { clock, log }: { clock: Clock; log: Logger },
): Tracing {
  const queue = new SpanQueue({
    exporter: exporter ?? collectorExporter(collectorUrl, collectorToken, collectorAuthorities),
    clock,
    log,
  });
  const spanProcessors: SpanProcessor[] = [queue];
  const elsewhere =
    otelExport === 'off' ? undefined : new BatchSpanProcessor({ exporter: new OTLPTraceExporter() });
  if (elsewhere)
    spanProcessors.push(otelExport === 'spans_and_content' ? elsewhere : withoutContent(elsewhere));

  // The ids of the next span. Set right before `startSpan` and read in it, with nothing in between.
  let ids = { traceId: '', spanId: '' };
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'loopscope' }).merge(
      detectResources({ detectors: [envDetector] }),
    ),
    sampler: new AlwaysOnSampler(),
    idGenerator: { generateTraceId: () => ids.traceId, generateSpanId: () => ids.spanId },
    spanLimits: { attributeCountLimit: LIMITS.attributesPerSpanMax },
    spanProcessors,
  });
  const tracer = provider.getTracer('loopscope.gateway');

  return {
    queue,
    emit: (draft) => {
      const { traceId, parentSpanId, traceState } = draft;
      ids = draft;
      const context =
        parentSpanId === undefined
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId,
              spanId: parentSpanId,
              traceFlags: TraceFlags.SAMPLED,
              traceState,
            });
      const kind = draft.kind === 'Client' ? SpanKind.CLIENT : SpanKind.INTERNAL;
      const { attributes } = draft;
      const span = tracer.startSpan(
        draft.name,
        { kind, startTime: hrTime(draft.startNs), attributes },
        context,
      );
      if (draft.error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: draft.error });
      if (draft.event) span.addEvent(draft.event.name, draft.event.attributes, hrTime(draft.startNs));
      span.end(hrTime(draft.endNs));
    },
    close: async (deadlineMs) => {
      const done = new AbortController();
      const deadline = clock.sleep(deadlineMs, done.signal).catch(() => {});
      const others = elsewhere?.shutdown().catch((error: Error) => {
        log.warn({ reason: error.message }, 'OTEL_EXPORTER_OTLP_ENDPOINT: the last spans were not taken');
      });
      await Promise.all([queue.close(deadlineMs), Promise.race([others, deadline])]);
      done.abort();
      await deadline;
    },
  };
}

const CONTENT = [
  A.inputMessages,
  A.outputMessages,
  A.inputText,
  A.outputText,
  A.systemInstructions,
  A.evaluationExplanation,
];

function contentLeftOut(attributes: Attributes = {}): Attributes {
  const kept = { ...attributes };
  for (const name of CONTENT) delete kept[name];
  return kept;
}

/** Passes spans on without what was said: another backend gets content only where someone asked for that. */
function withoutContent(processor: SpanProcessor): SpanProcessor {
  return {
    onStart: (span, context) => processor.onStart(span, context),
    onEnd: (span) => {
      const attributes = contentLeftOut(span.attributes);
      const events = span.events.map((event) => ({ ...event, attributes: contentLeftOut(event.attributes) }));
      const bare = { attributes: { value: attributes }, events: { value: events } };
      processor.onEnd(Object.create(span, bare) as ReadableSpan);
    },
    forceFlush: () => processor.forceFlush(),
    shutdown: () => processor.shutdown(),
  };
}

const hrTime = (ns: bigint): HrTime => [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)];
