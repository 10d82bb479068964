import { Agent, request } from 'undici';
import { collectorAuthorities } from '../../collector-trust.ts';
import type { Config } from '../../config.ts';
import { LoopscopeError } from '../../errors.ts';
import type { Deliver, Delivery } from '../../spool/deliver.ts';
import { Scratch } from '../../spool/scratch.ts';

export interface CollectorAddress {
  /** `http://host:port` of a collector. */
  url: string;
  token?: string | undefined;
  /** Certificates to trust there, in PEM; the system's where not given. */
  authorities?: string[] | undefined;
}

/** The collector of the settings. Throws `config_invalid` where they name none. */
export function collectorAddress(collector: Config['collector']): CollectorAddress {
  if (!collector.url)
    throw new LoopscopeError(
      'config_invalid',
      'gateway: expected collector.url (where spans go); it is not set.',
    );
  return { url: collector.url, token: collector.token, authorities: collectorAuthorities(collector) };
}

export interface DeliverFigures {
  /** Spans that a collector took. */
  delivered: number;
  /** Requests that were not, and come again. */
  failed: number;
  /** Spans that a collector took a request without. */
  rejected: number;
}

/** Longer than a collector lets anyone wait. */
const TIMEOUT_MS = 30_000;
/** Not this data, at any time, whatever is done about it. */
const REJECTED = new Set([400, 413]);
const MESSAGE_CHARS_MAX = 300;

/**
 * Sends spans to a collector. A request that was sent before is marked as a repeat, so that the collector, which
 * remembers requests for some minutes only, leaves out the spans it has: however long it was away, none is doubled.
 */
export function deliverToCollector(
  { url, token, authorities }: CollectorAddress,
  figures: DeliverFigures,
): { deliver: Deliver; close(): Promise<void> } {
  const agent = new Agent({ connections: 2, ...(authorities && { connect: { ca: authorities } }) });
  const headers = {
    'content-type': 'application/x-protobuf',
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const later = (message: string): Delivery => {
    figures.failed++;
    return { kind: 'unavailable', message: `The collector at ${url} takes no spans: ${message}` };
  };
  /** Memory for requests that are over: to take it anew for each makes the garbage collector look through all there is. */
  const idle: Scratch[] = [];
  const deliver: Deliver = async ({ bodies, rows }, isRepeat) => {
    const scratch = idle.pop() ?? new Scratch();
    let status: number;
    let answer: Buffer;
    try {
      const response = await request(`${url}/v1/traces`, {
        method: 'POST',
        dispatcher: agent,
        headers: { ...headers, ...(isRepeat && { 'x-loopscope-repeatable': 'true' }) },
        body: joined(bodies, scratch),
        headersTimeout: TIMEOUT_MS,
        bodyTimeout: TIMEOUT_MS,
      });
      status = response.statusCode;
      answer = Buffer.from(await response.body.arrayBuffer());
    } catch (error) {
      return later((error as Error).message || (error as Error).name);
    }
    if (status === 200) {
      idle.push(scratch); // of a request that failed some may still be on its way out
      const rejected = rejectedSpans(answer);
      figures.rejected += rejected;
      figures.delivered += rows - rejected;
      return { kind: 'stored' };
    }
    const message = `${status} ${answer.toString('utf8', 0, MESSAGE_CHARS_MAX)}`;
    return REJECTED.has(status) ? { kind: 'rejected', message } : later(message);
  };
  return { deliver, close: () => agent.destroy() };
}

function joined(parts: readonly Buffer[], scratch: Scratch): Buffer {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const target = scratch.take(bytes);
  let at = 0;
  for (const part of parts) at += part.copy(target, at);
  return target.subarray(0, bytes);
}

/** `partial_success.rejected_spans` of an `ExportTraceServiceResponse`; 0 for a full success, which is empty. */
function rejectedSpans(answer: Buffer): number {
  // partial_success (field 1, of bytes), which begins with rejected_spans (field 1, a varint) unless that is 0.
  let at = 1;
  while (at < answer.length && answer[at]! >= 0x80) at++;
  if (answer[0] !== 0x0a || answer[at + 1] !== 0x08) return 0;
  let spans = 0;
  let scale = 1;
  for (at += 2; at < answer.length; at++, scale *= 0x80) {
    spans += (answer[at]! & 0x7f) * scale;
    if (answer[at]! < 0x80) break;
  }
  return spans;
}
