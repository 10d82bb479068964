import {
  createTraceState,
  type HrTime,
  type Attributes as OtelAttributes,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOnSampler, BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';
import type { Clock } from '../../clock.ts';
import type { OtelExport } from '../../config.ts';
import { A } from '../../span/attributes.ts';
import { LIMITS } from '../../span/limits.ts';
import { Attributes, type SpanDraft } from './span-draft.ts';

/**
 * Another backend that the standard `OTEL_*` variables name, through the OpenTelemetry SDK: its own queue, which drops what
 * it cannot send, and no promise.
 */
export interface Elsewhere {
  emit(span: SpanDraft): void;
  /** Sends what is left, for at most `deadlineMs`. */
  close(deadlineMs: number): Promise<void>;
}

/** `service.name` and whatever `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say. */
export function resourceAttributes(): Attributes {
  const resource = new Attributes();
  for (const [name, value] of Object.entries(otelResource().attributes))
    if (typeof value === 'string') resource.add(name, value);
  return resource;
}

const otelResource = () =>
  resourceFromAttributes({ 'service.name': 'loopscope' }).merge(
    detectResources({ detectors: [envDetector] }),
  );

export function startElsewhere(
  what: Exclude<OtelExport, 'off'>,
  { clock, log }: { clock: Clock; log: Logger },
): Elsewhere {
  const processor = new BatchSpanProcessor({ exporter: new OTLPTraceExporter() });
  // The ids of the next span. Set right before `startSpan` and read in it, with nothing in between.
  let ids = { traceId: '', spanId: '' };
  const provider = new TracerProvider({
    resource: otelResource(),
    sampler: new AlwaysOnSampler(),
    idGenerator: { generateTraceId: () => ids.traceId, generateSpanId: () => ids.spanId },
    spanLimits: { attributeCountLimit: LIMITS.attributesPerSpanMax },
    spanProcessors: [processor],
  });
  const tracer = provider.getTracer('loopscope.gateway');
  const withContent = what === 'spans_and_content';
  const shown = (attributes: Attributes): OtelAttributes =>
    Object.fromEntries(
      attributes.entries().filter(([name]) => withContent || !CONTENT.has(name)),
    ) as OtelAttributes;
  return {
    emit: (draft) => {
      const { traceId, parentSpanId, traceState, event } = draft;
      ids = draft;
      const context =
        parentSpanId === undefined
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId,
              spanId: parentSpanId,
              traceFlags: TraceFlags.SAMPLED,
              ...(traceState && { traceState: createTraceState(traceState) }),
            });
      const kind = draft.kind === 'Client' ? SpanKind.CLIENT : SpanKind.INTERNAL;
      const startTime = hrTime(draft.startNs);
      const span = tracer.startSpan(
        draft.name,
        { kind, startTime, attributes: shown(draft.attributes) },
        context,
      );
      if (draft.error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: draft.error });
      if (event) span.addEvent(event.name, shown(event.attributes), startTime);
      span.end(hrTime(draft.endNs));
    },
    close: async (deadlineMs) => {
      const done = new AbortController();
      const deadline = clock.sleep(deadlineMs, done.signal).catch(() => {});
      const sent = processor.shutdown().catch((error: Error) => {
        log.warn({ reason: error.message }, 'OTEL_EXPORTER_OTLP_ENDPOINT: the last spans were not taken');
      });
      await Promise.race([sent, deadline]);
      done.abort();
    },
  };
}

/** Another backend gets what was said only where someone asked for that. */
const CONTENT: ReadonlySet<string> = new Set([
  A.inputMessages,
  A.outputMessages,
  A.inputText,
  A.outputText,
  A.systemInstructions,
  A.toolDefinitions,
  A.evaluationExplanation,
]);

const hrTime = (ns: bigint): HrTime => [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)];
