import protobuf from 'protobufjs';

/**
 * The messages of OTLP 1.x for protobufjs, written down from the protocol's own definitions and knowing nothing of our
 * decoders: what these encode, ours must read. Names are protobufjs's (`traceId`, `timeUnixNano`); 64-bit integers go
 * in as bigint or number.
 *
 * https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto
 */

type Fields = Record<string, readonly [type: string, id: number, rule?: 'repeated' | 'optional']>;

const message = (fields: Fields, oneofs: Record<string, string[]> = {}): protobuf.IType => {
  const optional = Object.entries(fields).filter(([, [, , rule]]) => rule === 'optional');
  return {
    fields: Object.fromEntries(
      Object.entries(fields).map(([name, [type, id, rule]]) => [
        name,
        rule === 'optional'
          ? { type, id, options: { proto3_optional: true } }
          : { type, id, ...(rule && { rule }) },
      ]),
    ),
    oneofs: {
      ...Object.fromEntries(Object.entries(oneofs).map(([name, oneof]) => [name, { oneof }])),
      ...Object.fromEntries(optional.map(([name]) => [`_${name}`, { oneof: [name] }])),
    },
  };
};

const EXEMPLARS = ['Exemplar', 11, 'repeated'] as const;

const root = protobuf.Root.fromJSON({
  nested: {
    // common.proto
    AnyValue: message(
      {
        stringValue: ['string', 1],
        boolValue: ['bool', 2],
        intValue: ['int64', 3],
        doubleValue: ['double', 4],
        arrayValue: ['ArrayValue', 5],
        kvlistValue: ['KeyValueList', 6],
        bytesValue: ['bytes', 7],
      },
      {
        value: [
          'stringValue',
          'boolValue',
          'intValue',
          'doubleValue',
          'arrayValue',
          'kvlistValue',
          'bytesValue',
        ],
      },
    ),
    ArrayValue: message({ values: ['AnyValue', 1, 'repeated'] }),
    KeyValueList: message({ values: ['KeyValue', 1, 'repeated'] }),
    KeyValue: message({ key: ['string', 1], value: ['AnyValue', 2] }),
    InstrumentationScope: message({
      name: ['string', 1],
      version: ['string', 2],
      attributes: ['KeyValue', 3, 'repeated'],
      droppedAttributesCount: ['uint32', 4],
    }),
    EntityRef: message({
      schemaUrl: ['string', 1],
      type: ['string', 2],
      idKeys: ['string', 3, 'repeated'],
      descriptionKeys: ['string', 4, 'repeated'],
    }),
    // resource.proto
    Resource: message({
      attributes: ['KeyValue', 1, 'repeated'],
      droppedAttributesCount: ['uint32', 2],
      entityRefs: ['EntityRef', 3, 'repeated'],
    }),

    // trace.proto
    ExportTraceServiceRequest: message({ resourceSpans: ['ResourceSpans', 1, 'repeated'] }),
    ResourceSpans: message({
      resource: ['Resource', 1],
      scopeSpans: ['ScopeSpans', 2, 'repeated'],
      schemaUrl: ['string', 3],
    }),
    ScopeSpans: message({
      scope: ['InstrumentationScope', 1],
      spans: ['Span', 2, 'repeated'],
      schemaUrl: ['string', 3],
    }),
    Span: message({
      traceId: ['bytes', 1],
      spanId: ['bytes', 2],
      traceState: ['string', 3],
      parentSpanId: ['bytes', 4],
      name: ['string', 5],
      kind: ['int32', 6],
      startTimeUnixNano: ['fixed64', 7],
      endTimeUnixNano: ['fixed64', 8],
      attributes: ['KeyValue', 9, 'repeated'],
      droppedAttributesCount: ['uint32', 10],
      events: ['SpanEvent', 11, 'repeated'],
      droppedEventsCount: ['uint32', 12],
      links: ['SpanLink', 13, 'repeated'],
      droppedLinksCount: ['uint32', 14],
      status: ['Status', 15],
      flags: ['fixed32', 16],
    }),
    SpanEvent: message({
      timeUnixNano: ['fixed64', 1],
      name: ['string', 2],
      attributes: ['KeyValue', 3, 'repeated'],
      droppedAttributesCount: ['uint32', 4],
    }),
    SpanLink: message({
      traceId: ['bytes', 1],
      spanId: ['bytes', 2],
      traceState: ['string', 3],
      attributes: ['KeyValue', 4, 'repeated'],
      droppedAttributesCount: ['uint32', 5],
      flags: ['fixed32', 6],
    }),
    Status: message({ message: ['string', 2], code: ['int32', 3] }),

    // logs.proto
    ExportLogsServiceRequest: message({ resourceLogs: ['ResourceLogs', 1, 'repeated'] }),
    ResourceLogs: message({
      resource: ['Resource', 1],
      scopeLogs: ['ScopeLogs', 2, 'repeated'],
      schemaUrl: ['string', 3],
    }),
    ScopeLogs: message({
      scope: ['InstrumentationScope', 1],
      logRecords: ['LogRecord', 2, 'repeated'],
      schemaUrl: ['string', 3],
    }),
    LogRecord: message({
      timeUnixNano: ['fixed64', 1],
      severityNumber: ['int32', 2],
      severityText: ['string', 3],
      body: ['AnyValue', 5],
      attributes: ['KeyValue', 6, 'repeated'],
      droppedAttributesCount: ['uint32', 7],
      flags: ['fixed32', 8],
      traceId: ['bytes', 9],
      spanId: ['bytes', 10],
      observedTimeUnixNano: ['fixed64', 11],
      eventName: ['string', 12],
    }),

    // metrics.proto
    ExportMetricsServiceRequest: message({ resourceMetrics: ['ResourceMetrics', 1, 'repeated'] }),
    ResourceMetrics: message({
      resource: ['Resource', 1],
      scopeMetrics: ['ScopeMetrics', 2, 'repeated'],
      schemaUrl: ['string', 3],
    }),
    ScopeMetrics: message({
      scope: ['InstrumentationScope', 1],
      metrics: ['Metric', 2, 'repeated'],
      schemaUrl: ['string', 3],
    }),
    Metric: message(
      {
        name: ['string', 1],
        description: ['string', 2],
        unit: ['string', 3],
        gauge: ['Gauge', 5],
        sum: ['Sum', 7],
        histogram: ['Histogram', 9],
        exponentialHistogram: ['ExponentialHistogram', 10],
        summary: ['Summary', 11],
        metadata: ['KeyValue', 12, 'repeated'],
      },
      { data: ['gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary'] },
    ),
    Gauge: message({ dataPoints: ['NumberDataPoint', 1, 'repeated'] }),
    Sum: message({
      dataPoints: ['NumberDataPoint', 1, 'repeated'],
      aggregationTemporality: ['int32', 2],
      isMonotonic: ['bool', 3],
    }),
    Histogram: message({
      dataPoints: ['HistogramDataPoint', 1, 'repeated'],
      aggregationTemporality: ['int32', 2],
    }),
    ExponentialHistogram: message({
      dataPoints: ['ExponentialHistogramDataPoint', 1, 'repeated'],
      aggregationTemporality: ['int32', 2],
    }),
    Summary: message({ dataPoints: ['SummaryDataPoint', 1, 'repeated'] }),
    NumberDataPoint: message(
      {
        startTimeUnixNano: ['fixed64', 2],
        timeUnixNano: ['fixed64', 3],
        asDouble: ['double', 4],
        exemplars: ['Exemplar', 5, 'repeated'],
        asInt: ['sfixed64', 6],
        attributes: ['KeyValue', 7, 'repeated'],
        flags: ['uint32', 8],
      },
      { value: ['asDouble', 'asInt'] },
    ),
    HistogramDataPoint: message({
      startTimeUnixNano: ['fixed64', 2],
      timeUnixNano: ['fixed64', 3],
      count: ['fixed64', 4],
      sum: ['double', 5, 'optional'],
      bucketCounts: ['fixed64', 6, 'repeated'],
      explicitBounds: ['double', 7, 'repeated'],
      exemplars: ['Exemplar', 8, 'repeated'],
      attributes: ['KeyValue', 9, 'repeated'],
      flags: ['uint32', 10],
      min: ['double', 11, 'optional'],
      max: ['double', 12, 'optional'],
    }),
    ExponentialHistogramDataPoint: message({
      attributes: ['KeyValue', 1, 'repeated'],
      startTimeUnixNano: ['fixed64', 2],
      timeUnixNano: ['fixed64', 3],
      count: ['fixed64', 4],
      sum: ['double', 5, 'optional'],
      scale: ['sint32', 6],
      zeroCount: ['fixed64', 7],
      positive: ['Buckets', 8],
      negative: ['Buckets', 9],
      flags: ['uint32', 10],
      exemplars: EXEMPLARS,
      min: ['double', 12, 'optional'],
      max: ['double', 13, 'optional'],
      zeroThreshold: ['double', 14],
    }),
    Buckets: message({ offset: ['sint32', 1], bucketCounts: ['uint64', 2, 'repeated'] }),
    SummaryDataPoint: message({
      startTimeUnixNano: ['fixed64', 2],
      timeUnixNano: ['fixed64', 3],
      count: ['fixed64', 4],
      sum: ['double', 5],
      quantileValues: ['ValueAtQuantile', 6, 'repeated'],
      attributes: ['KeyValue', 7, 'repeated'],
      flags: ['uint32', 8],
    }),
    ValueAtQuantile: message({ quantile: ['double', 1], value: ['double', 2] }),
    Exemplar: message(
      {
        timeUnixNano: ['fixed64', 2],
        asDouble: ['double', 3],
        spanId: ['bytes', 4],
        traceId: ['bytes', 5],
        asInt: ['sfixed64', 6],
        filteredAttributes: ['KeyValue', 7, 'repeated'],
      },
      { value: ['asDouble', 'asInt'] },
    ),
  },
});

