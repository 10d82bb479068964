import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base';
import {
  createOtlpHttpExportDelegate,
  httpAgentFactoryFromOptions,
} from '@opentelemetry/otlp-exporter-base/node-http';
import { ProtobufTraceSerializer, TraceExporterMetricsHelper } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';

/** One try of an export, with the exporter's own short retries; the queue tries again after that. */
const EXPORT_TIMEOUT_MS = 5_000;

/**
 * The OTLP/HTTP exporter to our own collector. The ready-made one adds what `OTEL_EXPORTER_OTLP_*` say to whatever it
 * is told; those speak of another backend, and their headers hold its key. `authorities` are certificates to trust
 * instead of the system's.
 */
export function collectorExporter(
  collectorUrl: string,
  token: string | undefined,
  authorities?: string[] | undefined,
): SpanExporter {
  const headers: Record<string, string> = { 'content-type': 'application/x-protobuf' };
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
  return new OTLPExporterBase<ReadableSpan[]>(
    createOtlpHttpExportDelegate(
      {
        url: `${collectorUrl}/v1/traces`,
        headers: async () => headers,
        timeoutMillis: EXPORT_TIMEOUT_MS,
        concurrencyLimit: 2,
        compression: 'none',
        agentFactory: httpAgentFactoryFromOptions({
          keepAlive: true,
          ...(authorities && { ca: authorities }),
        }),
      },
      ProtobufTraceSerializer,
      'otlp_http_span_exporter',
      TraceExporterMetricsHelper,
      undefined,
    ),
  );
}
