import type { Chunk } from '../../src/span/batch.ts';
import { timestamp } from '../insert/row.ts';
import { type Row, rowChunks } from '../insert/row-chunks.ts';
import type { LogRecord } from './record.ts';

/** Log records as rows of the OTel ClickHouse exporter's table, cut into inserts. */
export const logChunks = (records: readonly LogRecord[]): Chunk[] => rowChunks('otel_logs', rows(records));

function* rows(records: readonly LogRecord[]): Iterable<Row> {
  for (const record of records) yield { day: Number(record.timeNs / DAY_NS), columns: row(record) };
}

const DAY_NS = 86_400_000_000_000n;

const row = (record: LogRecord): object => ({
  Timestamp: timestamp(record.timeNs),
  TraceId: record.traceId,
  SpanId: record.spanId,
  TraceFlags: record.flags & 0xff,
  SeverityText: record.severityText,
  SeverityNumber: Math.min(record.severityNumber, 0xff),
  ServiceName: record.source.resource.attributes['service.name'] ?? '',
  Body: record.body,
  ResourceSchemaUrl: record.source.resource.schemaUrl,
  ResourceAttributes: record.source.resource.attributes,
  ScopeSchemaUrl: record.source.scope.schemaUrl,
  ScopeName: record.source.scope.name,
  ScopeVersion: record.source.scope.version,
  ScopeAttributes: record.source.scope.attributes,
  LogAttributes: record.attributes,
  EventName: record.eventName,
});