const REQUESTS = {
  traces: 'ExportTraceServiceRequest',
  logs: 'ExportLogsServiceRequest',
  metrics: 'ExportMetricsServiceRequest',
} as const;

/** An export request as protobuf. Throws when the object does not fit the protocol. */
export function encodeRequest(signal: keyof typeof REQUESTS, request: object): Buffer {
  const type = root.lookupType(REQUESTS[signal]);
  const wrong = type.verify(plain(request) as Record<string, unknown>);
  if (wrong) throw new Error(`${REQUESTS[signal]}: ${wrong}`);
  return Buffer.from(type.encode(type.fromObject(plain(request) as Record<string, unknown>)).finish());
}

/** An export request read back from protobuf: 64-bit integers as strings, bytes as Buffers, absent fields absent. */
export const decodeRequest = (signal: keyof typeof REQUESTS, bytes: Uint8Array): Record<string, unknown> => {
  const type = root.lookupType(REQUESTS[signal]);
  return type.toObject(type.decode(bytes), { longs: String, bytes: Buffer });
};

/** protobufjs knows no bigint: 64-bit integers go in as its own `Long`s. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return long(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, plain(of)]));
}

const long = (value: bigint) => ({
  low: Number(BigInt.asIntN(32, value)),
  high: Number(BigInt.asIntN(32, value >> 32n)),
  unsigned: value >= 0n,
});

/** The same request as OTLP/JSON: ids in hexadecimal, bytes in base64, 64-bit integers as strings. */
export const jsonRequest = (request: object): Buffer =>
  Buffer.from(JSON.stringify(request, (name, value) => jsonValue(name, value)));

function jsonValue(name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  // What has a `toJSON`, as a Buffer has, comes here as what that made of it.
  const { type, data } = (value ?? {}) as { type?: unknown; data?: number[] };
  if (type !== 'Buffer' || !Array.isArray(data)) return value;
  return Buffer.from(data).toString(name === 'bytesValue' ? 'base64' : 'hex');
}
