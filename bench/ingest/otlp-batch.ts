import { randomFillSync } from 'node:crypto';
import { SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';

/**
 * An export request whose spans can be made new again without being encoded again: OpenTelemetry's own serializer
 * writes it once with ids that occur nowhere else, and a new request is a copy of those bytes with new ids at the
 * places where they were found. So the sender hardly takes time from what is measured.
 */
export interface OtlpTemplate {
  spans: number;
  /** The next request's body; valid until the one after it is asked for, of the same template. */
  next(): Buffer;
  /**
   * The request whose spans have the numbers from `first` on as ids, the same bytes for the same number: who knows how
   * many were sent need not remember which. As valid as `next`'s.
   */
  numbered(first: number): Buffer;
}

const ATTRIBUTES = 20;
const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;
const SCOPE = { name: 'loopscope.bench', version: '1' };
/** Spans of one trace: a run has several calls. */
const SPANS_PER_TRACE = 8;

/** `seed` tells templates apart: their attribute values differ. */
export function otlpTemplate(spans: number, seed: number): OtlpTemplate {
  const marks = Array.from({ length: spans }, (_, i) => ({
    traceId: hex(0xa0, TRACE_ID_BYTES, Math.floor(i / SPANS_PER_TRACE)),
    spanId: hex(0xb0, SPAN_ID_BYTES, i),
  }));
  // One for all, as a program has: the serializer groups spans by it.
  const resource = resourceFromAttributes({ 'service.name': `loops-${seed % 4}` });
  const readable = marks.map(({ traceId, spanId }, i) => spanOf(traceId, spanId, i, seed, resource));
  const body = Buffer.from(ProtobufTraceSerializer.serializeRequest(readable)!);
  const traceIdsAt = marks.map(({ traceId, spanId }) => placeOf(body, traceId, spanId));
  // In a span the trace id comes first, then two bytes of tag and length, then the span id.
  const fresh = Buffer.alloc(TRACE_ID_BYTES + spans * SPAN_ID_BYTES);
  return {
    spans,
    next: () => {
      randomFillSync(fresh);
      for (let i = 0; i < spans; i++) {
        const at = traceIdsAt[i]!;
        if (i % SPANS_PER_TRACE === 0) randomFillSync(fresh, 0, TRACE_ID_BYTES);
        fresh.copy(body, at, 0, TRACE_ID_BYTES);
        const from = TRACE_ID_BYTES + i * SPAN_ID_BYTES;
        fresh.copy(body, at + TRACE_ID_BYTES + 2, from, from + SPAN_ID_BYTES);
      }
      return body;
    },
    numbered: (first) => {
      for (let i = 0; i < spans; i++) {
        const at = traceIdsAt[i]!;
        const trace = first + i - (i % SPANS_PER_TRACE);
        body.writeBigUInt64BE(BigInt(trace), at + TRACE_ID_BYTES - 8);
        body.writeBigUInt64BE(BigInt(first + i), at + TRACE_ID_BYTES + 2);
      }
      return body;
    },
  };
}

function placeOf(body: Buffer, traceId: string, spanId: string): number {
  const at = body.indexOf(Buffer.from(`${traceId}1208${spanId}`, 'hex'));
  if (at < 0) throw new Error('the serializer did not write span ids right after trace ids');
  return at;
}

function spanOf(
  traceId: string,
  spanId: string,
  i: number,
  seed: number,
  resource: ReadableSpan['resource'],
): ReadableSpan {
  const nowMs = Date.now();
  const startTime: [number, number] = [Math.floor(nowMs / 1000), (i * 1_000_003) % 1_000_000_000];
  const durationNs = 50_000_000 + ((i * 7919 + seed) % 900_000_000);
  const endTime: [number, number] = [startTime[0] + 1, durationNs];
  return {
    name: `chat model-${i % 5}`,
    kind: SpanKind.CLIENT,
    spanContext: () => ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED }),
    parentSpanContext: {
      traceId,
      spanId: hex(0xc0, SPAN_ID_BYTES, i),
      traceFlags: TraceFlags.SAMPLED,
    },
    startTime,
    endTime,
    duration: [1, durationNs],
    status: { code: SpanStatusCode.UNSET },
    attributes: attributesOf(i, seed),
    links: [],
    events: [
      {
        name: 'gen_ai.evaluation.result',
        time: startTime,
        attributes: { 'gen_ai.evaluation.name': 'exact', 'gen_ai.evaluation.score.value': i % 2 },
      },
    ],
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

/** What a model call carries, and other attributes up to `ATTRIBUTES`. */
function attributesOf(i: number, seed: number) {
  const attributes: Record<string, string | number> = {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': `model-${i % 5}`,
    'gen_ai.response.model': `model-${i % 5}-2026-01-01`,
    'gen_ai.response.id': `chatcmpl-${seed}-${i}`,
    'gen_ai.usage.input_tokens': 200 + ((i * 31 + seed) % 4000),
    'gen_ai.usage.output_tokens': 20 + ((i * 17 + seed) % 900),
    'gen_ai.agent.name': i % 3 === 0 ? 'reviewer' : 'maker',
    'gen_ai.conversation.id': `conversation-${Math.floor(i / SPANS_PER_TRACE)}-${seed}`,
    'loopscope.loop': `loop-${(i + seed) % 40}`,
    'loopscope.run.id': `run-${seed}-${Math.floor(i / SPANS_PER_TRACE)}`,
    'loopscope.record': 'call',
    'server.address': 'api.example.com',
    'server.port': 443,
  };
  for (let n = Object.keys(attributes).length; n < ATTRIBUTES; n++)
    attributes[`app.attribute.${n}`] = `value ${(i * n) % 50}`;
  return attributes;
}

const hex = (first: number, bytes: number, n: number) =>
  first.toString(16) + n.toString(16).padStart(2 * bytes - 2, '0');
