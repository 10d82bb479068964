import { A } from '../../src/span/attributes.ts';
import type { OtlpEncoding } from '../../src/span/batch.ts';
import { encodeRequest } from './otlp-proto.ts';

/** Requests for logs and metrics that are in order, with a bit of everything in them; `n` tells them apart. */

const T = 1_700_000_000_000_000_000n;
const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });

export function soundLogs(encoding: OtlpEncoding, n: number): Buffer {
  const { id, whole } = notation(encoding);
  const record = (i: number) => ({
    timeUnixNano: whole(T + BigInt(n)),
    observedTimeUnixNano: whole(T + BigInt(n + i)),
    severityNumber: 1 + (i % 24),
    severityText: 'INFO',
    body: i % 2 === 0 ? { stringValue: `line ${n}` } : { kvlistValue: { values: [text('k', 'v')] } },
    attributes: [
      text(A.loop, `loop-${n % 5}`),
      text(A.runId, `run-${n}`),
      text('event.name', 'api_request'),
      { key: 'a.list', value: { arrayValue: { values: [{ intValue: whole(7n) }, {}] } } },
      { key: 'gen_ai.evaluation.score.value', value: { doubleValue: 0.5 } },
    ],
    flags: 1,
    traceId: id(16, n),
    spanId: id(8, i),
    eventName: i % 3 === 0 ? 'gen_ai.evaluation.result' : 'claude_code.api_request',
  });
  const logRecords = Array.from({ length: 1 + (n % 4) }, (_, i) => record(i + 1));
  return encoded('logs', encoding, {
    resourceLogs: [
      {
        resource: { attributes: [text('service.name', 'fuzz')] },
        scopeLogs: [{ scope: { name: 's', version: '1' }, logRecords }],
      },
    ],
  });
}

export function soundMetrics(encoding: OtlpEncoding, n: number): Buffer {
  const { id, whole } = notation(encoding);
  const point = {
    attributes: [text('a', `${n}`)],
    startTimeUnixNano: whole(T),
    timeUnixNano: whole(T + BigInt(n)),
    flags: 0,
  };
  const exemplar = { timeUnixNano: whole(T), asDouble: 1.5, spanId: id(8, n), traceId: id(16, n) };
  const buckets = { offset: -2, bucketCounts: [whole(1n), whole(0n), whole(3n)] };
  const metrics = [
    { name: 'g', unit: '1', gauge: { dataPoints: [{ ...point, asDouble: 0.5, exemplars: [exemplar] }] } },
    {
      name: 's',
      description: 'a sum',
      sum: { dataPoints: [{ ...point, asInt: whole(-5n) }], aggregationTemporality: 2, isMonotonic: true },
    },
    {
      name: 'h',
      histogram: {
        dataPoints: [
          { ...point, count: whole(4n), sum: 9.5, bucketCounts: [whole(1n), whole(3n)], explicitBounds: [2] },
        ],
        aggregationTemporality: 1,
      },
    },
    {
      name: 'e',
      exponentialHistogram: {
        dataPoints: [
          {
            ...point,
            count: whole(4n),
            scale: 3,
            zeroCount: whole(0n),
            positive: buckets,
            negative: buckets,
          },
        ],
        aggregationTemporality: 2,
      },
    },
    {
      name: 'q',
      summary: {
        dataPoints: [{ ...point, count: whole(1n), sum: 2, quantileValues: [{ quantile: 0.5, value: 2 }] }],
      },
    },
  ];
  return encoded('metrics', encoding, {
    resourceMetrics: [
      {
        resource: { attributes: [text('service.name', 'fuzz')] },
        scopeMetrics: [{ scope: { name: 's' }, metrics: metrics.slice(n % metrics.length) }],
      },
    ],
  });
}

const notation = (encoding: OtlpEncoding) => ({
  id: (bytes: number, n: number) => {
    const hex = n.toString(16).padStart(bytes * 2, '7');
    return encoding === 'json' ? hex : Buffer.from(hex, 'hex');
  },
  whole: (value: bigint) => (encoding === 'json' ? String(value) : value),
});

const encoded = (signal: 'logs' | 'metrics', encoding: OtlpEncoding, request: object): Buffer =>
  encoding === 'json' ? Buffer.from(JSON.stringify(request)) : encodeRequest(signal, request);
