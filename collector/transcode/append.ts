import type { Span } from '../../src/span/span.ts';
import { KINDS, STATUS_CODES } from '../decode/enums.ts';
import type { SpanBlock } from './span-block.ts';
import { FIRST_KIND, FIRST_STATUS } from './span-names.ts';

/** Adds a span that is an object: one that came as JSON, or needed a closer look. */
export function appendSpan(block: SpanBlock, span: Span): void {
  block.begin();
  block.writeAttributes(block.attributes, span.attributes);
  for (const event of span.events) {
    block.eventTimestamp.uint64(low(event.timeNs), high(event.timeNs));
    block.eventName.push(block.names.ofText(event.name));
    block.writeAttributes(block.eventAttributes, event.attributes);
  }
  for (const link of span.links) {
    block.linkTraceId.text(link.traceId);
    block.linkSpanId.text(link.spanId);
    block.linkTraceState.text(link.traceState);
    block.writeAttributes(block.linkAttributes, link.attributes);
  }
  block.times(low(span.startNs), high(span.startNs), low(span.endNs), high(span.endNs));
  block.traceId.text(span.traceId);
  block.spanId.text(span.spanId);
  block.parentSpanId.text(span.parentSpanId);
  block.traceState.text(span.traceState);
  block.spanName.push(block.names.ofText(span.name));
  block.spanKind.push(FIRST_KIND + KINDS.indexOf(span.kind));
  block.ofResource(span.resource);
  block.scopeName.text(span.scopeName);
  block.scopeVersion.text(span.scopeVersion);
  block.statusCode.push(FIRST_STATUS + STATUS_CODES.indexOf(span.statusCode));
  block.statusMessage.text(span.statusMessage);
  block.end();
}

export const low = (ns: bigint): number => Number(ns & 0xffff_ffffn);
export const high = (ns: bigint): number => Number(ns >> 32n);
