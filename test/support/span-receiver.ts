import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeRequest } from './otlp-proto.ts';

/** A span as it came over the wire, read by a decoder that is not ours. */
export interface TestSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  traceState: string;
  kind: number;
  failed: boolean;
  startNs: bigint;
  endNs: bigint;
  attributes: Record<string, unknown>;
  resource: Record<string, unknown>;
  events: { name: string; attributes: Record<string, unknown> }[];
}

interface AnyValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string;
  doubleValue?: number;
  arrayValue?: { values?: AnyValue[] };
}
type KeyValues = { key: string; value: AnyValue }[];
interface WireSpan {
  traceId: Buffer;
  spanId: Buffer;
  parentSpanId?: Buffer;
  traceState?: string;
  name: string;
  kind: number;
  startTimeUnixNano?: string;
  endTimeUnixNano?: string;
  attributes?: KeyValues;
  events?: { name: string; attributes?: KeyValues }[];
  status?: { code?: number };
}

const STATUS_ERROR = 2;

function plain(value: AnyValue): unknown {
  if (value.intValue !== undefined) return Number(value.intValue);
  if (value.arrayValue) return (value.arrayValue.values ?? []).map(plain);
  return value.stringValue ?? value.boolValue ?? value.doubleValue;
}

const attributesOf = (list: KeyValues = []) =>
  Object.fromEntries(list.map(({ key, value }) => [key, plain(value)]));

/** The spans of an export request. */
export function readSpans(body: Buffer): TestSpan[] {
  const request = decodeRequest('traces', body) as {
    resourceSpans?: { resource?: { attributes?: KeyValues }; scopeSpans?: { spans?: WireSpan[] }[] }[];
  };
  return (request.resourceSpans ?? []).flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans = [] }) =>
      spans.map((span) => ({
        name: span.name ?? '',
        traceId: span.traceId.toString('hex'),
        spanId: span.spanId.toString('hex'),
        parentSpanId: span.parentSpanId?.length ? span.parentSpanId.toString('hex') : undefined,
        traceState: span.traceState ?? '',
        kind: span.kind,
        failed: span.status?.code === STATUS_ERROR,
        startNs: BigInt(span.startTimeUnixNano ?? 0),
        endNs: BigInt(span.endTimeUnixNano ?? 0),
        attributes: attributesOf(span.attributes),
        resource: attributesOf(resource?.attributes),
        events: (span.events ?? []).map((event) => ({
          name: event.name ?? '',
          attributes: attributesOf(event.attributes),
        })),
      })),
    ),
  );
}

export interface SpanReceiver {
  url: string;
  spans: TestSpan[];
  /** Values of the header `x-backend-key` that requests came with. */
  keys: Set<unknown>;
  /** What it answers; what it does not take it forgets. */
  status: number;
  refused: number;
  close(): Promise<void>;
}

/** In the place of a collector: takes OTLP/HTTP in protobuf and keeps the spans in memory. */
export async function startSpanReceiver(): Promise<SpanReceiver> {
  const server = createServer(async (request, response) => {
    receiver.keys.add(request.headers['x-backend-key']);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.url !== '/v1/traces') {
      response.writeHead(404).end(); // what a role counts goes to collectors as well
      return;
    }
    if (receiver.status === 200) receiver.spans.push(...readSpans(Buffer.concat(chunks)));
    else receiver.refused++;
    response
      .writeHead(receiver.status, { 'content-type': 'application/x-protobuf', 'retry-after': '1' })
      .end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver: SpanReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    keys: new Set(),
    status: 200,
    refused: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}
