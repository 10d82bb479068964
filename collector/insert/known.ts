import type { Span } from '../../src/span/span.ts';
import type { Store } from '../../src/store/client.ts';

const TRACES_PER_QUERY = 2_000;

/** The spans that are not stored yet, each once. Throws what the store throws. */
export async function unknownSpans(store: Store, spans: readonly Span[]): Promise<Span[]> {
  const unknown = new Map(spans.toReversed().map((span) => [key(span.traceId, span.spanId), span]));
  const traces = [...Map.groupBy(spans, (span) => span.traceId)];
  for (let i = 0; i < traces.length; i += TRACES_PER_QUERY) {
    const some = traces.slice(i, i + TRACES_PER_QUERY);
    const starts = some.flatMap(([, of]) => of.map((span) => span.startNs)).sort((a, b) => (a < b ? -1 : 1));
    const rows = await store.query<{ TraceId: string; SpanId: string }>(
      // The times narrow it down to a few partitions; a span that is sent again has the same.
      `SELECT TraceId, SpanId FROM ${store.database}.otel_traces
       WHERE TraceId IN {traces:Array(String)}
         AND Timestamp >= fromUnixTimestamp64Nano({from:Int64}) AND Timestamp <= fromUnixTimestamp64Nano({to:Int64})`,
      {
        traces: some.map(([traceId]) => traceId),
        from: String(starts[0]),
        to: String(starts.at(-1)),
      },
    );
    for (const row of rows) unknown.delete(key(row.TraceId, row.SpanId));
  }
  return spans.filter((span) => unknown.get(key(span.traceId, span.spanId)) === span);
}

const key = (traceId: string, spanId: string) => `${traceId}${spanId}`;
